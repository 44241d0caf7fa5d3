"""Roles, actions, gates, and capabilities beyond the role: the whole RBAC on one screen."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from models.people.workspaces import Capability, Role


class Action(StrEnum):
    """An operation's effect on a workspace; `GATES` lists the roles that may have it."""

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


def lowest(roles: frozenset[Role]) -> Role | None:
    """The role from which on a gate with these roles is open."""
    return min(roles, key=RANK.__getitem__, default=None)


def outranks(one: Role, other: Role) -> bool:
    return RANK[one] > RANK[other]


# ---- capabilities (contract: workspaces.capability_rules) ------------------------------------------------------------

Capabilities = frozenset[Capability]


class CapabilityPreset(StrEnum):
    """Named sets of capabilities, in ascending order."""

    chat = "chat"
    power = "power"
    admin = "admin"


CHAT_ONLY: Final[Capabilities] = frozenset({Capability.chat})

POWER: Final = CHAT_ONLY | {Capability.issue_create, Capability.memory_write, Capability.routine_create}
GRANTED_ONLY: Final = frozenset({Capability.page_create, Capability.credentials_reveal})
"""Capabilities that no role and no preset includes: they are granted to a member by name."""
ALL: Final = frozenset(Capability) - GRANTED_ONLY

PRESETS: Final[Mapping[CapabilityPreset, Capabilities]] = MappingProxyType(
    {
        CapabilityPreset.chat: CHAT_ONLY,
        CapabilityPreset.power: POWER | {Capability.routine_run},
        CapabilityPreset.admin: ALL,
    }
)

DEFAULTS: Final[Mapping[Role, Capabilities]] = MappingProxyType(
    {
        Role.OWNER: ALL - {Capability.routine_run},
        Role.ADMIN: ALL - {Capability.routine_run},
        Role.MANAGER: POWER,
        Role.MEMBER: CHAT_ONLY,
        Role.VIEWER: CHAT_ONLY,
    }
)


def known_capabilities(names: Sequence[object]) -> Capabilities:
    return frozenset(c for c in Capability if c.value in names)


def effective(role: Role, stored: object) -> Capabilities:
    """The set that holds. `stored` is the column as read: None while the role's default holds.

    Anything but a list counts as unreadable, and leaves chat only, like an empty list; unknown names in it are dropped.
    """
    if stored is None:
        return DEFAULTS[role]
    return CHAT_ONLY | known_capabilities(stored) if isinstance(stored, list) else CHAT_ONLY
