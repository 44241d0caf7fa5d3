"""The time. Everything that compares times asks here, so that a test can move them.

Hosts share the time of their database: one whose own clock is wrong would find work due too early or too late, and
refuse the tickets of others.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import Gauge

APART = 1.0  # seconds that the clocks of a host and of its database may differ
PROMPT = 1.0  # seconds within which an answer says what the time is

AHEAD = Gauge("crewship_clock_ahead_seconds", "How far this host's clock is ahead of the database's; 0 below a second")


class Clock:
    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self.source, self.ahead = source, 0.0

    def seconds(self) -> float:
        """Unix seconds."""
        return self.source() - self.ahead

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def follow(self, database: float, asked: float, answered: float) -> bool:
        """Takes the database's time, if the host's own is more than APART from it. `asked`, `answered`: when the
        statement was sent whose answer it is, and when that came, by `source`. Returns true if this has changed.
        """
        ahead, before = (asked + answered) / 2 - database, self.ahead
        if asked - APART <= database <= answered + APART:
            self.ahead = 0.0
        elif answered - asked <= PROMPT and abs(ahead - before) > APART:
            self.ahead = ahead
        AHEAD.set(self.ahead)
        return self.ahead != before
