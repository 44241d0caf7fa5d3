"""Durable execution on real engine and database: begun once, finished once, resumed where it was, only ids recorded."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION
from runtime.engine.dbos_engine import DbosEngine
from runtime.engine.dbos_tables import prepare_engine
from tests.runtime.engines import Body, database, prepared, settled, written_down

__all__ = ["database", "prepared"]
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def shared(prepared: Any) -> AsyncIterator[tuple[DbosEngine, Body]]:
    made, body = DbosEngine(prepared.url), Body()
    await made.open(body)
    await made.wake()
    yield made, body
    await made.close()


@pytest.fixture
async def engine(shared: tuple[DbosEngine, Body]) -> DbosEngine:
    return shared[0]


@pytest.fixture
async def body(shared: tuple[DbosEngine, Body]) -> Body:
    shared[1].__init__()  # type: ignore[misc]
    return shared[1]


async def test_a_run_is_begun_once_in_the_callers_loop(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    loops = []

    async def does(run_id: str) -> None:
        loops.append(asyncio.get_running_loop())

    body.does = does
    await engine.start("run_once")
    await body.end("run_once")
    await settled(database, "run_once", "SUCCESS")
    assert body.calls == ["run_once"]
    assert loops == [asyncio.get_running_loop()]


@pytest.mark.slow
async def test_starting_a_run_that_was_begun_resumes_it_here(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    begun = asyncio.Event()

    async def waits(run_id: str) -> None:
        begun.set()
        raise asyncio.CancelledError

    body.does = waits
    await engine.start("run_twice")
    await body.end("run_twice")
    await written_down(engine, "run_twice")
    await settled(database, "run_twice", "PENDING")
    body.does = body.nothing
    await engine.start("run_twice")
    await body.end("run_twice")
    await settled(database, "run_twice", "SUCCESS")
    assert body.calls == ["run_twice", "run_twice"]


async def test_a_run_that_was_never_begun_can_be_resumed(engine: DbosEngine, body: Body) -> None:
    await engine.resume("run_unknown")
    await body.end("run_unknown")
    assert body.calls == ["run_unknown"]


@pytest.mark.slow
async def test_a_run_whose_record_says_done_can_be_begun_again(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    """The rows of the run decide whether it is done, not the engine."""
    await engine.start("run_done")
    await body.end("run_done")
    await settled(database, "run_done", "SUCCESS")
    await engine.resume("run_done")
    await body.end("run_done")
    await settled(database, "run_done", "SUCCESS")
    assert body.calls == ["run_done", "run_done"]


async def test_a_body_that_fails_leaves_its_run_resumable(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    async def fails(run_id: str) -> None:
        raise ValueError("sk-secret")

    body.does = fails
    await engine.start("run_fails")
    await body.end("run_fails")
    await written_down(engine, "run_fails")
    await settled(database, "run_fails", "PENDING")
    body.does = body.nothing
    await engine.resume("run_fails")
    await body.end("run_fails")
    await settled(database, "run_fails", "SUCCESS")


@pytest.mark.slow
async def test_steps_come_on_record_in_their_order(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    async def does(run_id: str) -> None:
        for step in ("a", "b", "c"):
            engine.record(run_id, step)

    body.does = does
    await engine.start("run_steps")
    await body.end("run_steps")
    await settled(database, "run_steps", "SUCCESS")
    assert await engine.recorded("run_steps") == ["a", "b", "c"]


async def test_steps_side_by_side_may_come_in_another_order(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    order = ["a", "b"]

    async def does(run_id: str) -> None:
        for step in order:
            engine.record(run_id, step)
        if len(body.calls) == 1:
            await asyncio.sleep(0.3)  # they come on record
            raise asyncio.CancelledError

    body.does = does
    await engine.start("run_order")
    await body.end("run_order")
    await written_down(engine, "run_order")
    order[:] = ["b", "a", "c"]
    await engine.resume("run_order")
    await body.end("run_order")
    await settled(database, "run_order", "SUCCESS")
    assert await engine.recorded("run_order") == ["a", "b", "c"]


@pytest.mark.slow
async def test_a_run_does_not_wait_to_be_on_record(
    engine: DbosEngine, body: Body, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be slow: what is to be on record comes later, and in order."""
    gate, write = asyncio.Event(), engine._records._write

    async def slow(*what: Any) -> None:
        await gate.wait()
        await write(*what)

    async def does(run_id: str) -> None:
        engine.record(run_id, "a")

    monkeypatch.setattr(engine._records, "_write", slow)
    body.does = does
    await engine.start("run_slow")
    await body.end("run_slow")
    assert await database.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'run_slow'") == 0
    gate.set()
    await settled(database, "run_slow", "SUCCESS")
    assert await engine.recorded("run_slow") == ["a"]
    assert body.calls == ["run_slow"]


