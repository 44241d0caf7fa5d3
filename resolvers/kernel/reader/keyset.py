"""Rows beyond a cursor, as conditions that an index can begin at."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from sqlalchemy import Case, Date, DateTime, Label, and_, case, false, literal_column, or_, tuple_
from sqlalchemy.sql.elements import BinaryExpression, ColumnClause, Grouping, Null, UnaryExpression
from sqlalchemy.sql.functions import coalesce
from sqlalchemy.sql.operators import concat_op, desc_op, is_, is_not

from models.base import PARTED_BY, PARTITION, stored_of
from resolvers.errors import invalid
from resolvers.kernel.reader.trace import Trace

NO_CURSOR = "not a cursor of this list"
NULL = "NULL"
EARLIEST, LATEST = [literal_column(f"timestamptz '{sign}infinity'", DateTime(timezone=True)) for sign in ("-", "")]


def key_of(key: Any) -> Any:
    """The expression of a key of an order, without its direction."""
    return key.element if isinstance(key, UnaryExpression) else key


def descends(key: Any) -> bool:
    return isinstance(key, UnaryExpression) and key.modifier is desc_op


def is_constant(key: Any) -> bool:
    """Returns true if the key is the same value for all rows: a literal of the statement."""
    element = key.element if isinstance(key, Label) else key
    return isinstance(element, ColumnClause) and element.is_literal


def is_nullable(key: Any) -> bool:
    """Returns true if the form of the expression allows NULL."""
    if isinstance(key, ColumnClause):
        stored = stored_of(key)
        return key.name == NULL if is_constant(key) else stored is None or bool(stored.nullable)
    if isinstance(key, Label):
        return is_nullable(key.element)
    if isinstance(key, coalesce):
        return all(is_nullable(c) for c in key.clauses)
    if isinstance(key, Case):
        results = [then for _, then in key.whens]
        return (
            any(map(is_nullable, results))
            or key.else_ is None
            or (is_nullable(key.else_) and not _tested(key, key.else_))
        )
    if isinstance(key, BinaryExpression) and key.operator is concat_op:
        return is_nullable(key.left) or is_nullable(key.right)
    return not (isinstance(key, BinaryExpression) and key.operator in (is_, is_not))


def _tested(key: Case[Any], result: Any) -> bool:
    """CASE WHEN a IS NULL THEN b ELSE a: the ELSE is not NULL."""
    tests = [w.element if isinstance(w, Grouping) else w for w, _ in key.whens]
    return any(
        isinstance(w, BinaryExpression) and w.operator is is_ and isinstance(w.right, Null) and w.left.compare(result)
        for w in tests
    )


def turned(order: list[Any]) -> list[Any]:
    """The order of a list that is walked backwards: what was last comes first, nulls too."""
    return [key_of(key) if descends(key) else key_of(key).desc() for key in order]


class Cursors:
    """The place that a parameter `after` or `before` names, in lists of any order."""

    def __init__(self, trace: Trace, cursor: Any) -> None:
        self.trace, self.name, self.field = trace, cursor.clause.key, cursor.name
        self.whole = trace.getters[self.name]

    def beyond(self, order: list[Any]) -> list[Any]:
        """Conditions for the rows behind the cursor.

        One comparison of rows where all keys go one way and none can be NULL: the index begins there. Else the general
        form, beside a bound for the first key, without which an index would begin at its start; there is none for a
        first key that can be NULL.
        """
        keys = [key_of(k) for k in order]
        bounds = self.place([key.type for key in keys])
        nullable, downs = [is_nullable(k) for k in keys], [descends(k) for k in order]
        if not any(nullable) and len(set(downs)) == 1:
            if len(keys) > 1 and is_constant(keys[0]):
                return _behind_constant(keys, bounds, downs[0])
            row, place = tuple_(*keys), tuple_(*bounds)
            further = row < place if downs[0] else row > place
            return [_up_to(keys[0], bounds[0], downs[0]), further] if _parts(keys[0]) else [further]
        general: Any = false()
        for key, bound, down, may_be_null in reversed(list(zip(keys, bounds, downs, nullable, strict=True))):
            general = or_(_further(key, bound, down, may_be_null), and_(_same(key, bound, may_be_null), general))
        if not keys or nullable[0]:
            return [general]
        return [_up_to(keys[0], bounds[0], downs[0]), general]

    def place(self, types: list[Any]) -> list[Any]:
        """The cursor's values for the keys of an order, which are of these types."""
        return [self._bound(place, type_, len(types)) for place, type_ in enumerate(types)]

    def _bound(self, place: int, type_: Any, size: int) -> Any:
        whole, field, read_key = self.whole, self.field, _reader(type_)
        read: Callable[[Any], Any] = lambda call: _value(field, whole(call), place, read_key, size)  # noqa: E731
        return self.trace.bind(f"{self.name}_{place}", read, type_)


def _parts(key: Any) -> bool:
    """Returns true if a table is partitioned by the key. A row comparison does not tell PostgreSQL which partitions to
    skip.
    """
    if not isinstance(key, ColumnClause) or key.name != PARTED_BY:
        return False
    stored = stored_of(key)
    return stored is not None and PARTITION in stored.table.info


def _up_to(key: Any, bound: Any, down: bool) -> Any:
    return key <= bound if down else key >= bound


def _behind_constant(keys: list[Any], bounds: list[Any], down: bool) -> list[Any]:
    """The rows of a branch that all have the same first key: all of them, none, or those behind the other keys. A time
    as the second key gets a bound of its own, at which an index begins.
    """
    (first, *rest), (place, *others) = keys, bounds
    further = tuple_(*rest) < tuple_(*others) if down else tuple_(*rest) > tuple_(*others)
    found = or_(_further(first, place, down, False), and_(first == place, further))
    if not isinstance(rest[0].type, DateTime):
        return [found]
    start, end = (LATEST, EARLIEST) if down else (EARLIEST, LATEST)
    begins = case((_further(first, place, down, False), start), (first == place, others[0]), else_=end)
    return [_up_to(rest[0], begins, down), found]


def _further(key: Any, bound: Any, down: bool, may_be_null: bool) -> Any:
    """Ascending order has nulls last, descending order first."""
    if not may_be_null:
        return key < bound if down else key > bound
    if down:
        return or_(and_(bound.is_(None), key.is_not(None)), key < bound)
    return and_(bound.is_not(None), or_(key > bound, key.is_(None)))


def _same(key: Any, bound: Any, may_be_null: bool) -> Any:
    return key.is_not_distinct_from(bound) if may_be_null else key == bound


def _reader(type_: Any) -> Callable[[str], Any] | None:
    """Returns the function that reads a key from the text in a cursor; None for a type that JSON has."""
    if isinstance(type_, DateTime):
        return datetime.fromisoformat
    return date.fromisoformat if isinstance(type_, Date) else None


def _value(field: str, keys: tuple[Any, ...], place: int, read: Callable[[str], Any] | None, size: int) -> Any:
    try:
        if len(keys) != size:
            raise ValueError
        return keys[place] if read is None or keys[place] is None else read(keys[place])
    except (ValueError, TypeError):
        raise invalid(field, NO_CURSOR) from None
