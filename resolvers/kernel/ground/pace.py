"""Limits for expensive work: how much at once, and how much per minute."""

import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator

from resolvers.errors import Code, Refusal

REMEMBERED = 10_000


class Pace:
    """`limit` calls at once per key, and `a_minute` more each minute, by default as many, in this process; a caller
    without any left is refused with the text `told`.

    The oldest keys are forgotten if there are too many.
    """

    def __init__(self, limit: int, told: str, a_minute: int | None = None) -> None:
        self.limit, self._told, self._a_minute = limit, told, limit if a_minute is None else a_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, whose: str) -> None:
        """Raises Refusal RATE_LIMITED."""
        now = time.monotonic()
        left, since = self._left.pop(whose, (float(self.limit), now))
        left = min(self.limit, left + (now - since) * self._a_minute / 60)
        self._left[whose] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        if left < 1:
            raise Refusal(Code.RATE_LIMITED, self._told)


class Room:
    """Slots of this process for long work: `of_all`, of which one workspace may hold `of_each`, so that no workspace
    blocks the others. If none is free, the caller is refused with the text `told`.
    """

    def __init__(self, of_all: int, of_each: int, told: str) -> None:
        self.of_all, self.of_each, self._told = of_all, of_each, told
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def place(self, whose: str) -> Iterator[None]:
        """Raises Refusal RATE_LIMITED."""
        if self._taken[whose] >= self.of_each or self._taken.total() >= self.of_all:
            if not self._taken[whose]:
                del self._taken[whose]
            raise Refusal(Code.RATE_LIMITED, self._told)
        self._taken[whose] += 1
        try:
            yield
        finally:
            self._taken[whose] -= 1
            if not self._taken[whose]:
                del self._taken[whose]
