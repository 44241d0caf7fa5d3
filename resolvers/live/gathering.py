"""Listeners of a channel who select rows of its events: the rows are read once for all who see the same."""

import asyncio
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from models.people.workspaces import Role
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.telemetry import log
from resolvers.kernel.declarations.operation import translate
from resolvers.live.delivered import Delivered

if TYPE_CHECKING:
    from resolvers.live.audience import Audience

BATCH = 100  # events whose rows are read together
MOST_WAITING = 1000  # events; who is further behind reads them from the tables
TRIES = 3
MOST_ASKED = 8  # listeners whose right is tried, at a time
PAUSE = 0.2


class RowsShown(Protocol):
    """The rows that a subscription shows with its events."""

    def key(self, caller: Caller, role: Role | None) -> Hashable:
        """Equal for listeners who get the same rows of an event."""

    async def fill(self, caller: Caller, place: str, role: Role | None, events: Sequence[Delivered]) -> bool:
        """Adds the rows to events. False if the caller does not have the role any more. Raises Refusal."""


class Gathering:
    """A listener of a channel that stands for others. It queues events, reads their rows with the right of one of
    the others, and delivers each event to all of them, in order.
    """

    same: Hashable = None
    unison = None
    outlet: Any = None

    def __init__(self, inner: "Audience", place: str) -> None:
        self.inner, self._place = inner, place
        self._waiting: deque[Delivered] = deque()
        self._task: asyncio.Task[None] | None = None

    def deliver(self, event: Delivered) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.reset("too_slow")
        self._waiting.append(event)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def reset(self, reason: str) -> None:
        self._waiting.clear()
        self.inner.reset(reason)

    def close(self) -> None:
        self._waiting.clear()

    async def _run(self) -> None:
        try:
            while self._waiting:
                some = [self._waiting[n] for n in range(min(BATCH, len(self._waiting)))]
                # an object of this gathering: what others encode of the event has other rows
                filled = [replace(event, _encoded={}) for event in some]
                await self._fill([event for event in filled if self._heard(event)])
                for event, own in zip(some, filled, strict=True):
                    if not self._waiting or self._waiting[0] is not event:
                        break  # lost meanwhile
                    self._waiting.popleft()
                    self.inner.deliver(own)
        except Refusal as refusal:
            log.info("rows of events cannot be read", code=refusal.code.value)
            self.reset("unreadable")
        except Exception as error:
            log.error("rows of events cannot be read", exc_info=error)
            self.reset("unreadable")
        finally:
            self._task = None

    def _heard(self, event: Delivered) -> bool:
        return not event.part or any(listener.hears(event) for listener in self.inner)

    async def _fill(self, events: list[Delivered]) -> None:
        """With the right of any listener who still has it. Where all are behind, each reads for itself. Raises Refusal
        if the rows cannot be read.
        """
        for attempt in range(TRIES):
            live = [listener for listener in self.inner if listener.live]
            if not live:
                return
            for listener in islice(live, MOST_ASKED):
                try:
                    if await self._filled(listener, events):
                        return
                except Refusal as refusal:
                    if refusal.code is Code.UNAVAILABLE:
                        break
            await asyncio.sleep(PAUSE * (attempt + 1))  # a change of their rights is on its way
        if any(listener.live for listener in self.inner):
            raise Refusal(Code.UNAVAILABLE, "No listener could read the rows")

    async def _filled(self, listener: Any, events: list[Delivered]) -> bool:
        try:
            filled: bool = await listener.rows.fill(listener.caller, self._place, listener.channel.role, events)
        except Exception as error:
            refusal = error if isinstance(error, Refusal) else translate(error)
            if refusal.code is Code.INTERNAL:
                raise
            raise refusal from error
        return filled
