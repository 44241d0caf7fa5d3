"""Answers that go on: of a size that nobody knows, or without an end. Their pieces are made as they are taken."""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from resolvers.errors import Code, Refusal
from resolvers.instance.running import instance

TOO_MANY = "You have too many open streams"
_open: Counter[str] = Counter()  # by whose they are, in this process


@dataclass(eq=False, slots=True)
class Streamed:
    """What a `late` procedure answers with. `pieces` is begun when the head is sent, and holds no connection of the
    database between two pieces; whoever reads is slower than whoever writes.

    A piece that cannot be made ends the connection, so that nobody takes what there was for the whole. `name`: the file
    that a browser keeps it as. `endless`: it ends where its reader does, and says something, if only that there is
    nothing new, at least every 15 seconds.
    """

    pieces: AsyncGenerator[bytes, None]
    media_type: str
    name: str | None = None
    endless: bool = False
    _principal: str = field(default="", init=False)

    def admit(self, principal: str) -> None:
        """Counts among those of its reader until it is closed. Raises Refusal RATE_LIMITED where there are too many."""
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
