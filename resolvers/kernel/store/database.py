"""The pool of connections, and a PostgreSQL dialect that compiles SQLAlchemy Core to asyncpg's text."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
from sqlalchemy import ARRAY
from sqlalchemy.dialects.postgresql import asyncpg as pg_asyncpg
from sqlalchemy.dialects.postgresql import base as pg_base

from resolvers.errors import Code, Refusal
from resolvers.instance.telemetry import log
from resolvers.kernel.ground.silence import LIMIT, LOOK, PARTING, SilenceWatch
from resolvers.kernel.store.connection import Connection, connect

if TYPE_CHECKING:
    from resolvers.kernel.store.replicas import Replicas

RETURNS_OLD = 18  # the first PostgreSQL that knows `RETURNING old.name`


class Compiler(pg_asyncpg.PGCompiler_asyncpg):
    """Compiles IN over a bound list as `= ANY ($n)`: one statement text for every length."""

    def visit_in_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self._any(binary, "= ANY", **kw) or self._generate_generic_binary(binary, " IN ", **kw)

    def visit_not_in_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self._any(binary, "<> ALL", **kw) or super().visit_not_in_op_binary(binary, operator, **kw)  # type: ignore[no-untyped-call]

    def _any(self, binary: Any, word: str, **kw: Any) -> str | None:
        right = getattr(binary.right, "element", binary.right)
        if not getattr(right, "expanding", False):
            return None
        right = right._clone(maintain_key=True)
        right.expanding = False
        if not isinstance(right.type, ARRAY):
            right.type = ARRAY(right.type)  # the parameter is cast to its type
        return f"{self.process(binary.left, **kw)} {word} ({self.process(right, **kw)})"


class TypeCompiler(pg_base.PGTypeCompiler):
    """Casts know no lengths: `$1::varchar(200)` cuts what is longer without a word, while a column refuses it."""

    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:
        return "VARCHAR"


class Dialect(pg_asyncpg.PGDialect_asyncpg):
    statement_compiler = Compiler
    type_compiler_cls = TypeCompiler


# SQLAlchemy cuts a label that leaves no room for a suffix of 6; keys of answers are labels, of 63 letters at most.
DIALECT = Dialect(label_length=63 + 6)  # type: ignore[no-untyped-call]


class Pool:
    """asyncpg connections, last in first out, opened as needed up to `size`.

    asyncpg's own pool shields, times and resets every release: 15-20 us a request. Nothing needs a reset here, because
    every operation ends its transaction, and no session keeps a variable of one.

    A statement that has no answer `limit` seconds after it was sent ends with its connection, by a look `every` so
    often: PostgreSQL ends by itself what takes STATEMENT seconds.
    """

    def __init__(
        self,
        dsn: str,
        size: int,
        wait: float = 10.0,
        *,
        every: float = LOOK,
        limit: float = LIMIT,
        pooled: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.dsn, self.size, self.wait, self.pooled, self.settings = dsn, size, wait, pooled, settings
        self.silence = SilenceWatch(self._silent, every, limit)
        self.opened = 0
        self.free: list[Any] = []
        self.waiters: deque[tuple[asyncio.Future[Any], float]] = deque()
        self.timer: asyncio.TimerHandle | None = None
        self.closed = False

    async def open(self) -> None:
        async with self.lease():
            pass

    def lease(self) -> "Lease":
        return Lease(self)

    async def fetchrow(self, sql: str, args: Sequence[Any]) -> Any:
        """The first row of a statement that is all the work there is: a lease without the ceremony."""
        conn = self.free.pop() if self.free and not self.free[-1].is_closed() else await self.take()
        try:
            row = await conn.fetchrow(sql, *args)
        except BaseException as error:
            self.end(conn, type(error))
            raise
        self.give(conn)
        return row

    async def take(self) -> Any:
        """A connection. Where PostgreSQL has no place for one more, those that are open are waited for."""
        while True:
            while self.free:
                conn = self.free.pop()
                if not conn.is_closed():
                    return conn
                self.opened -= 1
            if self.closed:
                raise unavailable()
            if self.opened < self.size:
                try:
                    return await self._connect()
                except Refusal:
                    if not self.opened:
                        raise
                    if self.free:
                        continue
            conn = await self._turn()
            if conn is not None:
                return conn

    async def _turn(self) -> Any:
        """Waits for a connection that another call returns, or for None, which means that a new one may be opened."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self.waiters.append((waiter, loop.time() + self.wait))
        if self.timer is None:
            self.timer = loop.call_later(self.wait, self._expire)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                conn = waiter.result()  # served and cancelled at the same moment: another waiter's turn
                if conn is None:
                    self._wake(None)
                else:
                    self.give(conn)
            raise

    def _expire(self) -> None:
        """One timer for all who wait: they came in order, so those who waited too long stand in front."""
        loop, self.timer = asyncio.get_running_loop(), None
        while self.waiters:
            waiter, until = self.waiters[0]
            if not waiter.done() and until > loop.time():
                self.timer = loop.call_at(until, self._expire)
                return
            self.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(Refusal(Code.UNAVAILABLE, "The server is busy; try again"))

    async def _connect(self) -> Any:
        self.opened += 1
        try:
            conn = await connect(self.dsn, self.settings, pooled=self.pooled)
            self.silence.watch(conn)
            return conn
        except BaseException as error:
            self.opened -= 1
            refused = isinstance(error, (OSError, asyncpg.PostgresError, asyncpg.InterfaceError))
            if not refused or not self.opened:
                self._wake(None)
            if refused:
                raise unavailable() from error
            raise

    def give(self, conn: Any) -> None:
        """Back to the pool, and sees nothing any more; a closed connection leaves its place to a new one."""
        conn.sees(None)
        if conn.is_closed() or self.closed:
            self.opened -= 1
            if not conn.is_closed():
                conn.terminate()
            self._wake(None)
        elif not self._wake(conn):
            self.free.append(conn)

    def end(self, conn: Any, error: type[BaseException] | None) -> None:
        """After use. A connection whose query was cancelled is in an unknown state."""
        if error is not None and not issubclass(error, Exception):
            self.discard(conn)
        else:
            self.give(conn)

    def discard(self, conn: Any) -> None:
        conn.terminate()
        self.opened -= 1
        self._wake(None)

    def _silent(self, ended: int) -> None:
        """Removes ready connections to the same host, so that no further call waits for it."""
        log.warning("the database does not answer", ended=ended, let_go=len(self.free))
        while self.free:
            self.discard(self.free.pop())

    def _wake(self, conn: Any) -> bool:
        while self.waiters:
            waiter, _ = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(conn)
                return True
        return False

    async def close(self) -> None:
        self.closed = True
        free, self.free = self.free, []
        self.opened -= len(free)
        # a host that does not answer: they are cut off
        await asyncio.gather(*[conn.close(timeout=PARTING) for conn in free], return_exceptions=True)


