"""Core expressions of SQLAlchemy."""

from typing import Any

from sqlalchemy.sql.elements import ClauseElement


def clause(thing: Any) -> Any:
    """The Core expression behind an ORM attribute or a Param."""
    while not isinstance(thing, ClauseElement):
        thing = thing.__clause_element__()
    # an ORM attribute carries annotations that make it unequal to the table's own column
    return thing._deannotate() if hasattr(thing, "_deannotate") else thing
