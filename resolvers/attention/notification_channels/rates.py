"""Rates of messages: some at once, and then one after each interval."""

import time
from collections import OrderedDict

from resolvers.kernel import Code, Refusal

REMEMBERED = 10_000


class Bucket:
    """`at_once` for each key, and one more every `every` seconds, in this process."""

    def __init__(self, at_once: int, every: float, told: str) -> None:
        self._at_once, self._every, self._told = at_once, every, told
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Raises Refusal RATE_LIMITED."""
        now = time.monotonic()
        left, since = self._left.pop(key, (float(self._at_once), now))
        left = min(float(self._at_once), left + (now - since) / self._every)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        if left < 1:
            raise Refusal(Code.RATE_LIMITED, self._told)
