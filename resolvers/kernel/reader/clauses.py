"""Core expressions of SQLAlchemy."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.visitors import replacement_traverse


def clause(thing: Any) -> Any:
    """The Core expression behind a Param."""
    while not isinstance(thing, ClauseElement):
        thing = thing.__clause_element__()
    return thing


def moved(same: Mapping[Any, Any]) -> Callable[[Any], Any]:
    """Puts an expression's columns and FROM entries, the keys, in other terms."""

    def replaced(element: Any, **_: Any) -> Any:
        return same.get(element)

    return lambda expression: replacement_traverse(expression, {}, replaced)


def onto(other: Any, *entries: Any) -> Callable[[Any], Any]:
    """Moves expressions of one or more FROM entries onto another, which has their columns by the same names."""
    columns = other.c
    return moved(dict.fromkeys(entries, other) | {c: columns[c.key] for entry in entries for c in entry.c})
