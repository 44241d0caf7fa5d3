"""Who listens to which chat right now, told to all processes: noted in memory, written in batches.

A row counts for `LASTS` seconds and is moved on while somebody listens, so that what a crash leaves behind runs out.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

from resolvers.instance.telemetry import log
from resolvers.kernel.store.database import database
from resolvers.kernel.writing.context import SCOPE_SQL

EVERY = 30.0  # seconds between two refreshments
LASTS = 90.0
GATHER = 0.05  # seconds in which changes are gathered into one write

HERE = """
INSERT INTO chat_presence (workspace_id, chat_id, user_id, process, until)
SELECT here.*, $4, now() + make_interval(secs => $5) FROM unnest($1::text[], $2::text[], $3::text[]) AS here
ON CONFLICT (workspace_id, chat_id, user_id, process) DO UPDATE SET until = excluded.until
"""
GONE = """
DELETE FROM chat_presence AS there
USING unnest($1::text[], $2::text[], $3::text[]) AS gone (workspace_id, chat_id, user_id)
WHERE there.workspace_id = gone.workspace_id AND there.chat_id = gone.chat_id AND there.user_id = gone.user_id
    AND process = $4
"""
ALL_GONE = "DELETE FROM chat_presence WHERE process = $1"

Seat = tuple[str, str, str]
"""A workspace, a chat in it and a user."""


@contextlib.asynccontextmanager
async def _of_all_workspaces() -> AsyncIterator[Any]:
    """A connection for which row-level security hides no row: what it was leased for last says nothing about these."""
    async with database.lease() as conn:
        await conn.fetchrow(SCOPE_SQL, "*")
        try:
            yield conn
        finally:
            await conn.fetchrow(SCOPE_SQL, "")


class Presence:
    """The listeners to chats in this process. `enter` and `leave` only note: nobody waits for the tables."""

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
        """What has changed, as it is now. Where this fails, it is still to be written."""
        changed, self._changed = self._changed, set()
        try:
            here = [seat for seat in changed if seat in self._listeners]
            gone = [seat for seat in changed if seat not in self._listeners]
            async with _of_all_workspaces() as conn:
                if here:
                    await conn.execute(HERE, *map(list, zip(*here, strict=True)), self.process, LASTS)
                if gone:
                    await conn.execute(GONE, *map(list, zip(*gone, strict=True)), self.process)
        except BaseException:
            self._changed |= changed
            raise

    async def run(self) -> None:
        """Until cancelled; then nobody is here any more."""
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
            async with _of_all_workspaces() as conn:
                await conn.execute(ALL_GONE, self.process)
        except Exception as error:
            log.warning("presence not cleared", error=type(error).__name__)


presence = Presence()
