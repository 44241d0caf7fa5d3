"""Filters and orders of lists, as data: declared in the type of an input's field, they apply to the list and to every
edge that takes the input.

A list has one plan for each order and each leading filter: the first one in the request that has an index. Later
filters, and filters that never lead, are conditions of its plan, which are true if the filter is absent. If the leading
filter has several values, the list merges the first rows of each: an index is ordered within one value only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import takewhile
from typing import Annotated, Any

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function
from sqlalchemy import ARRAY, and_, collate, distinct, false, func, literal_column, or_, select
from sqlmodel import SQLModel

from models.base import alias_of, table_of
from resolvers.kernel.ground.bounds import notes_of
from resolvers.kernel.ground.inputs import at_most
from resolvers.kernel.reader.clauses import clause

MOST_LISTED = 100  # values of one filter
MOST_OF_ONE = 100  # characters of a value: all together fit into a URL


@dataclass(frozen=True, eq=False)
class Filter:
    """`status: Annotated[Statuses | None, Filter(Mission.status)]`: rows with the value, or one of a list.

    Instead of a column it may be a function from the value to a condition. `leads`: an index begins with this column.
    `bounds`: an index begins or ends there, so that there are plans with it and plans without. `beside`: a filter that
    leads; if an index has both columns, both lead. `scope`: a token also needs this scope, because the filter
    reads columns that the rows do not show. Without `on`, the operation itself narrows its rows.
    """

    on: Any = None
    leads: bool = False
    bounds: bool = False
    beside: str = ""
    scope: str = ""

    def condition(self, value: Any) -> Any:
        if callable(self.on) and not hasattr(self.on, "__clause_element__"):
            return self.on(value)
        column, given = clause(self.on), clause(value)
        return column == func.any(given) if isinstance(given.type, ARRAY) else column == given


@dataclass(frozen=True, eq=False)
class Order:
    """`sort: Annotated[IssueSort, Order({IssueSort.created_at: (col(Mission.created_at), …)})]`: each order's keys."""

    keys: Mapping[Any, tuple[Any, ...]]


@cache
def filters_of(model: type[BaseModel]) -> dict[str, Filter]:
    return {name: note for name in model.model_fields for note in notes_of(model, name) if isinstance(note, Filter)}


@cache
def scopes_of_filters(model: type[BaseModel]) -> dict[str, str]:
    return {name: filter.scope for name, filter in filters_of(model).items() if filter.scope}


@cache
def orders_of(model: type[BaseModel]) -> dict[str, Order]:
    return {name: note for name in model.model_fields for note in notes_of(model, name) if isinstance(note, Order)}


@cache
def leading(model: type[BaseModel]) -> tuple[str, ...]:
    """The filters that may lead, in the order in which they do."""
    return tuple([name for name, filter in filters_of(model).items() if filter.leads])


def leader(data: BaseModel) -> str | None:
    """The filter that leads in this call."""
    return next((name for name in leading(type(data)) if getattr(data, name) is not None), None)


def leaders(data: BaseModel) -> tuple[str, ...]:
    """The filter that leads in this call, and those that lead beside it."""
    first = leader(data)
    if first is None:
        return ()
    filters = filters_of(type(data))
    return (first, *[n for n, f in filters.items() if f.beside == first and getattr(data, n) is not None])


def unsent(data: BaseModel) -> tuple[str, ...]:
    """Leading filters that precede the one in use; no call of this plan has them, so it has no conditions for them."""
    return tuple(takewhile(lambda name: getattr(data, name) is None, leading(type(data))))


def conditions(data: BaseModel) -> list[Any]:
    """The conditions of an input's filters. Values are parameters; see `Trace.symbolic`."""
    made = []
    for name, filter in filters_of(type(data)).items():
        value = getattr(data, name)
        if value is None or filter.on is None or _is_of_each(filter, value):
            continue
        holds = filter.condition(value)
        made.append(_where_sent(value.clause, holds) if getattr(value, "optional", False) else holds)
    return made


def _where_sent(value: Any, holds: Any) -> Any:
    """The condition of a filter that need not have been sent. PostgreSQL expects almost all rows to pass a test for
    NULL. By the condition itself it would expect few, for each filter fewer, and sort a table for a page.
    """
    return func.nullif(or_(value.is_(None), holds), false()).is_not(None)


def of_each(data: BaseModel) -> tuple[Any, Any] | None:
    """The column and the values of the filter that leads, where it has several."""
    found = [
        (clause(filter.on), clause(getattr(data, name)))
        for name, filter in filters_of(type(data)).items()
        if _is_of_each(filter, getattr(data, name))
    ]
    return found[0] if found else None


