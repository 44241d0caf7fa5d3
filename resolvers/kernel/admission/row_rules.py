"""Rules about rows: who may act on a row, stated once for guards, in Python, and for `viewer_can`, in SQL.

See docs/kernel.md.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, false, func, literal_column, not_, or_, select
from sqlmodel import SQLModel

from models.base import table_of
from models.people.workspaces import Role
from resolvers.errors import forbidden
from resolvers.kernel.ground.policy import lowest


class RowRule:
    """Who may act on a row. `holds` and `condition` agree. A rule that looks at the row does not hold for None."""

    role: Role | None = None
    """The role from which on it holds for every row, if there is one."""

    async def holds(self, ctx: Any, row: Any) -> bool:
        raise NotImplementedError

    def condition(self, row: Any, scope: Any) -> Any:
        """The same of the columns of a row; never null."""
        raise NotImplementedError

    def __or__(self, other: "RowRule") -> "RowRule":
        return _Either((self, other))

    def __and__(self, other: "RowRule") -> "RowRule":
        return _Both((self, other))

    def __invert__(self) -> "RowRule":
        return _Not(self)


@dataclass(frozen=True)
class ByRole(RowRule):
    """Members of the workspace with one of these roles."""

    roles: frozenset[Role]

    @property
    def role(self) -> Role | None:  # type: ignore[override]
        return lowest(self.roles)

    async def holds(self, ctx: Any, row: Any) -> bool:
        return ctx.role in self.roles

    def condition(self, row: Any, scope: Any) -> Any:
        return _known(
            scope.role_in(row["workspace_id"]).in_([literal_column(f"'{role}'") for role in sorted(self.roles)])
        )


@dataclass(frozen=True)
class ByUser(RowRule):
    """The user whose id is in the column: `ByUser(Chat.created_by)`."""

    column: Any

    def __post_init__(self) -> None:
        _by_name(self)

    async def holds(self, ctx: Any, row: Any) -> bool:
        return row is not None and bool(ctx.user_id) and getattr(row, self.column) == ctx.user_id

    def condition(self, row: Any, scope: Any) -> Any:
        return _known(row[self.column] == scope.user_id)


@dataclass(frozen=True)
class Is(RowRule):
    """Everybody, if the column has this value: a flag, or an entry of an enum."""

    column: Any
    value: Any

    def __post_init__(self) -> None:
        _by_name(self)

    async def holds(self, ctx: Any, row: Any) -> bool:
        return row is not None and getattr(row, self.column) == self.value

    def condition(self, row: Any, scope: Any) -> Any:
        value = row[self.column]
        return _known(
            value.is_(self.value) if isinstance(self.value, bool) else value == literal_column(f"'{self.value}'")
        )


@dataclass(frozen=True)
class OfParent(RowRule):
    """Who may act on the live row that the column names."""

    model: type[SQLModel]
    column: Any
    rule: RowRule

    def __post_init__(self) -> None:
        _by_name(self)

    async def holds(self, ctx: Any, row: Any) -> bool:
        if row is None:
            return False
        named = table_of(self.model).c.id == getattr(row, self.column)
        return await self.rule.holds(ctx, await ctx.select(self.model, named).first())

    def condition(self, row: Any, scope: Any) -> Any:
        parent, seen = scope.beside(self.model, row)
        rule = self.rule.condition(parent.c, scope.within((*scope._outer, parent)))
        return _known(scope.scalar(select(rule).where(parent.c.id == row[self.column], *seen)))


@dataclass(frozen=True)
class _Either(RowRule):
    rules: tuple[RowRule, ...]

    @property
    def role(self) -> Role | None:  # type: ignore[override]
        return lowest(frozenset(rule.role for rule in self.rules if rule.role is not None))

    async def holds(self, ctx: Any, row: Any) -> bool:
        for rule in self.rules:
            if await rule.holds(ctx, row):
                return True
        return False

    def condition(self, row: Any, scope: Any) -> Any:
        return or_(*[rule.condition(row, scope) for rule in self.rules])


@dataclass(frozen=True)
class _Both(RowRule):
    rules: tuple[RowRule, ...]

    async def holds(self, ctx: Any, row: Any) -> bool:
        for rule in self.rules:
            if not await rule.holds(ctx, row):
                return False
        return True

    def condition(self, row: Any, scope: Any) -> Any:
        return and_(*[rule.condition(row, scope) for rule in self.rules])


@dataclass(frozen=True)
class _Not(RowRule):
    rule: RowRule

    async def holds(self, ctx: Any, row: Any) -> bool:
        return row is not None and not await self.rule.holds(ctx, row)

    def condition(self, row: Any, scope: Any) -> Any:
        return not_(self.rule.condition(row, scope))


def _by_name(rule: Any) -> None:
    """Keeps the name of the column alone, so that rules are compared by values."""
    object.__setattr__(rule, "column", rule.column.key)


def _known(condition: Any) -> Any:
    return func.coalesce(condition, false())


@dataclass(frozen=True, eq=False)
class Allowed:
    """A guard: refuses callers for whom the rule does not hold, with this text."""

    rule: RowRule
    refusal: str

    async def __call__(self, ctx: Any, row: Any) -> None:
        if not await self.rule.holds(ctx, row):
            raise forbidden(self.refusal, role=self.rule.role)
