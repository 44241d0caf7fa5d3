"""Envelopes: objects around a list, each of whose fields declares its source. One statement writes all of it."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from resolvers.kernel.declarations.outputs import Absent
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.inputs import accepts_none, bare
from resolvers.kernel.reader import Beside, Column, EnvelopeShape, InputValue, Nested, Part, Shape, columns_of
from resolvers.kernel.reader.trace import sql_type
from rest_compat.http.table import Wire, shape_of


@dataclass(frozen=True, slots=True)
class Number:
    """A number about the rows: see TOTAL, SHOWN, PAGES and NEXT."""

    name: str


TOTAL = Number("total")
"""Rows that match: `total: Annotated[int, TOTAL]`."""
SHOWN = Number("shown")
"""Rows in this answer."""
PAGES = Number("pages")
"""Pages of the limit that was asked for that hold all rows; 0 when there is none."""
NEXT = Number("next")
"""The cursor after the last row, or an empty text at the end: `next_cursor: Annotated[str, NEXT]`. Such an envelope has
the list and, at most, the number of SHOWN rows.
"""


@dataclass(frozen=True, slots=True)
class FromInput:
    """The validated field of the input with this name, from path or query. Null becomes an empty text if the text is
    not nullable.
    """


@dataclass(frozen=True, slots=True)
class AnswerOf:
    """The answer of another query to the same caller: all of it, or one column of its row."""

    query: Query[Any, Any]
    column: str | None = None


class Envelope(Wire):
    """An object around a list. The field without a mark is the rows, or an Envelope of marked fields."""

    @classmethod
    def shaped(cls) -> Shape:
        return EnvelopeShape.of(*[_part(cls, name, info) for name, info in cls.model_fields.items()])


class PaginationJSON(Envelope):
    """`total_pages` is 0 for an empty list."""

    page: Annotated[int, FromInput()]
    limit: Annotated[int, FromInput()]
    total: Annotated[int, TOTAL]
    total_pages: Annotated[int, PAGES]


def _part(wire: type[Wire], name: str, info: Any) -> Part:
    key, kind, marks = info.alias or name, bare(info.annotation), info.metadata
    for mark in marks:
        if isinstance(mark, Number):
            return Column(key, mark.name)
        if isinstance(mark, FromInput):
            absent = any(isinstance(m, Absent) for m in marks)
            return InputValue(
                key, name, sql_type(kind), absent, empty=kind is str and not accepts_none(info.annotation)
            )
        if isinstance(mark, AnswerOf):
            return Beside(key, mark.query, _answer(f"{wire.__name__}.{name}", kind, mark))
    shape = shape_of(kind) if get_origin(kind) is list or issubclass(kind, Envelope) else None
    if shape is None:
        raise TypeError(f"{wire.__name__}.{name}: nothing says where it comes from")
    return Nested(key, None, shape)


def _answer(field: str, kind: Any, mark: AnswerOf) -> Shape:
    model = mark.query.model
    if mark.column is not None:
        if mark.column not in columns_of(model):
            raise TypeError(f"{field}: {model.__name__} has no column {mark.column}")
        return Shape((Column(mark.column, mark.column),), "value")
    inner = get_args(kind)[0] if get_origin(kind) is list else kind
    shape = shape_of(kind) if isinstance(inner, type) and issubclass(inner, Wire) else None
    if shape is None or inner.__of__ is not model or mark.query.form.many is not (shape.form == "list"):
        raise TypeError(f"{field}: it is not what {mark.query.name} answers")
    return shape
