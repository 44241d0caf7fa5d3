"""Durable execution on the real engine and database: once begun, once finished, resumed where it was, and nothing but ids on record."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest

from crewship.postgres import APPLICATION
from runtime.dbos_engine import DbosEngine, prepare_engine

pytestmark = pytest.mark.anyio


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
        async with asyncio.timeout(10):
            await self.ended.setdefault(run_id, asyncio.Event()).wait()
        self.ended.pop(run_id)


@pytest.fixture(scope="module")
async def prepared(module_database: Any, anyio_backend: str) -> Any:
    await prepare_engine(module_database.owner_url, APPLICATION)
    return module_database


@pytest.fixture(scope="module")
async def shared(prepared: Any) -> AsyncIterator[tuple[DbosEngine, Body]]:
    made, body = DbosEngine(prepared.url), Body()
    await made.open(body)
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


async def settled(database: asyncpg.Connection, run_id: str, status: str) -> None:
    """DBOS writes a workflow's end after the body has returned."""
    async with asyncio.timeout(10):
        while await database.fetchval("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = $1", run_id) != status:
            await asyncio.sleep(0.01)


async def test_a_run_is_begun_once_in_the_callers_loop(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    loops = []

    async def does(run_id: str) -> None:
        loops.append(asyncio.get_running_loop())

    body.does = does
    await engine.start("run_once")
    await body.end("run_once")
    await settled(database, "run_once", "SUCCESS")
    assert body.calls == ["run_once"]
    assert loops == [asyncio.get_running_loop()]


async def test_starting_a_run_that_was_begun_resumes_it_here(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    begun = asyncio.Event()

    async def waits(run_id: str) -> None:
        begun.set()
        raise asyncio.CancelledError

    body.does = waits
    await engine.start("run_twice")
    await body.end("run_twice")
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


async def test_a_run_whose_record_says_done_can_be_begun_again(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    """The rows of the run decide whether it is done, not the engine."""
    await engine.start("run_done")
    await body.end("run_done")
    await settled(database, "run_done", "SUCCESS")
    await engine.resume("run_done")
    await body.end("run_done")
    await settled(database, "run_done", "SUCCESS")
    assert body.calls == ["run_done", "run_done"]


async def test_a_body_that_fails_leaves_its_run_resumable(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    async def fails(run_id: str) -> None:
        raise ValueError("sk-secret")

    body.does = fails
    await engine.start("run_fails")
    await body.end("run_fails")
    await asyncio.sleep(0.1)
    await settled(database, "run_fails", "PENDING")
    body.does = body.nothing
    await engine.resume("run_fails")
    await body.end("run_fails")
    await settled(database, "run_fails", "SUCCESS")


async def test_what_a_step_raises_is_the_callers_and_is_not_stored(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    outcomes: list[Any] = []

    async def does(run_id: str) -> None:
        async def fails() -> None:
            raise ValueError("sk-secret")

        async def works() -> None:
            outcomes.append("works")

        with pytest.raises(ValueError, match="sk-secret"):
            await engine.step("tried", fails)
        outcomes.append(await engine.step("other", works))

    body.does = does
    await engine.start("run_raises")
    await body.end("run_raises")
    await settled(database, "run_raises", "SUCCESS")
    assert outcomes == ["works", True]
    rows = await database.fetch("SELECT function_name, output, error FROM dbos.operation_outputs WHERE workflow_uuid = 'run_raises'")
    assert [(r["function_name"], r["error"]) for r in rows] == [("other", None)]


async def test_steps_side_by_side_may_come_in_another_order(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    order, called = ["a", "b"], list[str]()

    async def does(run_id: str) -> None:
        for name in order:

            async def note(name: str = name) -> None:
                called.append(name)

            await engine.step(name, note)
        if len(called) < 4:
            raise asyncio.CancelledError

    body.does = does
    await engine.start("run_order")
    await body.end("run_order")
    order.reverse()
    await engine.resume("run_order")
    await body.end("run_order")
    assert called == ["a", "b", "b", "a"]  # the engine's record does not fit: the caller decides what a step of that name has made


async def test_cancelling_puts_it_on_record(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    async def stops(run_id: str) -> None:
        raise asyncio.CancelledError

    body.does = stops
    await engine.start("run_cancelled")
    await body.end("run_cancelled")
    await engine.cancel("run_cancelled")
    await settled(database, "run_cancelled", "CANCELLED")


async def test_a_fork_knows_the_steps_before(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    called: list[tuple[str, str]] = []

    async def does(run_id: str) -> None:
        for name in ("a", "b", "c"):

            async def note(name: str = name) -> None:
                called.append((run_id, name))

            await engine.step(name, note)

    body.does = does
    await engine.start("run_source")
    await body.end("run_source")
    await engine.fork("run_source", "run_fork", 3)
    await body.end("run_fork")
    assert called == [("run_source", "a"), ("run_source", "b"), ("run_source", "c"), ("run_fork", "c")]


async def test_old_records_are_forgotten_and_queues_of_the_dead_with_them(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    await engine.start("run_old")
    await body.end("run_old")
    await settled(database, "run_old", "SUCCESS")
    await engine._dbos.register_queue_async("worker:1000:1-dead")
    await engine.forget(3600.0)
    assert await database.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'run_old'") == 1
    assert [r[0] for r in await database.fetch("SELECT name FROM dbos.queues WHERE name LIKE 'worker:%'")] == [engine.queue]
    await engine.forget(-5.0)
    assert await database.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = 'run_old'") == 0
    assert [r[0] for r in await database.fetch("SELECT name FROM dbos.queues WHERE name LIKE 'worker:%'")] == [engine.queue]


async def test_only_ids_are_stored(engine: DbosEngine, body: Body, database: asyncpg.Connection) -> None:
    async def quiet() -> None: ...

    async def does(run_id: str) -> None:
        await engine.step("model 1", quiet)

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
        assert await conn.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'dbos'::regnamespace AND relowner = current_user::regrole") == 0
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
async def alone(shared: tuple[DbosEngine, Body]) -> AsyncIterator[None]:
    """The shared engine steps aside: there is one in a process."""
    engine, body = shared
    await engine.close()
    yield
    await engine.open(body)


async def test_a_step_that_is_done_is_not_done_again(alone: None, prepared: Any, database: asyncpg.Connection) -> None:
    """Cut off in its second step and resumed by another executor: the first is known, the second is called again, on the loop of whoever resumes."""
    effects: list[str] = []
    reached, engine, body = asyncio.Event(), DbosEngine(prepared.url), Body()

    async def first(run_id: str) -> None:
        async def one() -> None:
            effects.append("one")

        async def two() -> None:
            effects.append("two begun")
            reached.set()
            await asyncio.Event().wait()

        assert await engine.step("one", one)
        await engine.step("two", two)

    body.does = first
    await engine.open(body)
    await engine.start("run_cut")
    await reached.wait()
    await engine.close()

    heir, again = DbosEngine(prepared.url), Body()

    async def second(run_id: str) -> None:
        async def never() -> None:
            effects.append("again")

        async def two() -> None:
            effects.append("two done")

        assert asyncio.get_running_loop() is here
        assert not await heir.step("one", never)
        assert await heir.step("two", two)

    here, again.does = asyncio.get_running_loop(), second
    await heir.open(again)
    try:
        await heir.resume("run_cut")
        await again.end("run_cut")
        await settled(database, "run_cut", "SUCCESS")
    finally:
        await heir.close()
    assert effects == ["one", "two begun", "two done"]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_it_is_reached_over_tcp_too(alone: None, prepared: Any, scheme: str) -> None:
    parts = urlsplit(prepared.url)
    body = Body()
    port = parse_qs(parts.query)["port"][0]
    made = DbosEngine(f"{scheme}://{parts.username}:{quote(parts.password or '', safe='')}@127.0.0.1:{port}{parts.path}")
    await made.open(body)
    try:
        await made.start(f"run_{scheme}")
        await body.end(f"run_{scheme}")
    finally:
        await made.close()


async def test_it_leaves_no_thread_and_no_word(alone: None, prepared: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
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
