"""Engines one after the other: what one leaves to the next, what of the library runs beside it, and its tables."""

import asyncio
import logging
import sys
import threading
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION
from crewship.process.work import prepare
from resolvers.kernel.declarations.jobs import JOBS, job
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.store.database import database as pool
from runtime.engine.dbos_engine import DbosEngine
from runtime.engine.dbos_tables import TABLES_VERSION, prepare_engine
from tests.runtime.engines import Body, database, prepared, settled

__all__ = ["database", "prepared"]
pytestmark = pytest.mark.anyio


class Nothing(Input): ...


@pytest.mark.slow
async def test_a_run_is_resumed_by_another_process(prepared: Any, database: asyncpg.Connection) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_either_name_of_the_scheme_is_understood(
    prepared: Any, database: asyncpg.Connection, scheme: str
) -> None:
    body, made = Body(), DbosEngine(prepared.url.replace("postgresql:", f"{scheme}:", 1))
    await made.open(body)
    try:
        await made.start(f"run_{scheme}")
        await body.end(f"run_{scheme}")
        await settled(database, f"run_{scheme}", "SUCCESS")
    finally:
        await made.close()


async def test_a_launch_that_fails_leaves_nothing_to_the_next(prepared: Any) -> None:
    nowhere = DbosEngine("postgresql://nobody@127.0.0.1:1/nothing")
    await nowhere.open(Body())
    with pytest.raises(Exception, match="refused"):
        await nowhere.wake()
    await nowhere.close()
    made = DbosEngine(prepared.url)
    await made.open(Body())
    await made.wake()
    await made.close()


@pytest.mark.slow
async def test_it_is_loaded_when_a_run_is_resumed(prepared: Any, database: asyncpg.Connection) -> None:
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


async def test_a_run_needs_no_tables_of_the_engine(prepared: Any, empty_database: Any) -> None:
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


async def test_it_has_no_threads_that_look_for_work(prepared: Any) -> None:
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


async def test_many_runs_are_one_record(prepared: Any, database: asyncpg.Connection) -> None:
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


@pytest.mark.slow
async def test_what_another_process_has_is_not_written(prepared: Any, database: asyncpg.Connection) -> None:
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
    prepared: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
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


@pytest.mark.slow
async def test_what_is_prepared_is_not_loaded_again(prepared: Any) -> None:
    """The library is for upgrades: a look at the version does without."""
    code = (
        "import asyncio, sys; from runtime.engine.dbos_tables import TABLES_VERSION, prepare_engine; "
        f"asyncio.run(prepare_engine({prepared.owner_url!r}, {APPLICATION!r})); assert 'dbos' not in sys.modules"
    )
    made = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await made.wait() == 0


async def test_an_interrupted_upgrade_is_finished(empty_database: Any) -> None:
    await prepare_engine(empty_database.owner_url, APPLICATION)
    owner = await asyncpg.connect(empty_database.owner_url)
    try:
        await owner.execute("UPDATE dbos.dbos_migrations SET version = version - 1")
        await prepare_engine(empty_database.owner_url, APPLICATION)
        assert await owner.fetchval("SELECT max(version) FROM dbos.dbos_migrations") == TABLES_VERSION
    finally:
        await owner.close()


async def test_processes_that_start_together_do_not_wait_for_each_other(empty_database: Any) -> None:
    """One makes the tables, with indexes that wait for all that is under way; the others look when it has."""
    async with asyncio.timeout(60):
        await asyncio.gather(*[prepare(empty_database.owner_url, empty_database.url) for _ in range(3)])
    owner = await asyncpg.connect(empty_database.owner_url)
    try:
        assert await owner.fetchval("SELECT max(version) FROM dbos.dbos_migrations") == TABLES_VERSION
    finally:
        await owner.close()
