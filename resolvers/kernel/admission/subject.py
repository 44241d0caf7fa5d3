"""The row that a route names: found behind the gate, before the guards and the body are looked at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, bindparam, func, select
from sqlmodel import SQLModel

from models.base import TenantRow, alias_of, table_of
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.reader.clauses import clause, onto
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.statements import ONE, SCOPE, Statement, compiled

NO_LIMIT = Scope.of(lambda name: bindparam(f"scope_{name}", type_=Text()), limited=False)


@dataclass(frozen=True, eq=False)
class Subject:
    """`subject=Subject(IssueComment, "comment_id", of=Subject(Crew, "crew_id"))`: without such a row, NOT_FOUND.

    `field`: the field of the input that names the row; `by`: the column with that name. `of`: the parent row, which the
    route names as well; `key`: the column that refers to it. `also`: further fields, which must equal the columns of
    the same names. `where`: the rows of the table that count. `called`: the name in the refusal. `judged_first`: guards
    run before NOT_FOUND, and then receive None. `hidden`: finds rows that the caller may not see, too: for a guard that
    refuses them, and for lists below them that everyone may read. `deleted`: finds deleted rows, too, for reads of
    their remains. `spelled`: the value of the column, from the one that clients send. `any_case`: without a row of
    exactly this name, the one in capitals or in small letters.
    """

    model: type[SQLModel]
    field: str = "id"
    by: str = "id"
    of: "Subject | None" = None
    key: str | None = None
    where: tuple[Any, ...] = ()
    called: str | None = None
    also: tuple[str, ...] = ()
    judged_first: bool = False
    hidden: bool = False
    deleted: bool = False
    spelled: Callable[[str], str] | None = None
    any_case: bool = False

    def __post_init__(self) -> None:
        columns = table_of(self.model).c
        for name in (self.by, *self.also):
            if name not in columns:
                raise TypeError(f"{self.model.__name__} has no column {name}")
        if self.of is not None and self.parent_key not in columns:
            raise TypeError(f"{self.model.__name__} has no column {self.parent_key}")

    @property
    def missing(self) -> str:
        return f"{self.called or self.model.__name__} not found"

    @property
    def parent_key(self) -> str:
        """The column that names the row this one belongs to; `crew_id`, where that is a Crew."""
        return self.key or (f"{self.of.model.__name__.lower()}_id" if self.of else "")

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the input that name rows, from the outermost."""
        return (*(self.of.fields if self.of else ()), *self.also, self.field)

    @property
    def parents(self) -> tuple[type[SQLModel], ...]:
        return () if self.of is None else (self.of.model, *self.of.parents)

    def named(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The values that name the rows; None for invalid ones."""
        values = {name: raw.get(name) for name in self.fields}
        if self.spelled is not None and isinstance(sent := values[self.field], str):
            values[self.field] = self.spelled(sent)
        return {name: value if isinstance(value, str) and "\0" not in value else None for name, value in values.items()}

    def check(self, operation: str, input: type[Input]) -> None:
        """Raises TypeError if the input does not name the rows."""
        if missing := [name for name in self.fields if name not in input.model_fields]:
            raise TypeError(f"{operation}: the input has no field {missing[0]}")

    def conditions(self, scope: Scope, value: Callable[[str], Any], outer: Sequence[Any] = ()) -> list[Any]:
        """Conditions that select the row among the live and visible rows of its table, by the table's own columns."""
        table = table_of(self.model)
        found = [table.c[self.by] == self._name(scope, value(self.field))]
        found += [table.c[name] == value(name) for name in self.also]
        found += [clause(condition) for condition in self.where]
        if self.of is None:
            return found
        alias = alias_of(self.of.model)
        adapt = onto(alias, table_of(self.of.model))
        rows = [adapt(clause(condition)) for condition in self.of.conditions(scope, value, (*outer, alias))]
        rows += [*_live(self.of.model, alias, scope), *scope.sees(self.of.model, alias, (*outer, table))]
        parent = select(ONE).select_from(alias).where(alias.c.id == table.c[self.parent_key], *rows)
        return [*found, parent.correlate(*outer, table).exists()]

    def _name(self, scope: Scope, value: Any) -> Any:
        """The required value of the column. Each spelling is looked up by itself, in the key of the column."""
        if not self.any_case:
            return value
        rows = table_of(self.model).alias()
        at = [rows.c.workspace_id == scope.workspace_id] if issubclass(self.model, TenantRow) else []
        exact, capitals = [
            select(rows.c[self.by]).where(rows.c[self.by] == spelling, *at).correlate(None).scalar_subquery()
            for spelling in (value, func.upper(value, type_=Text()))
        ]
        return func.coalesce(exact, capitals, func.lower(value, type_=Text()), type_=Text())

    def found(self, scope: Scope, value: Callable[[str], Any], outer: Sequence[Any] = ()) -> list[Any]:
        """The conditions of the one row."""
        table = table_of(self.model)
        seen = [] if self.hidden else scope.sees(self.model, table, outer)
        return [*self.conditions(scope, value, outer), *_live(self.model, table, scope, self.deleted), *seen]


def _live(model: type[SQLModel], table: Any, scope: Scope, deleted: bool = False) -> list[Any]:
    own = [table.c.workspace_id == scope.workspace_id] if issubclass(model, TenantRow) else []
    return own + ([table.c.deleted_at.is_(None)] if "deleted_at" in table.c and not deleted else [])


def finding(subject: Subject, lock: bool, limited: bool) -> Statement:
    """SELECT of the row for a command; the values that name it are parameters by the names of their fields."""

    def build() -> Any:
        table = table_of(subject.model)
        scope = SCOPE if limited else NO_LIMIT
        made = select(table).where(*subject.found(scope, lambda field: bindparam(f"named_{field}", type_=Text())))
        return made.with_for_update(key_share=True, of=table) if lock else made

    return compiled((subject, "find", lock, limited), build)
