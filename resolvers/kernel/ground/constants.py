"""Constants of a statement: they stand in its text and not among its parameters, so that the planner knows them, as an
index of some of the rows needs it. This is the one place that quotes them.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import literal_column
from sqlalchemy.types import TypeEngine

TYPE = re.compile(r"[a-z]+(\[\])?")
ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def constant(value: Any, type_: TypeEngine[Any] | None = None, *, as_: str | None = None) -> Any:
    """A member of a closed set, a number, a text, a time, JSON, or None, as part of the text of a statement.

    `type_`: what SQLAlchemy is to take it for. `as_`: the type that PostgreSQL is to read it as, such as `text`.
    """
    if as_ is not None and not TYPE.fullmatch(as_):
        raise TypeError(f"{as_}: no type of a constant")
    return literal_column(quoted(value) + ("" if as_ is None else f"::{as_}"), type_)


def interval(type_: TypeEngine[Any] | None = None, **length: int) -> Any:
    """A length of time in one unit: `interval(hours=24)`. A day is PostgreSQL's, also where clocks change."""
    ((unit, number),) = length.items()
    if unit not in ("days", "hours", "minutes", "seconds"):
        raise TypeError(f"{unit}: no unit of a length of time")
    return literal_column(f"interval '{number:d} {unit}'", type_)


def quoted(value: Any) -> str:
    """The value as an SQL literal. Raises TypeError if the value has no unambiguous literal."""
    match value:
        case None:
            return "NULL"
        case Enum():
            return quoted(value.value)
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case datetime() if value.tzinfo is not None:
            return f"timestamptz '{value.astimezone(UTC).isoformat(' ').removesuffix(':00')}'"
        case timedelta() if not value.microseconds:
            return f"interval '{value // timedelta(seconds=1)} seconds'"
        case list() | dict():
            return f"{_text(json.dumps(value, ensure_ascii=False))}::jsonb"
    raise TypeError(f"{type(value).__name__}: no constant of a statement")


def _text(value: str) -> str:
    """Backslashes mean the same with and without `standard_conforming_strings`."""
    if "\0" in value:
        raise TypeError("a text of PostgreSQL has no NUL")
    text = value.replace("'", "''")
    if ESCAPED.keys().isdisjoint(text):
        return f"'{text}'"
    return "E'" + "".join([ESCAPED.get(letter, letter) for letter in text]) + "'"


DATE: Any = literal_column("(now() AT TIME ZONE 'UTC')::date")
DAY: Any = literal_column("to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
MIDNIGHT: Any = literal_column("date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")
"""The day that it is, as a date, as a text and as the time when it began: in UTC."""
