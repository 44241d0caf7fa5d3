"""A connection as subscriptions see it: what was written to it, and how full it is."""

import asyncio
from dataclasses import dataclass, field

from resolvers.errors import Refusal
from resolvers.live import Delivered, Subscription

OF = (
    "CASE WHEN $1::text LIKE 'user:%' OR $1::text = 'providers' THEN NULL"
    " ELSE (SELECT id FROM workspaces WHERE slug = 'workspace') END"
)
"""SQL: the workspace_id of an event of the world's on channel $1."""


@dataclass
class Memory:
    """An outlet and its owner in one. `room`: frames it takes before it is congested; None: any number."""

    room: int | None = None
    written: list[bytes] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    revocations: int = 0
    gone: bool = False

    def __post_init__(self) -> None:
        self._space = asyncio.Event()
        self._space.set()
        self.waiting = 0

    @property
    def congested(self) -> bool:
        return self.room is not None and self.waiting >= self.room

    def write(self, frame: bytes) -> None:
        self.written.append(frame)
        self.waiting += 1
        if self.congested:
            self._space.clear()

    def read(self) -> None:
        """The reader takes all that waits."""
        self.waiting = 0
        self._space.set()

    async def drained(self) -> None:
        await self._space.wait()
        if self.gone:
            raise ConnectionError

    def lost(self, subscription: Subscription, reason: str) -> None:
        self.losses.append(reason)

    def refused(self, subscription: Subscription, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    def revoked(self) -> None:
        self.revocations += 1


def plain(event: Delivered, subscription: Subscription) -> bytes:
    """The number in the payload, or its text."""
    return str(event.values.get("n", event.values.get("content"))).encode()


async def until(condition: object, seconds: float = 30.0) -> None:
    """Waits until the callable says yes."""
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)
