"""How often each may do what costs more than a request: so many times at once, and so many a minute."""

import time
from collections import OrderedDict

from resolvers.errors import Code, Refusal

REMEMBERED = 10_000


class Pace:
    """`limit` for each at once, refilled in a minute, in this process; who has none left is refused, and `told` so.

    Of very many those who came first are forgotten.
    """

    def __init__(self, limit: int, told: str) -> None:
        self.limit, self._told = limit, told
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, whose: str) -> None:
        """Raises Refusal RATE_LIMITED."""
        now = time.monotonic()
        left, since = self._left.pop(whose, (float(self.limit), now))
        left = min(self.limit, left + (now - since) * self.limit / 60)
        self._left[whose] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        if left < 1:
            raise Refusal(Code.RATE_LIMITED, self._told)
