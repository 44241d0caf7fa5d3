"""Durable execution on real engine and database: begun once, finished once, resumed where it was, only ids recorded."""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from crewship.postgres import APPLICATION
from crewship.work import prepare
from resolvers.kernel.database import database as pool
from resolvers.kernel.inputs import Input
from resolvers.kernel.jobs import JOBS, job
from runtime.dbos_engine import DbosEngine
from runtime.dbos_tables import TABLES_VERSION, prepare_engine

pytestmark = pytest.mark.anyio


class Nothing(Input): ...


class Body:
    """What an engine calls: the test says what it does."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ended: dict[str, asyncio.Event] = {}
        self.does: Callable[[str], Awaitable[None]] = self.nothing

    async def nothing(self, run_id: str) -> None: ...

    async def __call__(self, run_id: str) -> None:
        self.calls.append(run_id)
        try:
            await self.does(run_id)
        finally:
            self.ended.setdefault(run_id, asyncio.Event()).set()

    async def end(self, run_id: str) -> None:
        async with asyncio.timeout(30):
            await self.ended.setdefault(run_id, asyncio.Event()).wait()
        self.ended.pop(run_id)


@pytest.fixture(scope="module")
async def prepared(module_database: Any, anyio_backend: str) -> AsyncIterator[Any]:
    await prepare_engine(module_database.owner_url, APPLICATION)
    await pool.open(module_database.url, size=4)
    yield module_database
    await pool.close()


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


@pytest.fixture
async def database(prepared: Any) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(prepared.owner_url)
    yield conn
    await conn.close()


async def written_down(engine: DbosEngine, run_id: str) -> None:
    async with asyncio.timeout(30):
        while run_id in engine._runs:
            await asyncio.sleep(0.01)
        await engine._records.settle()


async def settled(database: asyncpg.Connection, run_id: str, status: str) -> None:
    """DBOS writes a workflow's end after the body has returned."""
    async with asyncio.timeout(30):
        while (
            await database.fetchval("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = $1", run_id)
            != status
        ):
            await asyncio.sleep(0.01)


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


# ---- with an engine of their own ------------------------------------------------------------------------------------


@pytest.fixture
async def alone(shared: tuple[DbosEngine, Body]) -> None:
    """The shared engine has gone: there is one in a process, and these tests are the last."""
    await shared[0].close()


async def test_a_run_is_resumed_by_another_process(alone: None, prepared: Any, database: asyncpg.Connection) -> None:
    """Cut after its first step: the next executor calls its body in its own loop; the record goes on where it was."""
    first, body, reached = DbosEngine(prepared.url), Body(), asyncio.Event()

    async def cut_off(run_id: str) -> None:
        first.record(run_id, "one")
        while await first.recorded(run_id) != ["one"]:
            await asyncio.sleep(0.01)
        reached.set()
        await asyncio.Event().wait()

    body.does = cut_off
    await first.open(body)
    await first.start("run_cut")
    await reached.wait()
    await first.close()
    assert (
        await database.fetchval("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'run_cut'") == "PENDING"
    )

    heir, again, here = DbosEngine(prepared.url), Body(), asyncio.get_running_loop()

    async def goes_on(run_id: str) -> None:
        assert asyncio.get_running_loop() is here
        heir.record(run_id, "one")
        heir.record(run_id, "two")

    again.does = goes_on
    await heir.open(again)
    try:
        await asyncio.sleep(1.0)
        assert again.calls == []  # nothing is recovered by itself
        await heir.resume("run_cut")
        await again.end("run_cut")
        await settled(database, "run_cut", "SUCCESS")
        assert await heir.recorded("run_cut") == ["one", "two"]
    finally:
        await heir.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_either_name_of_the_scheme_is_understood(
    alone: None, prepared: Any, database: asyncpg.Connection, scheme: str
) -> None:
    body, made = Body(), DbosEngine(prepared.url.replace("postgresql:", f"{scheme}:", 1))
    await made.open(body)
    try:
        await made.start(f"run_{scheme}")
        await body.end(f"run_{scheme}")
        await settled(database, f"run_{scheme}", "SUCCESS")
    finally:
        await made.close()


