"""Failures that repeat: the log has the first one, and then one a minute."""

import time
from typing import Final

EVERY: Final = 60.0  # seconds between two lines about the same


class Reminder:
    """Says when a line about a failure that repeats is due, so that retries do not fill the log."""

    def __init__(self) -> None:
        self._last: dict[type[BaseException] | None, float] = {}

    def is_due(self, error: BaseException | None = None) -> bool:
        """Returns true for the first failure, and then for one a minute; of each type of error, if there is one."""
        kind, now = None if error is None else type(error), time.monotonic()
        last = self._last.get(kind)
        if last is not None and now - last < EVERY:
            return False
        self._last[kind] = now
        return True
