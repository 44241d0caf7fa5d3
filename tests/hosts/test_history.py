"""Positions across a failover: which events a reader missed, saw, or saw and lost, whatever the replica had."""

import asyncio
from typing import Any

import asyncpg
import pytest

from resolvers.live import statements
from resolvers.live.delivered import Position
from resolvers.live.history import History
from tests.hosts.cluster import Pair, replicated

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PLACE = "workspace:x"
WRITE = "INSERT INTO events (workspace_id, channel, type, payload) VALUES ('w', $1, 'crew.updated', '{}')"
LAST = 2**63 - 1


class Reader:
    """As the reader of a process: what it has seen, and its position."""

    def __init__(self) -> None:
        self.history, self.position, self.seen = History(), Position(0, LAST), list[str]()
        self.conn: Any = None

    def end(self) -> None:
        if self.conn is not None:
            self.conn.terminate()

    async def begin(self, dsn: str) -> None:
        self.end()
        self.conn = await asyncpg.connect(dsn, server_settings={"crewship.workspaces": "*"})
        before = await self.history.enter(self.conn)
        self.kept = not before or await self.history.carries(self.conn, before, self.position)
        if not before:
            self.position = Position(await self.conn.fetchval(statements.NOW), LAST)
            self.history.place(self.position)

    async def read(self) -> None:
        for row in await self.conn.fetch(statements.EVENTS, str(self.position.xid), self.position.seq, 1000, True):
            self.position = Position(row["xid"], row["seq"])
            self.history.deliver(row["xid"], row["seq"], row["at"])
            self.seen.append(row["channel"])

    async def mark(self) -> None:
        self.history.touch()
        self.history._marked = 0.0
        await self.history.mark(self.conn)


async def write(dsn: str, *names: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"crewship.workspaces": "*"})
    for name in names:
        await connection.execute(WRITE, name)
    await connection.close()


async def replayed(pair: Pair) -> None:
    """Until the replica has everything."""
    admin = await pair.admin(pair.primary)
    lag = "SELECT pg_current_wal_insert_lsn() - replay_lsn FROM pg_stat_replication"
    async with asyncio.timeout(30):
        while await admin.fetchval(lag) != 0:
            await asyncio.sleep(0.02)
    await admin.close()


async def writable(pair: Pair) -> None:
    async with asyncio.timeout(30):
        while True:
            admin = await pair.admin(pair.replica)
            recovers = await admin.fetchval("SELECT pg_is_in_recovery()")
            await admin.close()
            if not recovers:
                return
            await asyncio.sleep(0.02)


async def test_a_reader_goes_on_where_all_was_copied() -> None:
    async with replicated() as pair:
        reader, late = Reader(), Reader()
        await reader.begin(pair.url)
        await reader.mark()
        old = reader.history.epoch
        await write(pair.url, "one", "two")
        await reader.read()
        await replayed(pair)
        pair.failover()
        await writable(pair)
        await reader.begin(pair.url)
        assert reader.kept
        assert reader.history.epoch != old
        await write(pair.url, "three")
        await reader.read()
        assert reader.seen == ["one", "two", "three"]
        await late.begin(pair.url)  # of another process, which was not there
        assert late.history.bounds == reader.history.bounds
        assert await late.history.good(old, late.history.bounds[old] - 1)
        reader.end()
        late.end()


async def test_a_reader_of_a_lost_tail_is_reset() -> None:
    async with replicated() as pair:
        reader = Reader()
        await reader.begin(pair.url)
        await reader.mark()
        await write(pair.url, "one")
        await reader.read()
        await reader.mark()
        good = reader.position
        await replayed(pair)
        await pair.hold()
        await write(pair.url, "lost")
        await reader.read()
        await reader.mark()
        old, lost = reader.history.epoch, reader.position
        pair.failover()
        await writable(pair)
        await write(pair.url, *[f"new {n}" for n in range(9)])  # numbers of what was lost are given again
        await reader.begin(pair.url)
        assert not reader.kept
        assert reader.seen == ["one", "lost"]
        assert reader.history.bounds[old] > good.xid
        assert reader.history.bounds[old] <= lost.xid
        rows = await reader.conn.fetch(statements.EVENTS, str(good.xid), good.seq, 1000, True)
        assert [row["channel"] for row in rows] == [f"new {n}" for n in range(9)]
        reader.end()