def _is_of_each(filter: Filter, value: Any) -> bool:
    return filter.leads and value is not None and not value.optional and isinstance(clause(value).type, ARRAY)


def order(data: BaseModel) -> tuple[Any, ...]:
    """The keys of the order that was chosen; none where the input has no choice."""
    chosen = ((getattr(data, name), order) for name, order in orders_of(type(data)).items())
    return next((order.keys[value] for value, order in chosen if value is not None), ())


# ---- conditions ------------------------------------------------------------------------------------------------------


def contains(column: Any) -> Callable[[Any], Any]:
    """Rows whose text has the value in it, ASCII letters in either case. Nothing in the value is a pattern."""
    return lambda value: (
        func.strpos(func.lower(collate(clause(column), "C")), func.lower(collate(clause(value), "C"))) > 0
    )


def through(
    owner: type[SQLModel], link: type[SQLModel], key: str, target: type[SQLModel], other_key: str, column: str
) -> Callable[[Any], Any]:
    """Rows of `owner` that have one of `target` with this value in its `column`: a row of `link` names both, in `key`
    and `other_key`.
    """

    def condition(value: Any) -> Any:
        own, ties, rows = table_of(owner), alias_of(link), alias_of(target)
        joined = ties.join(rows, and_(rows.c.workspace_id == ties.c.workspace_id, rows.c.id == ties.c[other_key]))
        found: Any = (
            select(literal_column("1"))
            .select_from(joined)
            .where(ties.c.workspace_id == own.c.workspace_id, ties.c[key] == own.c.id)
        )
        return found.where(rows.c[column] == clause(value)).exists()

    return condition


def linked(
    owner: type[SQLModel], link: type[SQLModel], key: str, other_key: str, *, every: bool = False
) -> Callable[[Any], Any]:
    """Rows of `owner` that rows of `link`, in `key` and `other_key`, tie to one of several ids, or to `every` one."""

    def condition(value: Any) -> Any:
        own, ties, ids = table_of(owner), alias_of(link), clause(value)
        tied = [ties.c.workspace_id == own.c.workspace_id, ties.c[key] == own.c.id, ties.c[other_key] == func.any(ids)]
        if not every:
            return select(literal_column("1")).select_from(ties).where(*tied).exists()
        wanted = func.unnest(ids).table_valued("id", name="wanted").render_derived()
        number = select(func.count(distinct(wanted.c.id))).scalar_subquery()
        return select(func.count()).select_from(ties).where(*tied).scalar_subquery() == number

    return condition


def says_below(owner: type[SQLModel], part: type[SQLModel], key: str, column: str) -> Callable[[Any], Any]:
    """Rows of `owner` with a row of `part`, tied by `key`, whose text in `column` contains the value."""

    def condition(value: Any) -> Any:
        own, parts = table_of(owner), alias_of(part)
        tied = (parts.c.workspace_id == own.c.workspace_id, parts.c[key] == own.c.id)
        found: Any = select(literal_column("1")).select_from(parts).where(*tied)
        return found.where(contains(parts.c[column])(value)).exists()

    return condition


# ---- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CommaList:
    """A list; in REST its values are separated by commas. A value outside a closed set matches nothing."""

    kind: type[StrEnum] | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        values = None if self.kind is None else {member.value: member for member in self.kind}

        def read(raw: Any) -> Any:
            given = [part.strip() for part in raw.split(",")] if isinstance(raw, str) else raw
            if values is None or not isinstance(given, list):
                return given
            return [values[value] for value in given if isinstance(value, str) and value in values]

        return no_info_before_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        named = "" if self.kind is None else f" of {', '.join(member.value for member in self.kind)}"
        return {
            "type": "string",
            "description": f"One or more{named}, separated by commas; unknown values match nothing.",
        }


CommaTexts = Annotated[
    list[Annotated[str, Field(strict=True, max_length=MOST_OF_ONE)]], at_most(MOST_LISTED), CommaList()
]
"""Several texts."""


@dataclass(frozen=True)
class Otherwise:
    """For a closed set: any unknown value is `default`."""

    default: StrEnum

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        known = {member.value for member in type(self.default)}
        read: Callable[[Any], Any] = lambda raw: raw if isinstance(raw, str) and raw in known else self.default  # noqa: E731
        return no_info_before_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        named = ", ".join(member.value for member in type(self.default))
        return {"type": "string", "description": f"One of {named}; any other value means {self.default.value}."}
