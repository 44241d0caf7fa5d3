"""A caller who stays on the line: what it listens to, and whether it still may."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Protocol

from resolvers.channels import identify, open_channel
from resolvers.kernel.bus import ANYTHING, Topic, bus
from resolvers.kernel.caller import Caller
from resolvers.kernel.errors import Code, Refusal
from resolvers.kernel.operation import translate
from resolvers.kernel.telemetry import log
from resolvers.live.audience import Outlet
from resolvers.live.subscription import Encode, Owner, Subscription

EVERY = 30.0  # seconds (contract: websocket.connection.revocation)
WITHDRAWN = frozenset({Code.FORBIDDEN, Code.NOT_FOUND})


class Line(Owner, Protocol):
    """What a transport does when the caller's rights change."""

    def revoked(self) -> None:
        """The login session or token is good no more."""


class LiveConnection:
    """The subscriptions of one socket or stream. Closed by whoever opened it; `caller.user_id` is known (see `channels.identify`)."""

    def __init__(self, caller: Caller, outlet: Outlet, line: Line) -> None:
        self.caller, self._outlet, self._line = caller, outlet, line
        self.subscriptions: dict[Subscription, None] = {}
        attendance.connections[self] = None

    async def subscribe(self, name: str, encode: Encode, after: str | None = None, *, same: Hashable = None) -> Subscription:
        """Listens to a channel. Raises Refusal when the caller may not, or the database cannot be asked.

        `encode` makes the frame of an event, or None where it is not to be shown; `after` is a cursor to go on from. `same`:
        whoever gives an equal one gets the same frames of events in the outbox, so they are made once.
        """
        channel = await open_channel(replace(self.caller), name)
        made = Subscription(channel, self.caller, self._outlet, encode, self._line, same)
        self.subscriptions[made] = None
        try:
            await made.open(after)
        except BaseException as error:
            self.unsubscribe(made)
            if isinstance(error, Refusal) or not isinstance(error, Exception):
                raise
            refusal = translate(error)
            if refusal.code is not Code.UNAVAILABLE:
                log.error("subscription failed", exc_info=error)
            raise refusal from error
        return made

    def unsubscribe(self, subscription: Subscription) -> None:
        subscription.close()
        self.subscriptions.pop(subscription, None)

    def close(self) -> None:
        attendance.connections.pop(self, None)
        for subscription in list(self.subscriptions):
            self.unsubscribe(subscription)

    async def check(self, known: "Answers") -> None:
        """Asks again what this caller may. A database that cannot be asked changes nothing."""
        if isinstance(await known.ask(self.caller, None), Refusal):
            self._line.revoked()
            return
        for subscription in list(self.subscriptions):
            refusal = await known.ask(self.caller, subscription.channel.name)
            if refusal is not None and not subscription.closed:
                self.unsubscribe(subscription)
                self._line.refused(subscription, refusal)


class Answers:
    """One round of checks: the same question of the same credential is asked once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str | None], Refusal | None] = {}

    async def ask(self, caller: Caller, channel: str | None) -> Refusal | None:
        key = (caller.kind.value, caller.credential, channel)
        if key not in self._known:
            self._known[key] = await self._asked(replace(caller), channel)
        return self._known[key]

    async def _asked(self, caller: Caller, channel: str | None) -> Refusal | None:
        try:
            await (identify(caller) if channel is None else open_channel(caller, channel))
        except Refusal as refusal:
            return refusal if refusal.code is Code.UNAUTHENTICATED or (channel is not None and refusal.code in WITHDRAWN) else None
        return None


class Attendance:
    """Everybody on the line in this process. Rights are asked for again every half minute, and at once where one has changed."""

    def __init__(self) -> None:
        self.connections: dict[LiveConnection, None] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._off: Callable[[], object] = lambda: None

    def start(self) -> None:
        self._wake = asyncio.Event()
        self._off = bus.on(Topic.access, self._rung)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._off()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _rung(self, user_id: str) -> None:
        self._changed.add(user_id)
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + EVERY
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                due = loop.time() + EVERY
                self._changed.add(ANYTHING)
            self._wake.clear()
            changed, self._changed = self._changed, set()
            try:
                await self._check(changed)
            except Exception as error:
                log.error("check of live connections failed", exc_info=error)

    async def _check(self, users: set[str]) -> None:
        answers = Answers()
        for connection in list(self.connections):
            if connection in self.connections and (ANYTHING in users or connection.caller.user_id in users):
                await connection.check(answers)


attendance = Attendance()