async def test_a_launch_that_fails_leaves_nothing_to_the_next(alone: None, prepared: Any) -> None:
    nowhere = DbosEngine("postgresql://nobody@127.0.0.1:1/nothing")
    await nowhere.open(Body())
    with pytest.raises(Exception, match="refused"):
        await nowhere.wake()
    await nowhere.close()
    made = DbosEngine(prepared.url)
    await made.open(Body())
    await made.wake()
    await made.close()


async def test_it_is_loaded_when_a_run_is_resumed(alone: None, prepared: Any, database: asyncpg.Connection) -> None:
    made, body = DbosEngine(prepared.url), Body()
    await made.open(body)
    await made.start("run_first")
    await body.end("run_first")
    await settled(database, "run_first", "SUCCESS")
    assert not made._awake
    await made.resume("run_first")
    await body.end("run_first")
    assert made._awake
    await made.close()
    with pytest.raises(RuntimeError, match="closed"):
        await made.wake()


async def test_a_run_needs_no_tables_of_the_engine(alone: None, prepared: Any, empty_database: Any) -> None:
    """Those that come later are on record."""
    await pool.close()
    await pool.open(empty_database.url, size=2)
    made, body = DbosEngine(empty_database.url), Body()
    await made.open(body)
    try:
        await made.start("run_first")
        await body.end("run_first")
        await made._records.settle()
        await prepare_engine(empty_database.owner_url, APPLICATION)
        await made.start("run_second")
        await body.end("run_second")
        await made._records.settle()
        owner = await asyncpg.connect(empty_database.owner_url)
        found = await owner.fetch("SELECT workflow_uuid, status FROM dbos.workflow_status")
        await owner.close()
        assert [tuple(row) for row in found] == [("run_second", "SUCCESS")]
    finally:
        await made.close()
        await pool.close()
        await pool.open(prepared.url, size=4)


async def test_it_has_no_threads_that_look_for_work(alone: None, prepared: Any) -> None:
    """Nor statements: of all that the library starts, the loop in which its workflows run is left."""
    before, jobs = set(threading.enumerate()), [job("tests.quiet", Nothing)]
    made = DbosEngine(prepared.url, jobs)
    await made.open(Body())
    try:
        await made.wake()
        names = sorted(thread.name for thread in set(threading.enumerate()) - before)
        library = [name for name in names if not name.startswith(("crewship-engine", "dbos-executor", "asyncio"))]
        assert len(library) == 1, names
    finally:
        del JOBS["tests.quiet"]
        await made.close()


async def test_many_runs_are_one_record(alone: None, prepared: Any, database: asyncpg.Connection) -> None:
    """Begun, stepped and ended, in one statement; one that is begun anew in the same process is one row."""
    made, body, written = DbosEngine(prepared.url), Body(), 0
    write = made._records._write

    async def counted(*what: Any) -> None:
        nonlocal written
        written += 1
        await write(*what)

    async def does(run_id: str) -> None:
        for step in ("a", "b"):
            made.record(run_id, step)

    made._records._write = counted  # type: ignore[method-assign]
    body.does = does
    await made.open(body)
    runs = [f"run_many_{n}" for n in range(20)]
    for run_id in runs:
        await made.start(run_id)
    for run_id in runs:
        await body.end(run_id)
    await made._records.settle()
    assert written == 1
    found = await database.fetch(
        "SELECT status, count(function_name) FROM dbos.workflow_status LEFT JOIN dbos.operation_outputs"
        " USING (workflow_uuid) WHERE workflow_uuid LIKE 'run_many_%' GROUP BY workflow_uuid, status"
    )
    assert [tuple(row) for row in found] == [("SUCCESS", 2)] * len(runs)
    await made.start(runs[0])
    await body.end(runs[0])
    await made._records.settle()
    assert await made.recorded(runs[0]) == ["a", "b"]
    await made.close()


