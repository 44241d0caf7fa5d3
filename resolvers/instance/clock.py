"""The time. Everything that compares times asks here, so that a test can move them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self.source = source

    def seconds(self) -> float:
        """Unix seconds."""
        return self.source()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.source(), UTC)
