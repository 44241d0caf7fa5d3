"""A caller who stays on the line: what it listens to, and whether it still may."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable

from resolvers.attention.channels import Channel, identify, open_channel
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background.following import ListenerQuestion
from resolvers.kernel.declarations.operation import translate
from resolvers.kernel.store.bus import ANYTHING, Topic, bus
from resolvers.live.audience import Outlet
from resolvers.live.following import EncodeRow, RowsFollowing
from resolvers.live.gathering import RowsShown
from resolvers.live.hub import hub
from resolvers.live.subscription import Encode, Listening, Owner, Subscription

EVERY = 30.0  # seconds (contract: websocket.connection.revocation)
TOO_MANY = "You have too many live connections open"
WITHDRAWN = frozenset({Code.FORBIDDEN, Code.NOT_FOUND})


class LiveConnection:
    """Subscriptions of a socket or stream. Its opener closes it; `caller.user_id` is known (`channels.identify`)."""

    def __init__(self, caller: Caller, outlet: Outlet, line: Owner) -> None:
        self.caller, self._outlet, self._line = caller, outlet, line
        self.subscriptions: dict[Listening, None] = {}
        self._doubts = 0
        attendance.connections[self] = None

    def admit(self) -> None:
        """Counts the connection as one of its user, from when the user is known until it closes. Raises Refusal
        RATE_LIMITED if there are too many.
        """
        attendance.users.enter(self)

    async def subscribe(
        self,
        name: str,
        encode: Encode,
        after: str | None = None,
        *,
        frame: int | None = None,
        same: Hashable = None,
        parts: bool = False,
        rows: RowsShown | None = None,
    ) -> Subscription:
        """Subscribes to a channel. Raises Refusal if the caller may not listen or the database does not answer.

        `encode` makes the frame of an event, or None if it is not shown; `after` is a cursor to continue from, `frame`
        a frame of a chat. `parts`: events of changed rows are shown, too (see row_events). `same`: subscriptions with
        equal values get the same frames of outbox events, which are then made once. `rows`: what is shown of the rows
        that events name.
        """
        doubts = self._doubts
        channel = await open_channel(self.caller, name)
        made = Subscription(channel, self.caller, self._outlet, encode, self, same, parts=parts, rows=rows)
        await self._opened(made, made.open(after, frame))
        if doubts != self._doubts:  # since the right was asked for, and maybe before this was there to hear of it
            made.doubt()
        return made

    async def follow(self, question: ListenerQuestion, encode: EncodeRow, after: str | None = None) -> RowsFollowing:
        """Listens to a list. Raises Refusal when the caller may not read it, or the database cannot be asked."""
        made = RowsFollowing(question, self.caller, self._outlet, encode, self)
        await self._opened(made, made.open(after))
        return made

    async def _opened(self, made: Listening, opening: Awaitable[None]) -> None:
        self.subscriptions[made] = None
        try:
            await opening
        except BaseException as error:
            self.unsubscribe(made)
            if isinstance(error, Refusal) or not isinstance(error, Exception):
                raise
            refusal = translate(error)
            if refusal.code is not Code.UNAVAILABLE:
                log.error("subscription failed", exc_info=error)
            raise refusal from error

    def unsubscribe(self, subscription: Listening) -> None:
        subscription.close()
        self.subscriptions.pop(subscription, None)

    def close(self) -> None:
        attendance.connections.pop(self, None)
        attendance.users.leave(self)
        for subscription in list(self.subscriptions):
            self.unsubscribe(subscription)

    def doubt(self) -> None:
        """The caller's rights have changed: no subscription shows anything before it has checked them."""
        self._doubts += 1
        for subscription in list(self.subscriptions):
            subscription.doubt()

    async def check_caller(self, known: "Answers") -> bool:
        """Returns true if the session or token is still valid. If the database does not answer, nothing changes."""
        if isinstance(await known.ask(self.caller, None), Refusal):
            self.revoked()
            return False
        return True

    async def check(self, known: "Answers") -> None:
        """Checks the caller's rights again."""
        if await self.check_caller(known):
            for subscription in list(self.subscriptions):
                if not isinstance(subscription, Subscription):
                    subscription.doubt()  # it asks by itself
                    continue
                refusal = await known.ask(self.caller, subscription.channel)
                if refusal is not None and not subscription.closed:
                    self.refused(subscription, refusal)

    # ---- what a subscription has to say --------------------------------------------------------------------------

    def lost(self, subscription: Listening, reason: str) -> None:
        self._line.lost(subscription, reason)

    def refused(self, subscription: Listening, refusal: Refusal) -> None:
        self.unsubscribe(subscription)
        self._line.refused(subscription, refusal)

    def revoked(self) -> None:
        self._line.revoked()


