"""Ids of journal entries: by time, and then by the row that has the details."""

from datetime import UTC, datetime, timedelta
from typing import Final

from models.oversight.journal import JournalEntry

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def line_id(entry: JournalEntry) -> str:
    """The id by which an entry is read: its time and kind before its own."""
    return f"j{(entry.created_at - EPOCH) // MICROSECOND:014x}je{entry.id}"
