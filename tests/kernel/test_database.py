"""The pool: cancelled queries, dead connections, a restarted server, more callers than connections."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import String, bindparam, cast, insert, literal, select

from crewship.process.postgres import EmbeddedPostgres
from models.migrations.tables import metadata
from resolvers.errors import Code, Refusal
from resolvers.kernel.store.connection import LARGEST, PREPARED, connect
from resolvers.kernel.store.database import DIALECT, Pool
from resolvers.kernel.store.statements import generic

pytestmark = pytest.mark.anyio


Ask = Callable[[Pool, str], Awaitable[Any]]


async def leased(pool: Pool, sql: str) -> Any:
    async with pool.lease() as conn:
        return (await conn.fetchrow(sql))[0]


async def alone(pool: Pool, sql: str) -> Any:
    return (await pool.fetchrow(sql, ()))[0]


both_ways = pytest.mark.parametrize("ask", [leased, alone])


async def one(pool: Pool, ask: Ask = leased) -> int:
    return int(await ask(pool, "SELECT 1"))


async def test_connections_are_reused_last_in_first_out(database_url: str) -> None:
    pool = Pool(database_url, 3)
    async with pool.lease() as first:
        pass
    async with pool.lease() as second:
        assert second is first
    assert pool.opened == 1
    await pool.close()


@both_ways
async def test_a_cancelled_query_costs_its_connection_and_nobody_elses(database_url: str, ask: Ask) -> None:
    pool = Pool(database_url, 2)
    task = asyncio.ensure_future(ask(pool, "SELECT pg_sleep(30)"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.opened == 0
    assert [await one(pool) for _ in range(3)] == [1, 1, 1]
    await pool.close()


@both_ways
async def test_a_query_that_fails_leaves_its_connection(database_url: str, ask: Ask) -> None:
    pool = Pool(database_url, 2)
    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await ask(pool, "SELECT 1 / 0")
    assert (pool.opened, len(pool.free), await one(pool, ask)) == (1, 1, 1)
    await pool.close()


@both_ways
async def test_more_callers_than_connections_wait_for_each_other(database_url: str, ask: Ask) -> None:
    pool = Pool(database_url, 2)
    assert await asyncio.gather(*[one(pool, ask) for _ in range(50)]) == [1] * 50
    assert pool.opened == 2
    await pool.close()


async def test_waiting_ends_as_unavailable(database_url: str) -> None:
    pool = Pool(database_url, 1, wait=0.1)
    async with pool.lease():
        with pytest.raises(Refusal) as refused:
            await one(pool)
    assert refused.value.code is Code.UNAVAILABLE
    assert await one(pool) == 1
    await pool.close()


async def test_a_cancelled_waiter_loses_no_connection(database_url: str) -> None:
    pool = Pool(database_url, 1)
    async with pool.lease():
        waiters = [asyncio.create_task(one(pool)) for _ in range(3)]
        await asyncio.sleep(0.05)
        waiters[0].cancel()
    assert [await w for w in waiters[1:]] == [1, 1]
    assert await one(pool) == 1
    assert pool.opened == 1
    await pool.close()


async def test_a_waiter_cancelled_at_the_moment_it_is_served_gives_the_connection_on(database_url: str) -> None:
    pool = Pool(database_url, 1)
    lease = pool.lease()
    await lease.__aenter__()
    waiter = asyncio.create_task(one(pool))
    await asyncio.sleep(0.05)
    await lease.__aexit__(None, None, None)  # the waiter's future is done, the waiter has not run yet
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await one(pool) == 1
    await pool.close()


async def test_where_postgresql_has_no_place_the_open_connections_are_waited_for(database: Any) -> None:
    owner = await asyncpg.connect(database.owner_url)
    pool = Pool(database.url, 4)
    await one(pool)
    await owner.execute(f"ALTER DATABASE {database.name} CONNECTION LIMIT 1")
    assert await asyncio.gather(*[one(pool) for _ in range(50)]) == [1] * 50
    assert pool.opened == 1
    await pool.close()
    pool = Pool(database.url, 4)
    refused = await asyncio.gather(*[one(pool) for _ in range(9)], return_exceptions=True)
    assert {getattr(r, "code", None) for r in refused} == {Code.UNAVAILABLE}, (
        "with no connection of its own there is nothing to wait for"
    )
    await owner.close()


async def test_what_is_sent_once_is_not_prepared_and_what_is_prepared_is_bounded(database_url: str) -> None:
    pool = Pool(database_url, 1)

    async def prepared() -> int:
        return int(await leased(pool, "SELECT coalesce(sum(length(statement)), 0) FROM pg_prepared_statements"))

    for _ in range(3):
        await prepared()
    before, padding = await prepared(), "x" * 20_000
    for n in range(100):
        assert await alone(pool, f"SELECT {n} /* {padding} */") == n
    assert await prepared() == before
    for _ in range(2):
        for n in range(100):
            assert await alone(pool, f"SELECT {n} /* {padding} */") == n
    assert PREPARED / 2 < await prepared() <= PREPARED
    long = f"SELECT 1 /* {'x' * LARGEST} */"
    for _ in range(3):
        assert await alone(pool, long) == 1
    assert await leased(pool, f"SELECT count(*) FROM pg_prepared_statements WHERE length(statement) > {LARGEST}") == 0
    await pool.close()


async def test_dead_connections_are_replaced(database_url: str) -> None:
    pool = Pool(database_url, 2)
    await one(pool)
    admin = await asyncpg.connect(database_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await asyncio.sleep(0.1)
    assert await one(pool) == 1
    await admin.close()
    await pool.close()


async def test_a_connection_that_dies_in_use_is_not_used_again(database_url: str) -> None:
    pool = Pool(database_url, 1)
    async with pool.lease() as conn:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await conn.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
    assert await one(pool) == 1
    await pool.close()


@pytest.mark.slow
async def test_after_a_restart_of_the_server_the_pool_goes_on(tmp_path: Path) -> None:
    server: Any = EmbeddedPostgres(tmp_path, durable=False)
    dsn = (await asyncio.to_thread(server.start)).application
    pool = Pool(dsn, 2)
    assert await one(pool) == 1
    await asyncio.to_thread(server.stop)
    with pytest.raises(Refusal) as refused:
        await one(pool)
    assert refused.value.code is Code.UNAVAILABLE
    again = (await asyncio.to_thread(server.start)).application
    pool.dsn = again
    assert await one(pool) == 1
    await pool.close()
    await asyncio.to_thread(server.stop)


async def test_a_cast_cuts_no_text(database_url: str) -> None:
    """PostgreSQL's explicit cast to varchar(n) does, without a word."""
    kind, longer = String(200), "c" * 201
    asked = select(
        literal("c" * 200, kind).in_([longer]), literal("c" * 200, kind) == literal(longer, kind), cast(longer, kind)
    )
    sql, values = generic(asked)
    pool = Pool(database_url, 1)
    async with pool.lease() as conn:
        assert tuple(await conn.fetchrow(sql, *values)) == (False, False, longer)
    await pool.close()


async def test_inserts_into_every_table_have_types_that_need_no_look_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_up(*_: Any) -> None:
        raise AssertionError("asyncpg asks the catalogue for a type")

    conn = await connect(database_url)
    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", look_up)
    try:
        for table in metadata().sorted_tables:
            if table.name == "issue_texts":  # functions of the owner write it
                continue
            given = [column for column in table.c if column.identity is None and column.computed is None]
            values = {column.name: bindparam(column.name, type_=column.type) for column in given}
            await conn.prepare(str(insert(table).values(values).returning(*table.c).compile(dialect=DIALECT)))
        with pytest.raises(AssertionError, match="asks the catalogue"):
            await conn.prepare("SELECT $1::pg_catalog.pg_class")
    finally:
        await conn.close()
