"""Core expressions of SQLAlchemy."""

from typing import Any

from sqlalchemy.sql.elements import ClauseElement


def clause(thing: Any) -> Any:
    """The Core expression behind a Param."""
    while not isinstance(thing, ClauseElement):
        thing = thing.__clause_element__()
    return thing
