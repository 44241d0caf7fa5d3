"""The events of one chat for a reader of lines: see resolvers/staff/chats/streaming.py."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from resolvers.attention.channels import ChannelKind, identify
from resolvers.errors import Refusal
from resolvers.identity.caller import Caller
from resolvers.live.connection import LiveConnection
from resolvers.live.delivered import Delivered
from resolvers.live.subscription import Subscription
from resolvers.staff.chats.streaming import Told

ROOM = 256 * 1024  # bytes that wait for the reader; more are read from the tables once there is room
REASONS = {"too_slow": "slow_consumer"}
"""Reasons of `stream.end` for missing events; other missing events are too old to be sent again."""


class ChatLine:
    """The way out of a subscription, and its owner. What was taken counts as sent with the next taking."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._live = caller, LiveConnection(caller, self, self)
        self._waiting: list[Told] = []
        self._size = 0
        self._filled, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._shows = self._closed = False
        self._next = Told(b"", 0, False)
        self.ended: str | None = None
        self.reset = False

    async def open(self, chat_id: str, after: int) -> None:
        """Frames that come before the subscription stands at its beginning are read again."""
        self._caller.user_id = await identify(self._caller)
        made = await self._live.subscribe(f"{ChannelKind.session}:{chat_id}", self._encode, frame=after)
        self._shows = True
        made.rewind(after)

    async def take(self, seconds: float) -> Sequence[Told]:
        self._size = 0
        self._room.set()
        try:
            async with asyncio.timeout(seconds):
                await self._filled.wait()
        except TimeoutError:
            return ()
        taken, self._waiting = self._waiting, []
        self._size = sum(len(told.line) for told in taken)
        if self._size >= ROOM:
            self._room.clear()
        if self.ended is None:
            self._filled.clear()
        return taken

    def close(self) -> None:
        self._closed = True
        self._live.close()
        self._room.set()

    # ---- the outlet ----------------------------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        return self._size >= ROOM

    def write(self, frame: bytes) -> None:
        if self.ended is None and not self._closed:
            self._waiting.append(self._next)
            self._size += len(frame)
            self._filled.set()
            if self._size >= ROOM:
                self._room.clear()

    async def drained(self) -> None:
        await self._room.wait()
        if self._closed:
            raise ConnectionError("the stream is closed")

    def _encode(self, event: Delivered, subscription: Subscription) -> bytes | None:
        if event.frame and not self._shows:
            return None
        shown = _shown(event)
        line = orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)
        self._next = Told(line, event.frame, event.type == "chat_event" and shown["type"] == "done")
        return line

    # ---- the owner -----------------------------------------------------------------------------------------------

    def lost(self, subscription: Any, reason: str) -> None:
        self._end(REASONS.get(reason, "replay_truncated"), reset=True)

    def refused(self, subscription: Any, refusal: Refusal) -> None:
        self._end("access_revoked")

    def revoked(self) -> None:
        self._end("access_revoked")

    def _end(self, reason: str, *, reset: bool = False) -> None:
        if self.ended is None:
            self.ended, self.reset = reason, reset
            self._live.close()
            self._filled.set()


def _shown(event: Delivered) -> dict[str, Any]:
    """A frame without its envelope; its empty keys are absent. Any other event has its payload in `metadata`."""
    number = {"seq": event.frame} if event.frame else {}
    if event.type == "chat_event":
        told = event.values
        more = {name: told[name] for name in ("content", "metadata") if told.get(name)}
        return {"type": told.get("type", ""), **number, **more}
    if event.frame:
        return {"type": event.type, **number, **event.values}
    return {"type": event.type, "metadata": event.values}
