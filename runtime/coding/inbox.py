"""The events of a coding agent's run in one order: its model calls first, then its own events."""

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

C = TypeVar("C")
E = TypeVar("E")

MOST: Final = 256
"""Events that wait to be shown; the coding agent waits while there are more."""


class Inbox(Generic[C, E]):
    """`halt` is seen when everything before it was."""

    def __init__(self) -> None:
        self._calls, self._events = deque[C](), deque[E]()
        self._halted = False
        self._changed, self._room = asyncio.Event(), asyncio.Event()

    def call(self, call: C) -> None:
        self._calls.append(call)
        self._changed.set()

    async def put(self, event: E) -> None:
        while len(self._events) >= MOST:
            self._room.clear()
            await self._room.wait()
        self._events.append(event)
        self._changed.set()

    def halt(self) -> None:
        self._halted = True
        self._changed.set()

    def call_left(self) -> C | None:
        return self._calls.popleft() if self._calls else None

    async def next(self, seconds: float) -> C | E | None:
        """None is the halt. Raises TimeoutError after so long without anything."""
        while True:
            if self._calls:
                return self._calls.popleft()
            if self._events:
                self._room.set()
                return self._events.popleft()
            if self._halted:
                return None
            self._changed.clear()
            async with asyncio.timeout(seconds):
                await self._changed.wait()