async def test_cancelling_puts_it_on_record(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    async def stops(run_id: str) -> None:
        raise asyncio.CancelledError

    body.does = stops
    await engine.start("run_cancelled")
    await body.end("run_cancelled")
    await written_down(engine, "run_cancelled")
    await settled(database, "run_cancelled", "PENDING")
    await engine.cancel("run_cancelled")
    await settled(database, "run_cancelled", "CANCELLED")


@pytest.mark.slow
async def test_old_records_are_forgotten_and_queues_of_the_dead_with_them(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    await engine.start("run_old")
    await body.end("run_old")
    await settled(database, "run_old", "SUCCESS")
    await asyncio.to_thread(engine._dbos.register_queue, "worker:1000:1-dead")
    await engine.resume("run_old")
    await body.end("run_old")
    await settled(database, "run_old", "SUCCESS")
    queues = "SELECT name FROM dbos.queues WHERE name LIKE 'worker:%'"
    await engine.forget(3600.0)
    assert await database.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'run_old'") == 1
    assert {row[0] for row in await database.fetch(queues)} == {engine.queue}
    await engine.forget(-5.0)
    assert await database.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'run_old'") == 0
    assert {row[0] for row in await database.fetch(queues)} == {engine.queue}


async def test_only_what_has_ended_and_is_a_run_is_forgotten(
    engine: DbosEngine, body: Body, database: asyncpg.Connection
) -> None:
    async def stops(run_id: str) -> None:
        raise asyncio.CancelledError

    body.does = stops
    await engine.start("run_open")
    await body.end("run_open")
    await written_down(engine, "run_open")
    await database.execute(
        "SELECT dbos.enqueue_workflow('tests.timer', 'job:tests.timer',"
        " workflow_id => 'timer', delay_until_epoch_ms => 9999999999999)"
    )
    await database.execute("SELECT dbos.enqueue_workflow('tests.ended', 'job:tests.ended', workflow_id => 'ended')")
    await database.execute(
        "UPDATE dbos.workflow_status SET status = 'SUCCESS', completed_at = 1 WHERE workflow_uuid = 'ended'"
    )
    await engine.forget(-5.0)
    left = {row[0] for row in await database.fetch("SELECT workflow_uuid FROM dbos.workflow_status")}
    assert {"run_open", "timer", "ended"} <= left
    await database.execute("DELETE FROM dbos.workflow_status WHERE workflow_uuid IN ('timer', 'ended')")


@pytest.mark.slow
async def test_only_ids_are_stored(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    async def does(run_id: str) -> None:
        engine.record(run_id, "model 1")

    body.does = does
    await engine.start("run_ids")
    await body.end("run_ids")
    await settled(database, "run_ids", "SUCCESS")
    step = await database.fetchrow("SELECT * FROM dbos.operation_outputs WHERE workflow_uuid = 'run_ids'")
    assert step is not None
    assert step["output"] == '"model 1"'
    inputs = await database.fetchval("SELECT inputs FROM dbos.workflow_input WHERE workflow_uuid = 'run_ids'")
    assert json.loads(inputs) == {"positionalArgs": [], "namedArgs": {}}


async def test_the_applications_role_owns_nothing_of_the_engine(prepared: Any) -> None:
    conn = await asyncpg.connect(prepared.url)
    try:
        assert (
            await conn.fetchval(
                "SELECT count(*) FROM pg_class"
                " WHERE relnamespace = 'dbos'::regnamespace AND relowner = current_user::regrole"
            )
            == 0
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("CREATE TABLE dbos.mine (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("DROP TABLE dbos.workflow_status")
    finally:
        await conn.close()


async def test_preparing_twice_changes_nothing(prepared: Any, database: asyncpg.Connection) -> None:
    before = await database.fetchval("SELECT version FROM dbos.dbos_migrations")
    await prepare_engine(prepared.owner_url, APPLICATION)
    await prepare_engine(prepared.owner_url, None)
    assert await database.fetchval("SELECT version FROM dbos.dbos_migrations") == before