async def test_what_another_process_has_is_not_written(
    alone: None, prepared: Any, database: asyncpg.Connection
) -> None:
    """Its record goes on there, whatever this one still says."""
    made, body, gate = DbosEngine(prepared.url), Body(), asyncio.Event()

    async def waits(run_id: str) -> None:
        await gate.wait()

    body.does = waits
    await made.open(body)
    await made.start("run_elsewhere")
    await settled(database, "run_elsewhere", "PENDING")
    await database.execute(
        "UPDATE dbos.workflow_status SET executor_id = 'another' WHERE workflow_uuid = 'run_elsewhere'"
    )
    made.record("run_elsewhere", "a")
    gate.set()
    await body.end("run_elsewhere")
    await made._records.settle()
    assert await made.recorded("run_elsewhere") == []
    await settled(database, "run_elsewhere", "PENDING")
    await made.close()


async def test_it_leaves_no_thread_and_no_word(
    alone: None, prepared: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    body = Body()
    before = {thread.name for thread in threading.enumerate()}
    with caplog.at_level(logging.INFO):
        made = DbosEngine(prepared.url)
        await made.open(body)
        await made.start("run_quiet")
        await body.end("run_quiet")
        await made.close()
    assert await asyncio.to_thread(lambda: 1) == 1  # the loop's threads are not DBOS's
    left = {t.name for t in threading.enumerate()} - before
    assert not [name for name in left if not name.startswith(("ThreadPoolExecutor", "asyncio"))]
    assert [record.message for record in caplog.records if record.name.startswith("dbos")] == []
    assert capfd.readouterr() == ("", "")


async def test_the_applications_role_works_on_rows_of_the_engine_only(
    prepared: Any, database: asyncpg.Connection
) -> None:
    """Also where the library's own grants were given before: all there is, on tables to come as well."""
    await database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA dbos TO {APPLICATION}")
    await database.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA dbos GRANT ALL ON TABLES TO {APPLICATION}")
    await prepare_engine(prepared.owner_url, APPLICATION)
    rows = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    granted = (
        "SELECT relname, array_agg(a.privilege_type) FROM pg_class, aclexplode(relacl) a"
        " WHERE relkind IN ('r', 'v') AND relnamespace = 'dbos'::regnamespace"
    )
    found = {
        row[0]: set(row[1])
        for row in await database.fetch(f"{granted} AND a.grantee = '{APPLICATION}'::regrole GROUP BY 1")
    }
    assert found.pop("dbos_migrations") == {"SELECT"}
    assert found.keys() >= {"workflow_status", "workflow_input", "queues"}
    assert set(map(frozenset, found.values())) == {frozenset(rows)}
    await database.execute("CREATE TABLE dbos.later (id int)")
    assert not await database.fetchval(
        "SELECT has_table_privilege($1, 'dbos.later', 'TRUNCATE, REFERENCES, TRIGGER')", APPLICATION
    )
    await database.execute("DROP TABLE dbos.later")


async def test_what_is_prepared_is_not_loaded_again(prepared: Any) -> None:
    """The library is for upgrades: a look at the version does without."""
    code = (
        "import asyncio, sys; from runtime.dbos_tables import TABLES_VERSION, prepare_engine; "
        f"asyncio.run(prepare_engine({prepared.owner_url!r}, {APPLICATION!r})); assert 'dbos' not in sys.modules"
    )
    made = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await made.wait() == 0


async def test_an_interrupted_upgrade_is_finished(alone: None, empty_database: Any) -> None:
    await prepare_engine(empty_database.owner_url, APPLICATION)
    owner = await asyncpg.connect(empty_database.owner_url)
    try:
        await owner.execute("UPDATE dbos.dbos_migrations SET version = version - 1")
        await prepare_engine(empty_database.owner_url, APPLICATION)
        assert await owner.fetchval("SELECT max(version) FROM dbos.dbos_migrations") == TABLES_VERSION
    finally:
        await owner.close()


async def test_processes_that_start_together_do_not_wait_for_each_other(alone: None, empty_database: Any) -> None:
    """One makes the tables, with indexes that wait for all that is under way; the others look when it has."""
    async with asyncio.timeout(60):
        await asyncio.gather(*[prepare(empty_database.owner_url, empty_database.url) for _ in range(3)])
    owner = await asyncpg.connect(empty_database.owner_url)
    try:
        assert await owner.fetchval("SELECT max(version) FROM dbos.dbos_migrations") == TABLES_VERSION
    finally:
        await owner.close()
