"""The connections, and a PostgreSQL dialect that compiles SQLAlchemy Core to asyncpg's text."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple

import asyncpg
import orjson
from sqlalchemy import ARRAY
from sqlalchemy.dialects.postgresql import asyncpg as pg_asyncpg
from sqlalchemy.dialects.postgresql import base as pg_base

from resolvers.errors import Code, Refusal
from resolvers.instance.telemetry import log
from resolvers.kernel.ground.silence import CONNECTING, LIMIT, LOOK, PARTING, STATEMENT, SilenceWatch, noticed
from resolvers.kernel.store import pipelined

STATEMENTS = 600  # prepared statements a connection keeps; more plans than this in use cost a parse each
# bytes of text of the statements a connection keeps: PostgreSQL holds about eighty times as much for them
PREPARED = 2**20
LARGEST = 64 * 1024  # bytes of text of one of them; a longer one is parsed each time
SEEN = 20_000  # texts that are known to have been sent before
RETURNS_OLD = 18  # the first PostgreSQL that knows `RETURNING old.name`
SESSION = {
    "timezone": "UTC",
    "plan_cache_mode": "force_generic_plan",  # parameters are ids: a plan for all values, planned once a connection
    "jit": "off",
    "random_page_cost": "1.1",  # what is looked up by key is in memory: an index also where a table is small
    "statement_timeout": f"{STATEMENT}s",
    "idle_in_transaction_session_timeout": "30s",
    "application_name": "crewship",
}


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


STALE = (asyncpg.OutdatedSchemaCacheError, asyncpg.InvalidCachedStatementError)


class Seen:
    """Texts of statements that were sent once: the second time they are worth preparing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._hashes: dict[int, None] = {}

    def again(self, text: str) -> bool:
        known = hash(text)
        if known in self._hashes:
            return True
        self._hashes[known] = None
        if len(self._hashes) > self.size:
            del self._hashes[next(iter(self._hashes))]
        return False


_seen = Seen(SEEN)


class Connection(asyncpg.Connection):
    """asyncpg's, with a short way to the rows of a statement it has prepared, and one more way to begin a transaction.

    The short way leaves out four nested coroutines, of a statement's timeout, logging and retry: a seventh of what a
    small statement costs this process.
    """

    _protocol: Any
    _stmt_cache: Any
    _cleanup_stmts: Any
    _transport: Any
    _stmt_exclusive_section: Any
    _check_open: Any
    begin: Any = None  # the prepared BEGIN
    scoped: Any = None  # the prepared scope of one statement
    asks = False  # on a way that is not asyncpg's exclusive section

    @property
    def statement(self) -> int:
        """The number of the statement that waits for its answer; -1 where none does."""
        waits = self.asks or self._stmt_exclusive_section._acquired
        return int(self._protocol.queries_count) if waits else -1

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None, record_class: Any = None) -> Any:  # noqa: ASYNC109 - its signature
        """The first row, or None."""
        known = self._stmt_cache.get((query, asyncpg.Record, False))
        if known is None or timeout is not None or record_class is not None:
            return await super().fetchrow(query, *args, timeout=timeout, record_class=record_class)
        rows = await self._known(known, args, 1)
        if rows is None:
            return await super().fetchrow(query, *args)
        return rows[0] if rows else None

    async def fetch(self, query: str, *args: Any, timeout: float | None = None, record_class: Any = None) -> Any:  # noqa: ASYNC109 - its signature
        known = self._stmt_cache.get((query, asyncpg.Record, False))
        if known is None or timeout is not None or record_class is not None:
            return await super().fetch(query, *args, timeout=timeout, record_class=record_class)
        rows = await self._known(known, args, 0)
        return await super().fetch(query, *args) if rows is None else rows

    async def _known(self, statement: Any, args: Sequence[Any], limit: int) -> Any:
        """None: the statement has to be prepared again."""
        self.asks = True
        try:
            return await self._protocol.bind_execute(statement, args, "", limit, False, None)
        except STALE:
            if await self._outdated():
                raise
            return None
        finally:
            self.asks = False

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 - its signature
        if args:
            return await super().execute(query, *args, timeout=timeout)
        self._check_open()
        self.asks = True
        try:
            return str(await self._protocol.query(query, timeout))
        finally:
            self.asks = False

    async def prepare(self, query: str, **options: Any) -> Any:
        self.asks = True
        try:
            return await super().prepare(query, **options)
        finally:
            self.asks = False

    async def _get_statement(
        self,
        query: str,
        timeout: float | None,  # noqa: ASYNC109 - its signature
        *,
        named: Any = False,
        use_cache: bool = True,
        **options: Any,
    ) -> Any:
        """A text that is new is parsed for this once: what is prepared stays in PostgreSQL, and has to be worth it."""
        new = self._stmt_cache.get((query, options.get("record_class") or asyncpg.Record, False)) is None
        if use_cache and new and not named:
            use_cache = _seen.again(query)
        made = await super()._get_statement(query, timeout, named=named, use_cache=use_cache, **options)  # type: ignore[misc]
        if use_cache and new and self._trim():
            await self._cleanup_stmts()
        return made

    def _trim(self) -> bool:
        """Closes the least recently used statements until the rest is within PREPARED; true if it closed any."""
        sizes = [len(key[0]) for key in self._stmt_cache._entries]
        dropped, total = 0, sum(sizes)
        while total > PREPARED and dropped < len(sizes) - 1:
            total -= sizes[dropped]
            dropped += 1
        if dropped:
            self._stmt_cache.set_max_size(len(sizes) - dropped)
            self._stmt_cache.set_max_size(STATEMENTS)
        return dropped > 0

    async def begin_with(self, query: str, *args: Any, many: bool = False) -> Any:
        """BEGIN and the first statement of the transaction in one round trip; returns the statement's row, or its rows.

        The transaction has begun also where this raises, and is to be rolled back.
        """
        if self.begin is None:
            self.begin = await self.prepare("BEGIN", name=pipelined.BEGIN)
        if self.is_closed() or self._stmt_cache.get((query, asyncpg.Record, False)) is None:
            await self.execute("BEGIN")  # a closed one refuses here, as it always does
        else:
            self._transport.write(pipelined.BEGINS)
        return await (self.fetch(query, *args) if many else self.fetchrow(query, *args))

    async def within(self, scope: str, query: str, *args: Any) -> list[Any]:
        """The rows of one statement that sees the rows of `scope`, in one round trip: both are one transaction, and
        the scope ends with it. Not inside of another transaction.
        """
        if self.scoped is None:
            self.scoped = await self.prepare(pipelined.SCOPE, name=pipelined.WITHIN)
        known = self._stmt_cache.get((query, asyncpg.Record, False))
        if known is None or self.is_closed():
            return await self._within(scope, query, *args)
        self._transport.write(pipelined.scopes(scope))
        try:
            rows = await self._known(known, args, 0)
        except BaseException as error:
            if getattr(error, "severity", None) is None:  # it is not PostgreSQL that refuses
                self.terminate()  # what was not sent leaves the scope to the next statement
            raise
        return await self._within(scope, query, *args) if rows is None else list(rows)

    async def _within(self, scope: str, query: str, *args: Any) -> list[Any]:
        """The same with a statement that has to be prepared first."""
        async with self.transaction():
            await self.fetch(pipelined.SCOPE, scope)
            return list(await self.fetch(query, *args))

    async def _outdated(self) -> bool:
        """Forgets the statements: the schema changed under them. True in a transaction, which the error has ended."""
        within = self.is_in_transaction()
        await self.reload_schema_state()
        return within


