"""A database host that takes everything and answers nothing: no statement waits for it for ever."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from crewship.process.postgres import APPLICATION, Connection
from crewship.process.wakeups import PostgresWakeups
from models import connections
from resolvers.errors import Code, Refusal
from resolvers.kernel.declarations.operation import translate
from resolvers.kernel.ground.silence import LIMIT, LOOK, STATEMENT
from resolvers.kernel.store.bus import CHANNEL
from resolvers.kernel.store.connection import connect
from resolvers.kernel.store.database import Pool
from runtime.engine.clocks import Ticker
from runtime.engine.liveness import Liveness, Rhythm
from tests.kernel.line import Line, line_to
from tests.process.poolers import free_port
from tests.world import world_on

pytestmark = pytest.mark.anyio
EVERY, SOON = 0.1, 0.7  # a look, and the limit of pools under test
SLACK = 0.5  # seconds that a busy machine is late


@pytest.fixture
async def line(postgres: Connection) -> AsyncIterator[Line]:
    async with line_to(postgres) as made:
        yield made


@pytest.fixture
def far(database: Any, postgres: Connection, line: Line) -> str:
    login = f"{APPLICATION}:{postgres.passwords[APPLICATION]}"
    return f"postgresql://{login}@127.0.0.1:{line.port}/{database.name}?sslmode=disable"


async def known(conn: Any) -> None:
    await conn.fetchrow("SELECT 1")


async def unknown(conn: Any) -> None:
    await conn.fetchrow("SELECT 1 AS nobody_asked_before")


async def many(conn: Any) -> None:
    await conn.fetch("SELECT 1")


async def value(conn: Any) -> None:
    await conn.fetchval("SELECT 1")


async def simple(conn: Any) -> None:
    await conn.execute("SELECT 1")


async def with_values(conn: Any) -> None:
    await conn.execute("SELECT $1::int", 1)


async def each(conn: Any) -> None:
    await conn.executemany("SELECT $1::int", [(1,), (2,)])


async def beginning(conn: Any) -> None:
    await conn.begin_with("SELECT 1")


async def preparing(conn: Any) -> None:
    await conn.prepare("SELECT 1")


async def transaction(conn: Any) -> None:
    async with conn.transaction():
        pass


WAYS = (known, unknown, many, value, simple, with_values, each, beginning, preparing, transaction)


async def given_up(asked: Awaitable[Any]) -> float:
    """The seconds after which the question is answered with UNAVAILABLE."""
    began = time.monotonic()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, Refusal, OSError)) as failed:
        async with asyncio.timeout(10):
            await asked
    error = failed.value
    refusal = error if isinstance(error, Refusal) else translate(error)
    assert refusal.code is Code.UNAVAILABLE
    return time.monotonic() - began


async def leased(pool: Pool, way: Callable[[Any], Awaitable[None]]) -> None:
    async with pool.lease() as conn:
        await way(conn)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_no_statement_waits_longer_than_one_may_run(far: str, line: Line, way: Any) -> None:
    pool = Pool(far, 4, every=EVERY, limit=SOON)
    for _ in range(3):
        await leased(pool, known)
    line.fall_silent()
    waited = await given_up(leased(pool, way))
    assert SOON <= waited <= SOON + EVERY + SLACK
    assert (pool.opened, pool.free) == (0, [])
    line.speak()
    began = time.monotonic()
    await leased(pool, way)
    assert time.monotonic() - began < SLACK
    await pool.close()


@pytest.mark.slow
async def test_what_lies_ready_does_not_cost_the_wait_once_more(far: str, line: Line) -> None:
    pool = Pool(far, 6, every=EVERY, limit=SOON)
    await asyncio.gather(*[leased(pool, simple) for _ in range(6)])
    assert len(pool.free) == 6
    line.fall_silent()
    waited = await asyncio.gather(*[given_up(pool.fetchrow("SELECT 1", ())) for _ in range(2)])
    assert max(waited) <= SOON + EVERY + SLACK
    assert (pool.opened, pool.free) == (0, [])
    line.speak()
    began = time.monotonic()
    assert [(await pool.fetchrow("SELECT 1", ()))[0] for _ in range(10)] == [1] * 10
    assert time.monotonic() - began < SLACK
    await pool.close()


@pytest.mark.slow
async def test_who_waits_for_a_place_gets_one_when_the_silent_are_ended(far: str, line: Line) -> None:
    pool = Pool(far, 2, every=EVERY, limit=SOON)
    await asyncio.gather(*[leased(pool, simple) for _ in range(2)])
    line.fall_silent()
    first = [asyncio.create_task(given_up(leased(pool, known))) for _ in range(2)]
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(leased(pool, known)) for _ in range(5)]
    line.speak()  # another host has the address
    await asyncio.gather(*first)
    async with asyncio.timeout(SLACK):
        await asyncio.gather(*others)
    await pool.close()


@pytest.mark.slow
async def test_a_statement_that_takes_its_time_is_not_cut(far: str) -> None:
    pool = Pool(far, 2, every=EVERY, limit=SOON)
    for _ in range(3):
        assert (await pool.fetchrow("SELECT pg_sleep($1::float8) IS NULL", (SOON - EVERY,)))[0] is False
    async with pool.lease() as conn:
        await asyncio.gather(conn.execute(f"SELECT pg_sleep({SOON - EVERY})"), asyncio.sleep(0))
        assert not conn.is_closed()
    await pool.close()


@pytest.mark.slow
async def test_many_short_statements_are_not_one_long_one(far: str) -> None:
    pool, until = Pool(far, 1, every=EVERY, limit=SOON), time.monotonic() + 2 * SOON
    async with pool.lease() as conn:
        while time.monotonic() < until:
            await conn.fetchrow("SELECT pg_sleep(0.01)")
    assert (pool.opened, len(pool.free)) == (1, 1)
    await pool.close()


@pytest.mark.slow
async def test_a_lease_on_which_nothing_was_asked_may_last(far: str) -> None:
    pool = Pool(far, 1, every=EVERY, limit=SOON)
    async with pool.lease() as conn:
        await known(conn)
        await asyncio.sleep(2 * SOON)
        await conn.fetchrow("BEGIN")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await conn.execute("SELECT 1 / 0")
        await asyncio.sleep(2 * SOON)
        await conn.execute("ROLLBACK")
        await known(conn)
    assert (pool.opened, len(pool.free)) == (1, 1)
    await pool.close()


@pytest.mark.slow
async def test_a_process_that_stood_still_reads_the_answers_first(far: str) -> None:
    pool = Pool(far, 1, every=EVERY, limit=SOON)
    await leased(pool, known)
    asked = asyncio.create_task(pool.fetchrow("SELECT pg_sleep(0.3)", ()))
    await asyncio.sleep(0.05)
    time.sleep(2 * SOON)  # the event loop stands still
    await asked
    await pool.close()


@pytest.mark.slow
async def test_a_new_connection_is_given_ten_seconds(far: str, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.kernel.store.connection.CONNECTING", 0.5)
    line.fall_silent()
    assert await given_up(Pool(far, 1).fetchrow("SELECT 1", ())) < 0.5 + SLACK


async def test_the_next_server_is_asked_when_one_is_silent(
    far: str, line: Line, postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "APART", 0.1)
    async with line_to(postgres) as other:
        both = far.replace(f"127.0.0.1:{line.port}", f"127.0.0.1:{line.port},127.0.0.1:{other.port}")
        line.fall_silent()
        for wait in (0.1, 0.0):  # the second time it is asked first
            began = time.monotonic()
            conn = await connect(both)
            assert wait <= time.monotonic() - began < wait + SLACK
            assert await conn.fetchval("SELECT 1") == 1
            await conn.close()
        other.fall_silent()
        line.speak()
        conn = await connect(both)
        await conn.close()


async def test_several_servers_of_which_none_is_suitable(far: str) -> None:
    login, _, place = far.partition("@")
    port = free_port()
    for hosts in (f"127.0.0.1:{port},", ""):
        several = f"{login}@{hosts}{place}&target_session_attrs=standby"
        with pytest.raises(ConnectionError, match="is standby"):
            await connect(several)
        with pytest.raises(Refusal) as refused:
            await Pool(several, 1).fetchrow("SELECT 1", ())
        assert refused.value.code is Code.UNAVAILABLE
    with pytest.raises(ConnectionRefusedError):
        await connect(f"{login}@127.0.0.1:{port},127.0.0.1:{port}/none")


@pytest.mark.slow
async def test_the_end_does_not_wait_for_a_silent_host(far: str, line: Line) -> None:
    pool = Pool(far, 4)
    await asyncio.gather(*[leased(pool, simple) for _ in range(4)])
    line.fall_silent()
    began = time.monotonic()
    await pool.close()
    assert time.monotonic() - began < 1 + SLACK


@pytest.mark.slow
async def test_connections_beside_the_pool_have_a_limit(far: str, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crewship.process.wakeups.PATIENCE", SOON)
    wakeups, reader = PostgresWakeups(far), await connect(far, limit=SOON)
    await wakeups.publish(CHANNEL, "heard")
    line.fall_silent()
    with pytest.raises(TimeoutError):
        await reader.fetchrow("SELECT 1")
    reader.terminate()
    with pytest.raises(TimeoutError):
        await wakeups.publish(CHANNEL, "lost")
    line.speak()
    async with asyncio.timeout(SLACK):
        await wakeups.publish(CHANNEL, "heard again")
    await wakeups.disconnect()


@pytest.mark.slow
async def test_the_lock_of_jobs_is_held_anew(far: str, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.engine.liveness.LIMIT", SOON)
    liveness = Liveness(far, "here", [], Ticker((), "here"), rhythm=Rhythm(sweep=0.1, retry=0.1))
    liveness.start()

    async def held(before: Any = None) -> Any:
        async with asyncio.timeout(SOON + 2 * SLACK):
            while liveness._conn in (None, before) or not await locks():
                await asyncio.sleep(0.02)
        return liveness._conn

    async def locks() -> int:
        async with watching.lease() as conn:
            return int(await conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"))

    watching = Pool(far, 1)
    first = await held()
    line.fall_silent()
    watching.discard(watching.free.pop())
    line.speak()
    assert await held(first) is not first
    await liveness.stop()
    await liveness.leave()
    await watching.close()


async def test_without_the_lock_of_jobs_its_connection_is_of_no_use(far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.engine.dbos_tables.SESSION", "SET statement_timeout = 200")
    first, second = [Liveness(far, "here", [], Ticker((), "here")) for _ in range(2)]
    await first._hold()
    for _ in range(2):
        with pytest.raises(asyncpg.QueryCanceledError):
            await second._hold()
    assert second._conn is None
    await first.leave()
    await second._hold()
    await second.leave()


async def test_statements_beside_the_lock_of_jobs_end_by_themselves(far: str) -> None:
    liveness = Liveness(far, "here", [], Ticker((), "here"))
    await liveness._hold()
    conn: Any = liveness._conn
    assert await conn.fetchval("SELECT current_setting('statement_timeout')") == f"{STATEMENT}s"
    await liveness.leave()


@pytest.mark.slow
async def test_a_statement_of_the_longest_time_is_answered(far: str) -> None:
    pool = Pool(far, 2)
    slept = pool.fetchrow("SELECT pg_sleep($1::float8) IS NULL", (STATEMENT - 0.5,))
    longer = pool.fetchrow("SELECT pg_sleep($1::float8)", (STATEMENT + 20.0,))
    row, ended = list[Any](await asyncio.gather(slept, longer, return_exceptions=True))
    assert row[0] is False
    assert isinstance(ended, asyncpg.QueryCanceledError)  # by PostgreSQL, whose connection goes on
    assert len(pool.free) == 2
    await pool.close()


@pytest.mark.slow
async def test_the_service_answers_through_it_all(database: Any, far: str, line: Line, tmp_path: Path) -> None:
    async with world_on(database, tmp_path, database_url=SecretStr(far)) as world:

        async def asked() -> tuple[int, float]:
            began = time.monotonic()
            async with world.client(world.owner) as client:
                answer = await client.get("/api/v1/crews", params={"workspace_id": world.workspace.id}, timeout=60)
            return answer.status_code, time.monotonic() - began

        assert {status for status, _ in await asyncio.gather(*[asked() for _ in range(6)])} == {200}
        line.fall_silent()
        during = await asyncio.gather(*[asked() for _ in range(6)])
        print("statuses and seconds:", sorted(during))
        assert {status for status, _ in during} == {503}
        assert max(seconds for _, seconds in during) <= LIMIT + LOOK + 1
        line.speak()
        after = await asyncio.gather(*[asked() for _ in range(6)])
        assert {status for status, _ in after} == {200}
        assert max(seconds for _, seconds in after) < 2
