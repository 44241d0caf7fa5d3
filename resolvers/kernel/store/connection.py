"""A connection: what it asks of PostgreSQL, what it prepares, and the rows that its transactions see."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import asyncpg
import orjson

from models.connections import open_connection
from resolvers.kernel.ground.silence import CONNECTING, STATEMENT, noticed
from resolvers.kernel.store import pipelined

STATEMENTS = 600  # prepared statements a connection keeps; more plans than this in use cost a parse each
# bytes of text of the statements a connection keeps: PostgreSQL holds about eighty times as much for them
PREPARED = 2**20
LARGEST = 64 * 1024  # bytes of text of one of them; a longer one is parsed each time
SEEN = 20_000  # texts that are known to have been sent before
SESSION = {
    "timezone": "UTC",
    "plan_cache_mode": "force_generic_plan",  # parameters are ids: a plan for all values, planned once a connection
    "jit": "off",
    "random_page_cost": "1.1",  # what is looked up by key is in memory: an index also where a table is small
    "statement_timeout": f"{STATEMENT}s",
    "idle_in_transaction_session_timeout": "30s",
    "application_name": "crewship",
}
FOLLOWED = {name: SESSION[name] for name in ("timezone", "application_name")}
"""The settings that a pooler gives to each session that it hands over."""


STALE = (asyncpg.OutdatedSchemaCacheError, asyncpg.InvalidCachedStatementError)

T = TypeVar("T")
NOTHING = ("", "")  # what a session sees by itself


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
    scoped: Any = None  # the prepared scope of a transaction
    pooled = False  # a pooler in between, which sends each transaction to another session
    _sight: tuple[str, str] | None = None
    _given: tuple[str, str] | None = None  # what the transaction under way sees, if that is known
    asks = False  # on a way that is not asyncpg's exclusive section
    history: Any = None  # of a replica, and how far it has replayed
    replayed = 0

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
            return await self._seeing(lambda: self._protocol.bind_execute(statement, args, "", limit, False, None))
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
        self.asks, self._given = True, None  # a text may begin or end a transaction
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
        """A text that is new is parsed for this once: what is prepared stays in PostgreSQL, and has to be worth it. A
        pooler follows names alone.
        """
        new = self._stmt_cache.get((query, options.get("record_class") or asyncpg.Record, False)) is None
        if use_cache and new and not named and not self.pooled:
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
        if self._scopes:
            await self._prepare_scope()
        if self.is_closed() or self._stmt_cache.get((query, asyncpg.Record, False)) is None:
            await self.execute("BEGIN")  # a closed one refuses here, as it always does
        else:
            self._transport.write(pipelined.BEGINS)
        return await (self.fetch(query, *args) if many else self.fetchrow(query, *args))

    # ---- sight ---------------------------------------------------------------------------------------------------

    def sees(self, scope: str | None) -> None:
        """Which rows row-level security shows to the statements from here on. Nothing is sent: each transaction is
        given it with its first statement, and forgets it at its end, so that no session keeps it (see ADR 3). None:
        nothing but what statements set themselves.
        """
        self._sight = None if scope is None else (scope, self._sight[1] if self._sight is not None else "")
        self._given = None

    def acts_for(self, principal: str) -> None:
        """The following statements also see the idempotency keys of this principal."""
        if self._sight is not None:
            self._sight, self._given = (self._sight[0], principal), None

    @property
    def _scopes(self) -> bool:
        """True if the next statement has to be sent with the scope."""
        if self._sight is None:
            return False
        return bool(self._given != self._sight if self._protocol.is_in_transaction() else self._sight != NOTHING)

    async def _prepare_scope(self) -> None:
        if self.scoped is None:
            self.scoped = await self.prepare(pipelined.SCOPE, name=pipelined.WITHIN)

    async def _seeing(self, send: Callable[[], Awaitable[T]]) -> T:
        """Sends a statement, and the scope ahead of it in the same round trip."""
        if not self._scopes or self.is_closed():
            return await send()
        await self._prepare_scope()
        assert self._sight is not None
        sight = self._sight
        self._transport.write(pipelined.scopes(*sight))
        try:
            found = await send()
        except Exception as error:
            if getattr(error, "severity", None) is None:  # it is not PostgreSQL that refuses: nothing was sent
                await self._close_transaction(error)
            raise
        self._given = sight
        return found

    async def _close_transaction(self, error: Exception) -> None:
        """Ends the transaction of a scope that no statement followed: the next one would see it."""
        if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError | TypeError):
            self.terminate()
        elif not self.is_closed() and not self._protocol.is_in_transaction():
            await self._protocol.query(pipelined.CLOSES, None)

    async def _do_execute(
        self,
        query: str,
        executor: Any,
        timeout: float | None,  # noqa: ASYNC109 - its signature
        retry: bool = True,
        **options: Any,
    ) -> Any:
        async def seeing(statement: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 - its signature
            return await self._seeing(lambda: executor(statement, timeout))

        return await super()._do_execute(query, seeing, timeout, retry, **options)  # type: ignore[misc]

    async def within(self, scope: str, query: str, *args: Any) -> list[Any]:
        """The rows of one statement that sees the rows of `scope`. Not inside of another transaction."""
        sight = self._sight
        self.sees(scope)
        try:
            return list(await self.fetch(query, *args))
        finally:
            self._sight, self._given = sight, None

    async def _outdated(self) -> bool:
        """Forgets the statements: the schema changed under them. True in a transaction, which the error has ended."""
        within = self.is_in_transaction()
        await self.reload_schema_state()
        return within


class PooledConnection(Connection):
    """Through a pooler in transaction mode, which follows statements by their names."""

    pooled = True


async def connect(
    dsn: str, settings: Mapping[str, str] = MappingProxyType({}), limit: float | None = None, *, pooled: bool = False
) -> Any:
    """A connection that passes JSON as bytes and decodes JSONB with orjson. `settings` go beyond SESSION's. `limit`:
    seconds that a statement waits for its answer, by a timer each. `pooled`: through a pooler, behind which the role
    has what SESSION asks for.
    """
    conn = await open_connection(
        dsn,
        connection_class=PooledConnection if pooled else Connection,
        statement_cache_size=STATEMENTS,
        max_cacheable_statement_size=0 if pooled else LARGEST,
        max_cached_statement_lifetime=0,
        server_settings=(FOLLOWED if pooled else SESSION) | dict(settings),
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
