"""The scope of a statement: the facts about its caller, and which rows of a model this caller may see (`graph(Model,
visible=…)`).

See ADR 33.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

from sqlalchemy import func, literal_column, select
from sqlmodel import SQLModel

from models.base import TenantRow, alias_of
from models.people.workspaces import Membership
from resolvers.kernel.ground.policy import GATES, RANK, Action
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.reader.graph import access_of, visible_of
from resolvers.kernel.reader.trace import Param

KNOWN = ("workspace", "user_id", "role")
"""The facts about the caller of a command, by their names in a Call."""
ONE: Any = literal_column("1")
RANKS: Any = literal_column(f"ARRAY{[role.value for role in sorted(RANK, key=RANK.__getitem__)]}::text[]")
"""From the lowest role."""


def hides(model: type[SQLModel], limited: bool) -> bool:
    """Returns true if rows of a model can be hidden from the caller. `limited`: the caller is limited to the rows that
    a user may see; a machine acts for a whole workspace, and in no other.
    """
    return visible_of(model) is not None and (limited or not issubclass(model, TenantRow))


class Scope:
    """The facts about the caller that a query, derived values of a graph and `visible` may use: names, not values.

    `role`: in the one workspace of the call; None if the call spans several. `limited`: as for `hides`.
    """

    def __init__(
        self,
        workspace_id: Param,
        user_id: Param,
        role: Param | None,
        outer: tuple[Any, ...] = (),
        *,
        limited: bool = True,
    ) -> None:
        self.workspace_id, self.user_id, self._role, self._outer, self.limited = (
            workspace_id,
            user_id,
            role,
            outer,
            limited,
        )

    @classmethod
    def of(cls, value: Callable[[str], Any], *, limited: bool = True) -> "Scope":
        """A scope of the parameters that `value` returns for their names."""
        workspace_id, user_id, role = [Param(value(name), name) for name in KNOWN]
        return Scope(workspace_id, user_id, role, limited=limited)

    def within(self, outer: Any) -> Self:
        return type(self)(self.workspace_id, self.user_id, self._role, tuple(outer), limited=self.limited)

    @property
    def outer(self) -> tuple[Any, ...]:
        """The FROM entries that a subquery may refer to."""
        return self._outer

    def around(self, *entries: Any) -> Self:
        """The scope of subqueries that belong to rows of further FROM entries."""
        return self.within((*self._outer, *entries))

    def role_in(self, workspace_id: Any) -> Any:
        """The caller's role in a row's workspace: as the gate judged it, or where it judged none, by membership."""
        if self._role is not None:
            return self._role.clause
        member = alias_of(Membership, "own")
        return self.scalar(
            select(member.c.role).where(member.c.workspace_id == workspace_id, member.c.user_id == self.user_id)
        )

    def may(self, row: Any, action: Action) -> Any:
        """True if the caller may perform this action in the workspace of a row."""
        return self.role_in(row.workspace_id).in_([literal_column(f"'{role.value}'") for role in sorted(GATES[action])])

    def ranks(self, row: Any, role: Any) -> Any:
        """True if the caller's role in the workspace of a row is this one or above it."""
        return func.array_position(RANKS, role) <= func.array_position(RANKS, self.role_in(row.workspace_id))

    def scalar(self, statement: Any) -> Any:
        """A one-value subquery of a derived value, tied to the row it belongs to."""
        return (statement.correlate(*self._outer) if self._outer else statement).scalar_subquery()

    def sees(self, model: type[SQLModel], table: Any, outer: Sequence[Any] = ()) -> list[Any]:
        """The condition for the rows of a FROM entry that the caller may see; none where that is every row. `outer`:
        the entries around it.
        """
        return (
            [clause(access_of(model).visible(table.c, self.within((*outer, table))))]
            if hides(model, self.limited)
            else []
        )

    def beside(self, model: type[TenantRow], row: Any, *, including_deleted: bool = False) -> tuple[Any, list[Any]]:
        """Rows of another table for a value of `row`: a FROM entry, and the conditions of what the caller may see in
        the row's workspace.
        """
        other = alias_of(model)
        live = [other.c.deleted_at.is_(None)] if "deleted_at" in other.c and not including_deleted else []
        return other, [other.c.workspace_id == row.workspace_id, *live, *self.sees(model, other, self._outer)]

    def parent(self, model: type[TenantRow], row: Any, key: str, column: str) -> Any:
        """A column of the row that `key` names, which may be deleted; null where the caller may not see it."""
        other, own = self.beside(model, row, including_deleted=True)
        return self.scalar(select(other.c[column]).where(other.c.id == row[key], *own))

    def has(self, model: type[TenantRow], row: Any, **same: Any) -> Any:
        """True if the workspace of `row` has a live row of `model` with these values, visible or not; for `visible`."""
        other = alias_of(model)
        found = [other.c.workspace_id == row.workspace_id, *[other.c[name] == value for name, value in same.items()]]
        if "deleted_at" in other.c:
            found.append(other.c.deleted_at.is_(None))
        return select(ONE).select_from(other).where(*found).correlate(*self._outer).exists()
