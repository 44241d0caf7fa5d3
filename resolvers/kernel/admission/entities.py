"""Which callers see the data of a row in the audit log: the readers of the row, as its graph declares them.

A line of the log outlives its row, and the journal copies it for every member. For kinds whose rows are not all open to
a role, and kinds without a graph, only readers of the log see the data. See ADR 132.
"""

from functools import cache
from typing import Any

from sqlalchemy import and_, case, literal_column, null, or_
from sqlalchemy.dialects.postgresql import JSONB

from models.base import TenantRow
from models.kernel import AuditLog
from models.people.workspaces import Role, Workspace
from resolvers.kernel.ground.policy import GATES, MEMBERS
from resolvers.kernel.reader.graph import ACCESS, EVERYONE, access_of
from resolvers.kernel.reader.rows import View
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.differences import ENTITY_TYPES, kinds_of_row


@cache
def readers_of_kinds() -> dict[str, frozenset[Role]]:
    """Maps each kind of entity to the roles that read every row of it. Call it after all domains are loaded."""
    found: dict[str, frozenset[Role]] = {}
    for model, access in ACCESS.items():
        if issubclass(model, View):
            continue
        open_to_all = issubclass(model, TenantRow | Workspace) and access.visible is EVERYONE
        roles = GATES[access.gate] if open_to_all else frozenset()
        for noun in kinds_of_row(model):
            kind = ENTITY_TYPES.get(noun, noun).lower()
            found[kind] = found.get(kind, MEMBERS) & roles
    return found


@cache
def _kinds_by_roles() -> dict[tuple[str, ...], tuple[Role, ...]]:
    """The kinds that roles read, for the roles that do not read the log itself."""
    groups: dict[tuple[str, ...], tuple[Role, ...]] = {}
    for role in sorted(MEMBERS - GATES[access_of(AuditLog).gate]):
        kinds = tuple(sorted([kind for kind, roles in readers_of_kinds().items() if role in roles]))
        groups[kinds] = (*groups.get(kinds, ()), role)
    return groups


def _listed(texts: tuple[str, ...]) -> list[Any]:
    return [literal_column(f"'{text}'") for text in texts]


def shows_data(scope: Scope, log: Any) -> Any:
    """Returns true if the caller may see the data of a row of the log."""
    role = scope.role_in(log.workspace_id)
    groups = [
        and_(role.in_(_listed(roles)), log.entity_kind.in_(_listed(kinds)))
        for kinds, roles in _kinds_by_roles().items()
    ]
    return or_(scope.may(log, access_of(AuditLog).gate), *groups)


def kinds_shown(scope: Scope) -> Any:
    """The kinds whose data the caller may see, as a JSON list; null for all kinds."""
    role = scope.role_in(scope.workspace_id)
    lists: list[tuple[Any, Any]] = [
        (role.in_(_listed(roles)), literal_column("'[" + ", ".join([f'"{kind}"' for kind in kinds]) + "]'::jsonb"))
        for kinds, roles in _kinds_by_roles().items()
    ]
    readers = tuple(sorted(GATES[access_of(AuditLog).gate]))
    return case((role.in_(_listed(readers)), null()), *lists, else_=literal_column("'[]'::jsonb", JSONB()))
