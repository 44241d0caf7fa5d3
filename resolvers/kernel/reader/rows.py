"""Which rows: what a query operation returns, before anybody asked for a shape."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from sqlalchemy import BindParameter, literal_column
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.sql.selectable import AliasedReturnsRows, TableClause
from sqlmodel import SQLModel

from models.base import UNVALIDATED, readable
from models.sealed import SealedBytes
from resolvers.kernel.ground.inputs import Input, Paging
from resolvers.kernel.reader import filters
from resolvers.kernel.reader.clauses import clause

T = TypeVar("T", bound=SQLModel, covariant=True)


class Window(NamedTuple):
    """Which of the rows. It begins behind the `place` of a cursor, or, `backward`, ends before it; its rows are in the
    order of the list in both cases. `most`: how many it can hold at most.
    """

    limit: Any = None
    offset: Any = None
    place: Any = None
    most: int | None = None
    backward: bool = False


EVERYTHING = Window()


class View(SQLModel):
    """Rows that are not one table's: a report. Its fields name the columns of the statement it is read from."""

    model_config = UNVALIDATED


@dataclass(frozen=True, eq=False)
class Branch:
    """Rows of one kind among several that form a list together: a select with the columns of the View, without
    DISTINCT.

    `each`: a select of the values that the expression `by` may have, if there are several. Each branch is limited to
    the rows that the page can take before the merge, so that an index in the list's order serves it.

    `unless`: a condition on the columns of rows that another branch has. They are dropped after that limit, so a branch
    with few rows of its own is not read to its end.

    If a function of the database finds the rows, `rows` receives the number of wanted rows and the position to begin
    after, one value for each key of the order, and `total` is their number. The function may stop before a page is
    full: its last row is then a mark, whose boolean field `mark` in the View is true. A mark is not a row; the page
    ends there, and the next one continues.
    """

    rows: Any
    each: Any = None
    by: Any = None
    total: Any = None
    mark: str | None = None
    unless: Callable[[Any], Any] | None = None


class Read(Generic[T]):
    """Rows, one Row or a Page of a model. `source` is the statement of a View; tables are read from themselves."""

    many = True
    hidden = False
    """For the row that a list belongs to: true if it counts even if the caller may not see it (Subject.hidden)."""

    def __init__(
        self,
        model: type[T],
        source: Any = None,
        where: tuple[Any, ...] = (),
        order: tuple[Any, ...] = (),
        window: Window = EVERYTHING,
        missing: str = "",
        parent: "Read[Any] | None" = None,
        partner: Mapping[str, Any] = MappingProxyType({}),
        each: tuple[Any, Any] | None = None,
        branches: tuple[Branch, ...] = (),
        unique: bool = False,
        among: Any = None,
        beside: Any = None,
    ) -> None:
        self.model, self.source, self.conditions, self.order, self.window, self.missing = (
            model,
            source,
            where,
            order,
            window,
            missing,
        )
        self.parent, self.partner, self.each, self.branches = parent, partner, each, branches
        self.unique, self.among, self.beside = unique, among, beside

    def _as(self, kind: type[Any], **changes: Any) -> Any:
        now = {
            "source": self.source,
            "where": self.conditions,
            "order": self.order,
            "window": self.window,
            "missing": self.missing,
            "parent": self.parent,
        }
        now |= {"partner": self.partner, "each": self.each, "branches": self.branches, "unique": self.unique}
        now |= {"among": self.among, "beside": self.beside}
        return kind(self.model, **(now | changes))

    def under(self, parent: "Row[Any]") -> Self:
        """A list that belongs to one row: without that row the answer is its NOT_FOUND, and not an empty list."""
        made: Self = self._as(type(self), parent=parent, missing=parent.missing)
        return made


class Row(Read[T]):
    """One row; when there is none, the operation is refused with NOT_FOUND and the text `missing`."""

    many = False


class Page(Read[T]):
    """A window of rows, with a total and cursors on request."""


class Rows(Read[T]):
    """All rows that match."""

    def where(self, *conditions: Any) -> Self:
        made: Self = self._as(type(self), where=(*self.conditions, *conditions))
        return made

    def along(self, *conditions: Any, **same: Any) -> Self:
        """The rows that have a partner in another table, which `conditions` find: one at most.

        `same`: columns of the model -> columns of the partner that hold the same values. The list is ordered, and
        entered at a cursor, by these, so that an index of the partner's table gives its order.
        """
        made: Self = self._as(type(self), where=(*self.conditions, *conditions), partner=same)
        return made

    def order_by(self, *keys: Any, unique: bool = False) -> Self:
        """`unique`: no two of these rows have the same keys. Otherwise the primary key is appended."""
        made: Self = self._as(type(self), order=keys, unique=unique)
        return made

    def matching(self, data: Input) -> Self:
        """The rows that the filters of an input let through, in the order that it chooses."""
        made: Self = self._as(
            type(self), where=(*self.conditions, *filters.conditions(data)), each=filters.of_each(data)
        )
        keys = filters.order(data)
        return made.order_by(*keys) if keys else made

    def found_among(self, ids: Any) -> Self:
        """Rows that can only have one of these ids: an array that the database computes once, before it reads a row.
        Null: there are too many, so the list is read in its order until the window is full.
        """
        made: Self = self._as(type(self), among=ids)
        return made

    def limit(self, size: int) -> Self:
        """The first rows alone: for a list that is cut, and has no pages."""
        made: Self = self._as(type(self), window=Window(literal_column(str(size)), most=size))
        return made

    def up_to(self, size: Any, most: int) -> Self:
        """As many of the first rows as the caller asks for; `most`: the largest size that the input allows."""
        made: Self = self._as(type(self), window=Window(size, most=most))
        return made

    def one(self, missing: str) -> Row[T]:
        made: Row[T] = self._as(Row, missing=missing)
        return made

    def page(self, data: Paging) -> Page[T]:
        backward = data.last is not None
        place = data.before if backward else data.after
        window = Window(data.limit, data.offset, place, data.page_maximum, backward)
        made: Page[T] = self._as(Page, window=window)
        return made


def columns_of(model: type[SQLModel]) -> Collection[str]:
    """The columns that shapes, edges and derived values may name. Secret columns are excluded."""
    return model.model_fields.keys() if issubclass(model, View) else readable(model).keys()


def only_readable(*expressions: Any) -> None:
    """Refuses conditions, orders and derived values that contain a secret column, in any function or subquery."""
    # views are ordered by names
    parts = [clause(expression) for expression in expressions if not isinstance(expression, str)]
    while parts:
        part = parts.pop()
        if isinstance(getattr(part, "type", None), SealedBytes):
            raise TypeError(f"{part} holds secrets: nothing is filtered, sorted or computed by it")
        if isinstance(part, (ColumnClause, BindParameter)):  # most of all parts, and without any of their own
            continue
        inner = part
        while isinstance(inner, AliasedReturnsRows):  # a lateral one is an alias of an alias
            inner = inner.element
        if not isinstance(inner, TableClause):  # all of whose columns would be its parts
            # of a subquery: taken from there, a column has this type still
            handed_on = SealedBytes if inner is not part else ()
            parts += [p for p in inner.get_children() if not isinstance(getattr(p, "type", None), handed_on)]