class Lease:
    """`async with pool.lease() as conn`. A connection whose query was cancelled is not used again."""

    __slots__ = ("conn", "pool")

    def __init__(self, pool: Pool) -> None:
        self.pool, self.conn = pool, None

    async def __aenter__(self) -> Any:
        free = self.pool.free
        self.conn = free.pop() if free and not free[-1].is_closed() else await self.pool.take()
        return self.conn

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.end(self.conn, kind)


def unavailable() -> Refusal:
    return Refusal(Code.UNAVAILABLE, "The database cannot be reached; try again")


class Connections(NamedTuple):
    """The connections of the pool in use, those that are ready, and the calls that wait for one."""

    busy: int
    idle: int
    waiting: int


class Database:
    """The pool, and whether tables are under row-level security.

    `direct`: the address of PostgreSQL itself, for what needs a session of its own; `pooled`: the pool's is another
    one, of a pooler. `returns_old`: PostgreSQL gives the values before an update with those after it, as 18 does.
    """

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._aside: Pool | None = None
        self.replicas: Replicas | None = None
        self.row_security = True
        self.returns_old = False
        self.direct = ""

    async def open(
        self,
        dsn: str,
        *,
        size: int = 10,
        row_security: bool = True,
        direct: str | None = None,
        replicas: str | None = None,
    ) -> None:
        self.direct, pooled = direct or dsn, direct is not None
        self._pool, self._aside = Pool(dsn, size, pooled=pooled), Pool(dsn, 1, pooled=pooled)
        self.row_security = row_security
        async with self._pool.lease() as conn:
            self.returns_old = conn.get_server_version().major >= RETURNS_OLD
        if replicas is not None:
            from resolvers.kernel.store.replicas import Replicas

            self.replicas = Replicas(replicas, self._pool, self.direct)

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            raise RuntimeError("the database is not open")
        return self._pool

    def lease(self) -> Lease:
        return Lease(self.pool)

    def reads(self, on_replicas: bool) -> "Pool | Replicas":
        """Returns the servers that may answer a statement that only reads."""
        return self.pool if self.replicas is None or not on_replicas else self.replicas

    async def reader(self, limit: float) -> Connection:
        """A connection outside the pool from which no row is hidden: its one holder serves the listeners of all
        workspaces.
        """
        conn: Connection = await connect(self.pool.dsn, limit=limit, pooled=self.pool.pooled)
        if self.row_security:
            conn.sees("*")
        return conn

    def aside(self) -> Lease:
        """A connection outside the pool for work beside a transaction; its holder must not wait for anything."""
        if self._aside is None:
            raise RuntimeError("the database is not open")
        return Lease(self._aside)

    def connections(self) -> Connections:
        pool = self._pool
        if pool is None:
            return Connections(0, 0, 0)
        return Connections(
            pool.opened - len(pool.free), len(pool.free), sum(not waiter.done() for waiter, _ in pool.waiters)
        )

    async def close(self) -> None:
        if self.replicas is not None:
            await self.replicas.close()
            self.replicas = None
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        if self._aside is not None:
            await self._aside.close()
            self._aside = None


database = Database()
