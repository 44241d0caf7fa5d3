"""Roles, actions and gates: the whole RBAC on one screen."""

from enum import StrEnum

from models.workspaces import Role


class Action(StrEnum):
    """What an operation does to a workspace; `GATES` says who may."""

    NONE = "none"  # no role: the caller acts outside any workspace
    SELF = "self"  # about the caller alone
    READ = "read"
    PARTICIPATE = "participate"  # a write the contract opens to every member
    CREATE = "create"
    UPDATE = "update"
    MANAGE = "manage"
    DELETE = "delete"
    OWNER = "owner"


MEMBERS = frozenset(Role)
MANAGERS = frozenset({Role.OWNER, Role.ADMIN, Role.MANAGER})
ADMINS = frozenset({Role.OWNER, Role.ADMIN})

GATES: dict[Action, frozenset[Role]] = {
    Action.NONE: MEMBERS,
    Action.SELF: MEMBERS,
    Action.READ: MEMBERS,
    Action.PARTICIPATE: MEMBERS,
    Action.CREATE: MANAGERS,
    Action.UPDATE: MANAGERS,
    Action.MANAGE: ADMINS,
    Action.DELETE: ADMINS,
    Action.OWNER: frozenset({Role.OWNER}),
}

RANK: dict[Role, int] = {role: len(Role) - place for place, role in enumerate(Role)}


def higher(one: Role, other: Role | None) -> Role:
    """The effective role where a crew membership carries its own (contract: rbac.notes)."""
    return one if other is None or RANK[one] >= RANK[other] else other


def outranks(one: Role, other: Role) -> bool:
    return RANK[one] > RANK[other]