class Answers:
    """One round of checks: the same question of the same credential is asked once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str | None], Refusal | None] = {}

    async def ask(self, caller: Caller, channel: Channel | None) -> Refusal | None:
        key = (caller.kind.value, caller.credential, None if channel is None else channel.address)
        if key not in self._known:
            self._known[key] = await self._asked(caller, channel)
        return self._known[key]

    async def _asked(self, caller: Caller, channel: Channel | None) -> Refusal | None:
        try:
            await (identify(caller) if channel is None else open_channel(caller, channel.name, channel.workspace_id))
        except Refusal as refusal:
            return (
                refusal
                if refusal.code is Code.UNAUTHENTICATED or (channel is not None and refusal.code in WITHDRAWN)
                else None
            )
        return None


class Users:
    """The number of open connections of each user in this process, sockets and streams together."""

    def __init__(self) -> None:
        self._of: dict[LiveConnection, str] = {}
        self._open: Counter[str] = Counter()

    def enter(self, connection: LiveConnection) -> None:
        user_id = connection.caller.user_id
        if self._open[user_id] >= instance.settings.max_sockets:
            raise Refusal(Code.RATE_LIMITED, TOO_MANY)
        self._of[connection] = user_id
        self._open[user_id] += 1

    def leave(self, connection: LiveConnection) -> None:
        user_id = self._of.pop(connection, None)
        if user_id is not None:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


class Attendance:
    """Everybody on the line in this process.

    Where a right has changed, the subscriptions of that user ask for theirs before they show anything more, and the
    connection for its session. All of it is asked for again every half minute, beside that: rights end by time, too.
    """

    def __init__(self) -> None:
        self.connections: dict[LiveConnection, None] = {}
        self.users = Users()
        self._changed: set[str] = set()
        self._wake, self._due = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._off: Callable[[], object] = lambda: None

    def start(self) -> None:
        self._wake, self._due = asyncio.Event(), asyncio.Event()
        self._off, hub.on_access = bus.on(Topic.access, self._rung), self.changed
        self._tasks = [asyncio.create_task(self._changes()), asyncio.create_task(self._rounds())]

    async def stop(self) -> None:
        self._off()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def changed(self, user_id: str) -> None:
        """The rights of this user have changed. ANYTHING: of unknown users."""
        for connection in list(self.connections):
            if user_id in (ANYTHING, connection.caller.user_id):
                connection.doubt()
        if user_id != ANYTHING:
            self._changed.add(user_id)
            self._wake.set()

    def _rung(self, user_id: str) -> None:
        if user_id == ANYTHING:
            self._due.set()
        else:
            self.changed(user_id)

    async def _changes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            users, self._changed = self._changed, set()
            await self._ask(
                [connection for connection in self.connections if connection.caller.user_id in users],
                LiveConnection.check_caller,
            )

    async def _rounds(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._due.wait()
            self._due.clear()
            await self._ask(list(self.connections), LiveConnection.check)

    async def _ask(
        self, connections: list[LiveConnection], check: Callable[[LiveConnection, Answers], Awaitable[object]]
    ) -> None:
        answers = Answers()
        try:
            for connection in connections:
                if connection in self.connections:
                    await check(connection, answers)
        except Exception as error:
            log.error("check of live connections failed", exc_info=error)


attendance = Attendance()
