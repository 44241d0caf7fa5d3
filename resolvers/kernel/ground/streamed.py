"""Streamed answers: of unknown size, or without an end. Pieces are made as the client reads them."""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from resolvers.errors import Code, Refusal
from resolvers.instance.running import instance

TOO_MANY = "You have too many open streams"
_open: Counter[str] = Counter()  # by whose they are, in this process


@dataclass(eq=False, slots=True)
class Streamed:
    """The answer of a `late` procedure. `pieces` begins when the head is sent, and holds no database connection between
    two pieces, because clients may read slowly.

    If a piece fails, the connection is cut, so that the client does not take a part for the whole. `name`: the file
    name for browsers. `endless`: the stream ends with its reader, and sends something at least every 15 seconds, even
    without news.
    """

    pieces: AsyncGenerator[bytes, None]
    media_type: str
    name: str | None = None
    endless: bool = False
    _principal: str = field(default="", init=False)

    def admit(self, principal: str) -> None:
        """Counts the stream as one of its reader until it is closed. Raises Refusal RATE_LIMITED if there are
        too many.
        """
        if _open[principal] >= instance.settings.max_sockets:
            raise Refusal(Code.RATE_LIMITED, TOO_MANY)
        _open[principal] += 1
        self._principal = principal

    async def close(self) -> None:
        principal, self._principal = self._principal, ""
        if principal:
            _open[principal] -= 1
            if not _open[principal]:
                del _open[principal]
        await self.pieces.aclose()
