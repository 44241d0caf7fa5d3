"""Times in filters of a log: RFC 3339, or a date. An invalid time is not an error, and matches nothing."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from sqlmodel import col

from models.bounds import LINE
from resolvers.kernel import ENDS, Filter

FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
SHOWN = timedelta(seconds=1)  # times are shown to the second: one that was read there has to find its row
DOCUMENTED = WithJsonSchema(
    {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "A time of RFC 3339, or a date; any other value matches nothing.",
    }
)


def read(raw: Any) -> datetime | None:
    """The time, or None if the value is none."""
    if isinstance(raw, datetime):
        raw = raw.isoformat()
    try:
        if not isinstance(raw, str) or len(raw) > LINE:
            return None
        time = datetime.fromisoformat(raw.strip())
        return min(max((time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC), FIRST), LAST)
    except (ValueError, OverflowError):
        return None


def _from(raw: Any) -> datetime | None:
    return None if raw in (None, "") else read(raw) or LAST


def _until(raw: Any) -> datetime | None:
    if raw in (None, ""):
        return None
    time = read(raw) or FIRST
    return time if time.microsecond else time + SHOWN - timedelta(microseconds=1)


Since = Annotated[datetime | None, PlainValidator(_from), DOCUMENTED, ENDS]
Until = Annotated[datetime | None, PlainValidator(_until), DOCUMENTED, ENDS]


def from_time(column: Any) -> Filter:
    """Rows from this time on."""
    return Filter(lambda value: col(column) >= value.clause, bounds=True)


def up_to(column: Any) -> Filter:
    """Rows up to this time; a time without fractions is the whole second."""
    return Filter(lambda value: col(column) <= value.clause, bounds=True)
