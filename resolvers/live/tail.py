"""The one reader of a process: follows the outbox, and the frames of chats with listeners."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any

import asyncpg

from resolvers.instance.reminders import Reminder
from resolvers.instance.telemetry import log
from resolvers.kernel.declarations.row_events import PART
from resolvers.kernel.ground.silence import LIMIT
from resolvers.kernel.store.across import rows_in
from resolvers.kernel.store.bus import ANYTHING, Topic, bus
from resolvers.kernel.store.database import database, unavailable
from resolvers.live import statements
from resolvers.live.delivered import Delivered, Position
from resolvers.live.history import History

EVERY = 0.5  # seconds between looks without a wake-up; half the time another database can hold up an event
GATHER = 0.002  # seconds between two looks at least, for what is being committed at the same time
BATCH = 1000
LONGEST_WAIT = 5.0
KEPT = 10.0  # seconds that the place is kept for who comes back: a chat is listened to while it is answered
PATIENCE = 10.0  # seconds that a new listener waits for the database
PARTED = "workspace:"
"""Channels with parts; ids of chats are chosen by clients, and may look like one."""
LAST, LAST_FRAME = 2**63 - 1, 2**31 - 1

# with the id of a user whose rights have changed; on no channel that a client can name
ACCESS, CHANGED = "access:", "access.changed"

Dispatch = Callable[[Delivered], None]
ChatKey = tuple[str, str]
"""A workspace and the id of a chat in it."""


class ChatWatch:
    """A chat that is followed: up to which frame, and for whose log too."""

    __slots__ = ("agent_id", "at", "frame", "listeners")

    def __init__(self, agent_id: str, frame: int) -> None:
        self.agent_id, self.frame, self.listeners = agent_id, frame, 0
        self.at: datetime | None = None  # when that frame was stored, if it was read here


class ChatTail:
    """Reads while there are listeners and rests otherwise. Passes everything that it reads to `dispatch`, in order.

    There is one reader per process, not one per channel: an event is fetched once, for any number of listeners. It
    survives every failure of the database and continues at its position. `on_access` receives the id of a user whose
    rights have changed, before later events are dispatched, and ANYTHING if such changes may have been missed.
    """

    def __init__(
        self,
        channels: Collection[str],
        followers: Collection[object],
        dispatch: Dispatch,
        on_new_epoch: Callable[[Collection[ChatKey] | None, str], None],
        on_access: Callable[[str], None],
    ) -> None:
        self._channels, self._followers, self._dispatch = channels, followers, dispatch
        self._on_new_epoch, self._on_access = on_new_epoch, on_access
        self._conn: Any = None
        self._task: asyncio.Task[None] | None = None
        self._failure = Reminder()
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()  # `position` is where the outbox stands
        self._coming = 0  # who wants to listen, and waits for that
        self._rung: set[ChatKey] = set()
        self._told: set[int] = set()  # changes of access that were seen before it was their turn, by number
        self._placed = False  # `position` is a place in the outbox, up to which a listener has read
        self._asked = False  # whether a listener came during a look
        self._everything = self._news = True  # whether to look at all that is watched, and at the outbox
        self._until = 0.0  # without listeners, the place is given up then
        self._gathered = 0.0  # when the last look was made
        self._looked = 0.0  # when events were last looked for past the transactions of other databases
        self._offs: list[Callable[[], object]] = []
        self.history = History()
        self.position = Position(0, LAST)  # of the outbox
        self.watched: dict[ChatKey, ChatWatch] = {}
        self.agents: dict[str, int] = {}
        self.lag = 0.0  # seconds between an event's writing and its dispatch, of the last one

    def start(self) -> None:
        self._conn = None
        self.history.begin()
        self._wake, self._ready = asyncio.Event(), asyncio.Event()
        self._placed, self._until, self._gathered = False, 0.0, 0.0
        self.watched.clear()
        self.agents.clear()
        self._offs = [
            bus.on(Topic.events, self._rung_events),
            bus.on(Topic.access, self._rung_events),
            bus.on(Topic.frames, self._rung_frames),
        ]
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        for off in self._offs:
            off()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._conn is not None:
            self._conn.terminate()
            self._conn = None

    def _rung_events(self, _: str) -> None:
        if self._stays:
            self._news = True
            self._wake.set()

    def _rung_frames(self, key: str) -> None:
        workspace_id, _, id = key.partition("/")
        if key == ANYTHING:
            self._everything = self._news = True
        elif (workspace_id, id) in self.watched:
            self._rung.add((workspace_id, id))
        elif self.agents:
            self._everything = True
        else:
            return
        self._wake.set()

    @property
    def epoch(self) -> str:
        """The name of the present history in cursors."""
        return self.history.epoch

    # ---- who listens ---------------------------------------------------------------------------------------------

    @property
    def needed(self) -> bool:
        return bool(self._channels) or bool(self._followers) or self._coming > 0

    @property
    def _stays(self) -> bool:
        """True if the position is kept."""
        now = asyncio.get_running_loop().time()
        if self.needed:
            self._until = now + KEPT
        return now < self._until

    async def attend(
        self, chat: ChatKey | None = None, agent_id: str | None = None, frame: int | None = None
    ) -> Position:
        """Starts to follow, and returns the position: everything later is dispatched after this returns, without a gap.

        `frame`: the position of a chat without listeners.

        Raises Refusal UNAVAILABLE if the database does not answer.
        """
        if not self.needed:  # the place may be kept, without wake-ups for what came since
            self._ready.clear()
            self._asked = self._news = True
        self._coming += 1
        self._wake.set()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ready.wait()
            standing = None if chat is None or chat in self.watched else await self._standing(chat)
        except TimeoutError:
            raise unavailable() from None
        finally:
            self._coming -= 1
        if agent_id is not None:
            self.agents[agent_id] = self.agents.get(agent_id, 0) + 1
            self._everything = True
        if chat is None:
            return self.position
        if standing is not None and frame is not None:
            standing.frame = min(standing.frame, frame)
        watch = self.watched.setdefault(chat, standing or ChatWatch("", 0))
        watch.listeners += 1
        self._rung.add(chat)
        return self.position._replace(frame=watch.frame)

    def leave(self, chat: ChatKey | None = None, agent_id: str | None = None) -> None:
        if chat is not None and chat in self.watched:
            self.watched[chat].listeners -= 1
        if agent_id is not None:
            self.agents[agent_id] -= 1
            if not self.agents[agent_id]:
                del self.agents[agent_id]
        left = [] if chat is None else [chat]
        for key in left if agent_id is None else list(self.watched):
            watch = self.watched.get(key)
            if watch is not None and watch.listeners <= 0 and watch.agent_id not in self.agents:
                del self.watched[key]

    async def _standing(self, chat: ChatKey) -> ChatWatch | None:
        rows = await rows_in(chat[0], statements.CHAT, *chat)
        return ChatWatch(*rows[0]) if rows else None

    # ---- reading -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        wait = 0.1
        while True:
            try:
                await self._rest()
                if self._conn is None:
                    self._conn = await database.reader(LIMIT)
                    await self._anchor()
                await self._look()
                wait = 0.1
            except Exception as error:
                self._interrupted(error)
                await asyncio.sleep(wait)
                wait, self._everything, self._news = min(wait * 2, LONGEST_WAIT), True, True

    def _interrupted(self, error: Exception) -> None:
        if self._failure.is_due(error):
            _log(error)
        if self._conn is not None:
            self._conn.terminate()
            self._conn = None

    async def _rest(self) -> None:
        """Waits for a wake-up or the next time. Without listeners the position is given up after a while."""
        while not self._wake.is_set():
            try:
                async with asyncio.timeout(EVERY if self._stays else None):
                    await self._wake.wait()
            except TimeoutError:
                self._everything = self._news = True
                break
        loop = asyncio.get_running_loop()
        if self._stays and (pause := self._gathered + GATHER - loop.time()) > 0:
            await asyncio.sleep(pause)
        self._gathered = loop.time()
        self._wake.clear()

    async def _anchor(self) -> None:
        """After each connect: a replica that was promoted, or a copy that was restored, has a history of its own."""
        before = await self.history.enter(self._conn)
        if before in ("", self.epoch):
            return
        lost: list[ChatKey] | None = []
        if self._placed:
            lost = await self._carried(before)
            if lost is None:
                self._place(Position(await self._conn.fetchval(statements.NOW), LAST))
        log.info("the database has a new history", kept=lost is not None)
        found = await self._conn.fetch(statements.STANDING, *_columns(self.watched if lost is None else lost))
        standing = {(workspace_id, id): last for workspace_id, id, last in found}
        for chat in list(self.watched) if lost is None else lost:
            self.watched[chat].frame, self.watched[chat].at = standing.get(chat, 0), None
        self._on_new_epoch(lost, before)
        self._on_access(ANYTHING)

    async def _carried(self, before: str) -> list[ChatKey] | None:
        """The chats whose frames are not what they were; None if the position is not good any more."""
        if not await self.history.carries(self._conn, before, self.position):
            return None
        chats = [(*chat, watch.frame, watch.at) for chat, watch in self.watched.items()]
        return await self.history.lost_chats(self._conn, before, chats)

    def _place(self, position: Position) -> None:
        self.position = position
        self.history.place(position)

    async def _look(self) -> None:
        if not self._stays:
            self._ready.clear()
            self._placed = False
            return
        self._asked = False
        if not self._placed:
            self._place(Position(await self._conn.fetchval(statements.NOW), LAST))
            self._told.clear()
            self._on_access(ANYTHING)
            self._placed = self._news = True
        if self._news:
            self._news = False
            await self._events()
        if not self._asked:
            self._ready.set()
        await self._frames()
        await self.history.mark(self._conn)

    async def _events(self) -> None:
        now = asyncio.get_running_loop().time()
        whole = now - self._looked >= EVERY
        if whole:
            self._looked = now
        while True:
            place = str(self.position.xid), self.position.seq
            rows = await self._conn.fetch(statements.EVENTS, *place, BATCH, whole)
            for xid, seq, channel, type_, payload, age, at, cause in rows:
                self.position = Position(xid, seq)
                self.history.deliver(xid, seq, at)
                self.lag = age
                if type_ == CHANGED:
                    self._changed(seq, channel)
                    continue
                name, _, part = channel.partition(PART) if channel.startswith(PARTED) else (channel, "", "")
                if name in self._channels:
                    self._dispatch(Delivered(name, type_, payload, xid, seq, part=part, at=at, cause=cause))
            if len(rows) < BATCH:
                return
            await asyncio.sleep(0)

    def _changed(self, seq: int, channel: str, *, early: bool = False) -> None:
        """Reports a change of access once, whether it is seen in its turn or, with `early`, with frames that do not
        wait for it.
        """
        if seq not in self._told:
            self._on_access(channel.removeprefix(ACCESS))
        (self._told.add if early else self._told.discard)(seq)

    async def _frames(self) -> None:
        everything, self._everything = self._everything, False
        rung, self._rung = self._rung, set()
        if everything and self.agents:
            for workspace_id, id, agent_id, frame in await self._conn.fetch(statements.AT_WORK, list(self.agents)):
                self.watched.setdefault((workspace_id, id), ChatWatch(agent_id, frame))
        chats: Collection[ChatKey] = (
            list(self.watched) if everything else [chat for chat in rung if chat in self.watched]
        )
        while chats:
            seen = [self.watched[chat].frame if chat in self.watched else LAST_FRAME for chat in chats]
            rows = await self._conn.fetch(
                statements.FRAMES, *_columns(chats), seen, BATCH, str(self.position.xid), self.position.seq
            )
            for _, _, seq, channel, *_ in (row for row in rows if row[1] is None):
                self._changed(seq, channel, early=True)
            again = set()
            for workspace_id, id, number, type_, payload, run_id, at in rows:
                chat = (workspace_id, id)
                watch = self.watched.get(chat)
                if watch is not None and number > watch.frame:
                    watch.frame, watch.at = number, at
                    again.add(chat)
                    address = f"session:{workspace_id}/{id}"
                    self._dispatch(Delivered(address, type_, payload, frame=number, run_id=run_id, at=at))
                    if watch.agent_id in self.agents:
                        mirrored: Any = {"mirrored": id, "run_id": run_id, "at": at}
                        self._dispatch(Delivered(f"agent:{watch.agent_id}", type_, payload, **mirrored))
            chats = again if len(rows) >= BATCH else ()


def _columns(chats: Iterable[ChatKey]) -> tuple[list[str], list[str]]:
    pairs = list(chats)
    return [workspace_id for workspace_id, _ in pairs], [id for _, id in pairs]


def _log(error: Exception) -> None:
    if isinstance(error, asyncpg.ObjectNotInPrerequisiteStateError):
        log.error("live reader interrupted", error=str(error))
    elif isinstance(error, (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)):
        log.warning("live reader interrupted", error=type(error).__name__)
    else:
        log.error("live reader failed", exc_info=error)
