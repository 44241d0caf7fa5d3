"""Who listens to which chat now, for all processes: recorded in memory, written in batches.

A row counts for `LASTS` seconds and is extended while there are listeners, so rows of a crashed process expire.
"""

import asyncio
import secrets

from sqlalchemy import func
from sqlmodel import col

from models.staff.chats import ChatPresence
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import AcrossWorkspaces, across_workspaces
from resolvers.kernel.ground.constants import interval
from resolvers.kernel.store.across import supplied

EVERY = 30.0  # seconds between two refreshments
LASTS = 90
GATHER = 0.05  # seconds in which changes are gathered into one write


Seat = tuple[str, str, str]
"""A workspace, a chat in it and a user."""


class Presence:
    """The listeners to chats in this process. `enter` and `leave` only record: they do not wait for the tables."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._listeners: dict[Seat, set[object]] = {}
        self._changed: set[Seat] = set()
        self._wake = asyncio.Event()
        self.process = ""

    def enter(self, seat: Seat, listener: object) -> None:
        if seat not in self._listeners:
            self._listeners[seat] = set()
            self._note(seat)
        self._listeners[seat].add(listener)

    def leave(self, seat: Seat, listener: object) -> None:
        """Also for a listener who never entered."""
        listeners = self._listeners.get(seat)
        if listeners is None:
            return
        listeners.discard(listener)
        if not listeners:
            del self._listeners[seat]
            self._note(seat)

    def _note(self, seat: Seat) -> None:
        self._changed.add(seat)
        self._wake.set()

    async def write(self) -> None:
        """Writes the changes; if this fails, they remain to be written."""
        changed, self._changed = self._changed, set()
        try:
            here = [seat for seat in changed if seat in self._listeners]
            gone = [seat for seat in changed if seat not in self._listeners]
            await across_workspaces(lambda rows: self._store(rows, here, gone))
        except BaseException:
            self._changed |= changed
            raise

    async def _store(self, rows: AcrossWorkspaces, here: list[Seat], gone: list[Seat]) -> None:
        seats = [
            ChatPresence(workspace_id=place, chat_id=chat, user_id=user, process=self.process)
            for place, chat, user in here
        ]
        until = func.now() + interval(seconds=LASTS)
        await rows.everywhere.upsert(seats, "workspace_id", "chat_id", "user_id", "process", until=until)
        if gone:
            places, chats, users = map(list, zip(*gone, strict=True))
            left = supplied(ChatPresence, workspace_id=places, chat_id=chats, user_id=users).c
            await rows.everywhere.take(
                ChatPresence,
                col(ChatPresence.process) == self.process,
                col(ChatPresence.workspace_id) == left.workspace_id,
                col(ChatPresence.chat_id) == left.chat_id,
                col(ChatPresence.user_id) == left.user_id,
            )

    async def run(self) -> None:
        """Runs until cancelled, then removes the rows of this process."""
        self.process, self._wake = secrets.token_hex(8), asyncio.Event()
        self._changed.update(self._listeners)
        self._wake.set()
        loop = asyncio.get_running_loop()
        due = loop.time() + self._every
        try:
            while True:
                try:
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                except TimeoutError:
                    due = loop.time() + self._every
                    self._changed.update(self._listeners)
                self._wake.clear()
                if self._changed:
                    await self._try()
                await asyncio.sleep(GATHER)
        finally:
            await self._clear()

    async def _try(self) -> None:
        try:
            await self.write()
        except Exception as error:
            # the next change, or the next refreshment, tries again
            log.warning("presence not written", error=type(error).__name__)

    async def _clear(self) -> None:
        try:
            of_process = col(ChatPresence.process) == self.process
            await across_workspaces(lambda rows: rows.everywhere.take(ChatPresence, of_process))
        except Exception as error:
            log.warning("presence not cleared", error=type(error).__name__)


presence = Presence()
