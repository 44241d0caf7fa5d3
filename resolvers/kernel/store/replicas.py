"""A replica answers a read if it has replayed what the primary had committed when the read came. See ADR 145."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import asyncpg
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from models.address import Address
from resolvers.errors import Refusal
from resolvers.instance.telemetry import log
from resolvers.kernel.ground.silence import PARTING
from resolvers.kernel.store.connection import connect
from resolvers.kernel.store.database import Pool

PATIENCE = 1.0  # seconds for the answer of the primary, and of a replica
CATCHES_UP = 0.02  # seconds that a read waits until a replica has replayed enough
PAUSE = 0.002
AGAIN = 0.5  # seconds after which a replica that was left out is asked again
LOOK, SILENT = 1.0, 7.0  # seconds, as of the silence of a pool
SETTINGS = MappingProxyType({"default_transaction_read_only": "on", "statement_timeout": "5s"})
"""The primary answers a statement that takes longer, so that a replica that has vanished is noticed soon."""

# A transaction is visible to others when its commit was flushed; without synchronous commits, when it was written.
COMMITTED = """
    SELECT (
        CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
        ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn
    )::bigint
"""
REPLAYED = "SELECT coalesce((pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint, 0)"
PRIMARY = """
    SELECT system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int,
        current_database()::text, current_user::text FROM pg_control_system()
"""
REPLICA = """
    SELECT system_identifier::text, greatest(timeline_id, min_recovery_end_timeline), current_database()::text,
        current_user::text
    FROM pg_control_system(), pg_control_checkpoint(), pg_control_recovery() WHERE pg_is_in_recovery()