async def connect(dsn: str, settings: Mapping[str, str] = MappingProxyType({}), limit: float | None = None) -> Any:
    """A connection that passes JSON as bytes and decodes JSONB with orjson. `settings` go beyond SESSION's. `limit`:
    seconds that a statement waits for its answer, by a timer each.
    """
    conn = await asyncpg.connect(
        dsn,
        connection_class=Connection,
        statement_cache_size=STATEMENTS,
        max_cacheable_statement_size=LARGEST,
        max_cached_statement_lifetime=0,
        server_settings=SESSION | dict(settings),
        timeout=CONNECTING,
        command_timeout=limit,
    )
    try:
        noticed(conn)
        await conn.set_type_codec("json", schema="pg_catalog", format="binary", encoder=lambda b: b, decoder=bytes)
        await conn.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            format="binary",
            encoder=lambda v: b"\x01" + orjson.dumps(v),
            decoder=lambda b: orjson.loads(b[1:]),
        )
    except BaseException:
        conn.terminate()
        raise
    return conn


class Pool:
    """asyncpg connections, last in first out, opened as needed up to `size`.

    asyncpg's own pool shields, times and resets every release: 15-20 us a request. Nothing needs a reset here, because
    every operation sets the session's variables itself and ends its transaction.

    A statement that has no answer `limit` seconds after it was sent ends with its connection, by a look `every` so
    often: PostgreSQL ends by itself what takes STATEMENT seconds.
    """

    def __init__(self, dsn: str, size: int, wait: float = 10.0, *, every: float = LOOK, limit: float = LIMIT) -> None:
        self.dsn, self.size, self.wait = dsn, size, wait
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
            conn = await connect(self.dsn)
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
        """Back to the pool; a closed connection leaves its place to a new one."""
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

    `returns_old`: PostgreSQL gives the values before an update with those after it, as 18 does.
    """

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._aside: Pool | None = None
        self.row_security = True
        self.returns_old = False

    async def open(self, dsn: str, *, size: int = 10, row_security: bool = True) -> None:
        self._pool, self._aside = Pool(dsn, size), Pool(dsn, 1)
        self.row_security = row_security
        async with self._pool.lease() as conn:
            self.returns_old = conn.get_server_version().major >= RETURNS_OLD

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            raise RuntimeError("the database is not open")
        return self._pool

    def lease(self) -> Lease:
        return Lease(self.pool)

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
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        if self._aside is not None:
            await self._aside.close()
            self._aside = None


database = Database()