"""
LOST = (OSError, TimeoutError, Refusal, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
OF_REPLICAS = frozenset({"08", "0A", "25", "40", "53", "55", "57", "58", "XX"})
"""Classes of errors that the same statement may not have on the primary: a lost connection, a conflict with the
replay, a table that replicas do not have, a time limit, a server that ends.
"""

T = TypeVar("T")


class LogHistory(NamedTuple):
    """Positions in the log are comparable within one timeline of one cluster. A replica serves the same role there."""

    cluster: str
    timeline: int
    database: str
    role: str


class LogPosition(NamedTuple):
    history: LogHistory
    lsn: int


class Rounds(Generic[T]):
    """One question at a time for all who ask. Each gets the answer to a question that was sent after it came."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._next: asyncio.Future[T] | None = None
        self._task: asyncio.Task[None] | None = None

    async def answer(self) -> T:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._task is None:
                self._task = asyncio.create_task(self._go())
        return await asyncio.shield(self._next)

    async def _go(self) -> None:
        waiting: asyncio.Future[T] | None = None
        try:
            while (waiting := self._next) is not None:
                self._next = None  # who comes from here on waits for the next answer
                try:
                    waiting.set_result(await self._ask())
                except Exception as error:
                    waiting.set_exception(error)
        finally:
            self._task = None
            for each in (waiting, self._next):
                if each is not None and not each.done():
                    each.cancel()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Primary:
    """A connection that asks the primary how far it has committed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._conn: Any = None
        self._history = LogHistory("", 0, "", "")

    async def position(self) -> LogPosition | None:
        """Now, or later. None if it cannot be said."""
        try:
            async with asyncio.timeout(PATIENCE):
                if self._conn is None or self._conn.is_closed():
                    self._conn = await connect(self._dsn)
                    self._history = LogHistory(*await self._conn.fetchrow(PRIMARY))
                (lsn,) = await self._conn.fetchrow(COMMITTED)
                return LogPosition(self._history, lsn)
        except LOST:
            self.close()
            return None

    def close(self) -> None:
        if self._conn is not None:
            self._conn.terminate()
            self._conn = None


class Replica:
    """A replica, and why it is left out: reads do not wait for it until it was seen to answer."""

    def __init__(self, address: Address, size: int, asked: Rounds[LogPosition | None], outcomes: Counter[str]) -> None:
        ((host, port),) = address.hosts
        self.place = f"{host}:{port}"
        self.pool = Pool(address.asyncpg, size, every=LOOK, limit=SILENT, settings=SETTINGS)
        self.left_out = "new"
        self.behind = 0  # bytes of the log, when it was last asked
        self._asked, self._outcomes = asked, outcomes
        self._again = 0.0
        self._looking: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return not self.left_out

    async def caught_up(self) -> Any:
        """A connection to it for one statement, or None: it has not replayed what is committed, or does not answer. No
        read waits until a connection is opened.
        """
        if self.pool.free:
            position = await self._asked.answer()
            if position is None:
                self._outcomes["primary_unknown"] += 1
                return None
            if (conn := self._free()) is not None:
                return await self._judged(conn, position)
        self._outcomes["busy"] += 1
        if self.pool.opened < self.pool.size:
            self.look()
        return None

    def _free(self) -> Any:
        while self.pool.free:
            conn = self.pool.free.pop()
            if not conn.is_closed():
                return conn
            self.pool.opened -= 1
        return None

    async def _judged(self, conn: Any, position: LogPosition) -> Any:
        """The connection, if its server has replayed as much."""
        try:
            async with asyncio.timeout(PATIENCE):
                why = await self._lacks(conn, position)
        except BaseException as error:
            self.pool.discard(conn)
            if not isinstance(error, LOST):
                raise
            self.leave_out("unavailable", type(error).__name__)
            return None
        if why:
            self.pool.give(conn)
            self.leave_out(why)
            return None
        return conn

    async def _lacks(self, conn: Any, position: LogPosition) -> str:
        """Why this server may not answer; empty if it may. It is asked on the connection that reads, because one name
        may lead to several servers.
        """
        if conn.history != position.history:
            row = await conn.fetchrow(REPLICA)
            if row is None or LogHistory(*row) != position.history:
                return "other_history"
            conn.history, conn.replayed = position.history, 0
        loop = asyncio.get_running_loop()
        until = loop.time() + CATCHES_UP
        while conn.replayed < position.lsn:
            (conn.replayed,) = await conn.fetchrow(REPLAYED)
            self.behind = max(position.lsn - conn.replayed, 0)
            if self.behind and loop.time() > until:
                return "behind"
            if self.behind:
                await asyncio.sleep(PAUSE)
        return ""

    def leave_out(self, why: str, error: str = "") -> None:
        self._outcomes[why] += 1
        if why != self.left_out:
            log.info("a replica is left out", replica=self.place, reason=why, error=error or None)
        self.left_out, self._again = why, asyncio.get_running_loop().time() + AGAIN
        if why == "unavailable":
            while self.pool.free:
                self.pool.discard(self.pool.free.pop())

    def look(self) -> None:
        """Asks it beside the reads, if it is time, on one connection more where none is free."""
        if self._looking is None and asyncio.get_running_loop().time() >= self._again:
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        try:
            position = await self._asked.answer()
            conn = None if position is None else await self.pool.take()
            if conn is None or position is None or await self._judged(conn, position) is None:
                return
            self.pool.give(conn)
            if self.left_out:
                log.info("a replica answers reads", replica=self.place, since=self.left_out)
            self.left_out = ""
        except LOST as error:
            self.leave_out("unavailable", type(error).__name__)
        finally:
            self._looking = None

    async def close(self) -> None:
        if self._looking is not None:
            await asyncio.wait([self._looking], timeout=PARTING)
        if self._looking is not None:
            self._looking.cancel()
        await self.pool.close()


class Replicas(Collector):
    """In place of the primary's pool, for reads of many rows."""

    def __init__(self, dsn: str, primary: Pool, direct: str) -> None:
        """`direct`: the address of the primary itself."""
        self._primary, self._asking = primary, Primary(direct)
        self._rounds = Rounds(self._asking.position)
        self.outcomes = Counter[str]()
        self.each = [Replica(one, primary.size, self._rounds, self.outcomes) for one in addresses(dsn)]
        self._turn = 0
        REGISTRY.register(self)

    async def fetchrow(self, sql: str, args: Sequence[Any]) -> Any:
        """The first row, from a replica or, if none may answer or one fails, from the primary."""
        replica = self._ready()
        conn = None if replica is None else await replica.caught_up()
        if replica is None or conn is None:
            return await self._primary.fetchrow(sql, args)
        try:
            row = await conn.fetchrow(sql, *args)
        except BaseException as error:
            replica.pool.end(conn, type(error))
            if not isinstance(error, Exception) or not of_replica(error):
                raise
            if conn.is_closed():
                replica.leave_out("unavailable", type(error).__name__)
            else:
                self.outcomes["failed"] += 1
            return await self._primary.fetchrow(sql, args)
        replica.pool.give(conn)
        self.outcomes["replica"] += 1
        return row

    def _ready(self) -> Replica | None:
        """They take turns."""
        for _ in self.each:
            self._turn = (self._turn + 1) % len(self.each)
            replica = self.each[self._turn]
            if replica.ready:
                return replica
            replica.look()
        self.outcomes["left_out"] += 1
        return None

    def collect(self) -> Iterator[Metric]:
        reads = CounterMetricFamily(
            "crewship_replica_reads", "Reads that a replica may answer, by why the primary did", labels=["outcome"]
        )
        for outcome, count in self.outcomes.items():
            reads.add_metric([outcome], count)
        ready = GaugeMetricFamily("crewship_replica_ready", "1: the replica answers reads", labels=["replica"])
        lag = GaugeMetricFamily(
            "crewship_replica_lag_bytes", "Log that a replica lacked when a read came", labels=["replica"]
        )
        for replica in self.each:
            ready.add_metric([replica.place], float(replica.ready))
            lag.add_metric([replica.place], replica.behind)
        yield from (reads, ready, lag)

    async def close(self) -> None:
        REGISTRY.unregister(self)
        for replica in self.each:
            await replica.close()
        self._rounds.close()
        self._asking.close()


def addresses(dsn: str) -> list[Address]:
    """Each host of the address by itself."""
    whole = Address.read(dsn)
    rest = {name: value for name, value in whole.parameters.items() if name != "target_session_attrs"}
    return [replace(whole, hosts=(host,), parameters=MappingProxyType(rest)) for host in whole.hosts]


def of_replica(error: Exception) -> bool:
    """Returns true if the primary may answer the statement."""
    state = getattr(error, "sqlstate", None)
    return state is None or state[:2] in OF_REPLICAS
