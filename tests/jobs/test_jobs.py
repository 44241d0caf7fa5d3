"""Every kind of job: begun once its cause is committed, never without it, carried out once, and ended as it should."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from resolvers.errors import Refusal
from resolvers.kernel.declarations.jobs import ENQUEUE, Job, rings
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import database
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.jobs.yard import KINDS, YARD, Yard, failing, fair, once, plain, serial, unique

pytestmark = pytest.mark.anyio
Working = Callable[..., AbstractAsyncContextManager[Runtime]]


async def test_what_is_committed_is_carried_out_once(yard: Yard, working: Working) -> None:
    for kind in KINDS:
        await yard.enqueue(kind, f"thing_{kind.name[6:]}")
    async with working():
        await yard.finished()
    for kind in KINDS:
        thing = f"thing_{kind.name[6:]}"
        assert await yard.written(thing) == once(), kind.name
        assert [found[0] for found in yard.lines("asked")].count(thing) == 1
        assert await yard.statuses(kind) == Counter(SUCCESS=1)
    owner = yard.estate.owner
    assert (
        await owner.fetchval(
            "SELECT count(*) FROM audit_logs WHERE workspace_id <> $1 OR user_id IS NOT NULL", yard.estate.workspace.id
        )
        == 0
    )
    assert await owner.fetchval("SELECT count(*) FROM dbos.operation_outputs") == 0  # no step of the library
    assert await owner.fetchval("SELECT count(DISTINCT executor_id) FROM dbos.workflow_status") == 1


async def test_what_is_rolled_back_leaves_no_job(yard: Yard) -> None:
    for kind in KINDS:
        with pytest.raises(Refusal):
            await yard.enqueue(kind, "rolled", refuse=True)
    assert await yard.estate.owner.fetchval("SELECT count(*) FROM dbos.workflow_status") == 0
    assert await yard.estate.owner.fetchval("SELECT count(*) FROM labels") == 0


async def test_a_job_of_a_row_is_in_its_statement(yard: Yard) -> None:
    """Whatever else the tail carries."""
    for n, kind in enumerate(KINDS):
        await yard.enqueue(kind, f"with_{n}", label=f"a label {n}", times=2)
        assert await yard.waiting(kind) == (1 if kind.unique else 2)
    assert await yard.estate.owner.fetchval("SELECT count(*) FROM labels") == len(KINDS)


@pytest.mark.slow
async def test_enqueued_twice_before_it_begins(yard: Yard, working: Working) -> None:
    for kind in KINDS:
        await yard.enqueue(kind, f"twice_{kind.name[6:]}")
        await yard.enqueue(kind, f"twice_{kind.name[6:]}")
    async with working():
        await yard.finished()
    for kind in KINDS:
        assert await yard.written(f"twice_{kind.name[6:]}") == once(times=1 if kind.unique else 2), kind.name


@pytest.mark.slow
async def test_enqueued_twice_while_it_runs(yard: Yard, working: Working) -> None:
    """A change that comes while a job runs is looked at by one more, and by one only, however often it comes."""
    things = {kind: f"hold_ask_{kind.name[6:]}" for kind in KINDS}
    for kind in KINDS:
        await yard.enqueue(kind, things[kind])
    async with working():
        await yard.reached(set(things.values()))
        for kind in KINDS:
            await yard.enqueue(kind, things[kind])
            if kind is serial:
                await asyncio.sleep(2.5)  # it would have begun by now
                assert len([one for one in yard.lines("begun") if one[0] == things[kind]]) == 1
                await yard.enqueue(kind, things[kind])
        yard.let_go()
        await yard.finished()
    for kind in KINDS:
        assert await yard.written(things[kind]) == once(times=2), kind.name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.unique], ids=lambda kind: kind.name)
async def test_a_duplicate_is_seen_by_the_one_that_waits(yard: Yard, working: Working, kind: Job[Any]) -> None:
    """It was dropped in a transaction that is still open: the other does not do its work before that is committed."""
    await yard.enqueue(kind, "shared")
    other = await asyncpg.connect(yard.estate.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    try:
        await other.execute("SELECT set_config('crewship.workspaces', '*', false)")
        await other.execute("BEGIN")
        again = kind.queued(yard.estate.workspace.id, {"thing_id": "shared"})
        assert await other.fetchval(ENQUEUE, *again) is None
        async with working():
            await asyncio.sleep(2.5)
            assert yard.lines("begun") == []
            await other.execute("COMMIT")
            await yard.finished()
        assert await yard.written("shared") == once()
    finally:
        await other.close()


@pytest.mark.slow
async def test_two_who_wait_for_each_others_keys(yard: Yard) -> None:
    """The second waits for the first, and goes on whether that commits or not."""
    dsn = yard.estate.settings.database_url.get_secret_value()  # type: ignore[union-attr]
    one, two = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        for ending, found in (("ROLLBACK", True), ("COMMIT", False)):
            first, second = (unique.queued(yard.estate.workspace.id, {"thing_id": f"key_{ending}"}) for _ in range(2))
            await one.execute("BEGIN")
            assert await one.fetchval(ENQUEUE, *first) == first.id
            asking = asyncio.ensure_future(two.fetchval(ENQUEUE, *second))
            await asyncio.sleep(0.3)
            assert not asking.done()
            await one.execute(ending)
            assert await asking == (second.id if found else None)
    finally:
        await one.close()
        await two.close()


async def test_the_earlier_time_counts(yard: Yard) -> None:
    due = "SELECT delay_until_epoch_ms FROM dbos.workflow_status WHERE name = $1"
    for seconds, expected in ((500, 500), (900, 500), (100, 100), (100, 100)):
        await yard.enqueue(unique, "timer", in_seconds=seconds)
        assert [row[0] // 1000 - 1_800_000_000 for row in await yard.estate.owner.fetch(due, unique.name)] == [expected]
    await yard.enqueue(unique, "timer")
    assert [row[0] for row in await yard.estate.owner.fetch(due, unique.name)] == [0]
    for seconds in (500, 500, 900):
        await yard.enqueue(plain, "timer", in_seconds=seconds)
    assert [
        row[0] // 1000 - 1_800_000_000 for row in await yard.estate.owner.fetch(f"{due} ORDER BY 1", plain.name)
    ] == [500, 900]
    place = await yard.workspace()
    await yard.enqueue(plain, "timer", place, in_seconds=500)  # another tenant's thing of the same id
    assert await yard.waiting(plain) == 3


@pytest.mark.slow
async def test_a_timer_that_is_moved_to_now_is_carried_out(yard: Yard, working: Working) -> None:
    await yard.enqueue(unique, "timer", in_seconds=500)
    async with working():
        await asyncio.sleep(2.5)
        assert yard.lines("begun") == []
        await yard.enqueue(unique, "timer")
        await yard.finished()
    assert await yard.written("timer") == once()


@pytest.mark.slow
async def test_an_attempt_goes_on_where_the_one_before_it_failed(yard: Yard, working: Working) -> None:
    for kind in KINDS:
        await yard.enqueue(kind, f"fails_once_{kind.name[6:]}")
    async with working():
        await yard.finished()
    for kind in KINDS:
        thing = f"fails_once_{kind.name[6:]}"
        assert await yard.written(thing) == once(), kind.name
        asked = [found[1] for found in yard.lines("asked") if found[0] == thing]
        assert len(asked) == 2
        assert len(set(asked)) == 1  # the key is that of the step, not of the attempt
        assert await yard.statuses(kind) == Counter(SUCCESS=2)


@pytest.mark.slow
async def test_rounds(yard: Yard, working: Working) -> None:
    for kind in KINDS:
        await yard.enqueue(kind, f"rounds_{kind.name[6:]}")
    async with working():
        await yard.finished()
    for kind in KINDS:
        thing = f"rounds_{kind.name[6:]}"
        assert await yard.written(thing) == once(rounds=3), kind.name
        assert len({found[1] for found in yard.lines("asked") if found[0] == thing}) == 3


async def test_a_job_enqueues_another(yard: Yard, working: Working) -> None:
    for kind in KINDS:
        await yard.enqueue(kind, f"chain_{kind.name[6:]}")
    async with working():
        await yard.finished()
    for kind in KINDS:
        assert await yard.written(f"chain_{kind.name[6:]}") == await yard.written(f"link_{kind.name[6:]}") == once(), (
            kind.name
        )


@pytest.mark.slow
async def test_the_last_attempt_is_told_of(yard: Yard, working: Working) -> None:
    """A row, a metric and a line; and nowhere on record what the error said, for that may be a tenant's text."""

    def counted(ending: str) -> float:
        return REGISTRY.get_sample_value("crewship_job_attempts_total", {"job": failing.name, "ending": ending}) or 0

    before = counted("failed"), counted("given up")
    await yard.enqueue(failing, "hopeless")
    with capture_logs() as lines:
        async with working():
            await yard.finished()
            async with asyncio.timeout(10):
                while REGISTRY.get_sample_value("crewship_jobs", {"job": failing.name, "status": "ERROR"}) != 1:
                    await asyncio.sleep(0.05)
    assert [found[1] for found in yard.lines("begun")] == ["1", "2", "3"]
    assert await yard.written("hopeless", failing) == Counter({("first", 1): 1})
    assert (counted("failed") - before[0], counted("given up") - before[1]) == (2, 1)
    assert await yard.statuses(failing) == Counter(SUCCESS=2, ERROR=1)
    assert [(line["log_level"], line["event"]) for line in lines if line.get("job") == failing.name] == [
        ("warning", "job failed; another attempt follows"),
        ("warning", "job failed; another attempt follows"),
        ("error", "job given up"),
    ]
    stored = await yard.estate.owner.fetch(
        "SELECT o::text FROM dbos.workflow_output o UNION ALL SELECT s::text FROM dbos.workflow_status s"
    )
    assert stored
    assert not [row[0] for row in stored if "a text of a tenant" in row[0]]


@pytest.mark.slow
async def test_a_cancelled_job_writes_no_more(yard: Yard, working: Working) -> None:
    things = {kind: f"hold_ask_{kind.name[6:]}" for kind in KINDS}
    for kind in KINDS:
        await yard.enqueue(kind, things[kind])
        await yard.enqueue(kind, f"later_{kind.name[6:]}", in_seconds=500)
    async with working():
        await yard.reached(set(things.values()))
        await yard.estate.owner.execute(
            "UPDATE dbos.workflow_status SET status = 'CANCELLED', completed_at = 1 WHERE queue_name LIKE 'job:%'"
        )
        yard.let_go()
        async with asyncio.timeout(10):
            while len(yard.lines("asked")) < len(KINDS):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
    for kind in KINDS:
        assert await yard.written(things[kind]) == Counter({("first", 1): 1}), kind.name
        assert await yard.statuses(kind) == Counter(CANCELLED=2)


@pytest.mark.parametrize(
    "how", ["UPDATE workspaces SET deleted_at = now() WHERE id = $1", "DELETE FROM workspaces WHERE id = $1"]
)
async def test_a_job_of_a_workspace_that_is_gone_writes_no_more(yard: Yard, working: Working, how: str) -> None:
    places = [await yard.workspace() for _ in range(2)]
    things = {kind: f"hold_ask_{kind.name[6:]}" for kind in KINDS}
    for kind in KINDS:
        await yard.enqueue(kind, things[kind], places[0])
        await yard.enqueue(kind, f"unbegun_{kind.name[6:]}", places[1])
    await yard.estate.owner.execute(how, places[1])
    async with working():
        await yard.reached(set(things.values()))
        await yard.estate.owner.execute(how, places[0])
        yard.let_go()
        await yard.finished()
    left = await yard.estate.owner.fetchval("SELECT count(*) FROM audit_logs")
    assert left == (0 if how.startswith("DELETE") else len(KINDS))
    assert not [found for found in yard.lines("begun") if found[0].startswith("unbegun")]
    assert await yard.estate.owner.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS'") == 0


@pytest.mark.slow
async def test_a_process_that_ends_hands_back(yard: Yard, working: Working) -> None:
    """In a transaction and outside: the next one goes on at once, without waiting until somebody seems dead."""
    things = {(kind, step): f"hold_{step}_{kind.name[6:]}" for kind in KINDS for step in ("ask", "second")}
    for (kind, _), thing in things.items():
        await yard.enqueue(kind, thing, await yard.workspace())
    async with working():
        await yard.reached(set(things.values()))
    assert await yard.estate.owner.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING'") == 0
    yard.let_go()
    async with working(rhythm=Rhythm()):
        await yard.finished(8.0)
    for (kind, step), thing in things.items():
        assert await yard.written(thing) == once(), (kind.name, step)


@pytest.mark.slow
async def test_a_claim_whose_answer_was_lost_is_taken_back(yard: Yard, working: Working) -> None:
    """What a process holds by the record, and knows nothing of, waits again; what it is at stays with it."""
    owner, held = yard.estate.owner, "hold_second_plain"
    await yard.enqueue(plain, held)
    async with working() as runtime:
        await yard.reached({held})
        await yard.enqueue(plain, "lost", in_seconds=10**9)
        lost = "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = $1 WHERE status = 'DELAYED'"
        assert await owner.execute(lost, runtime._engine.executor) == "UPDATE 1"
        async with asyncio.timeout(20):
            while await yard.waiting(plain) > 1:
                await asyncio.sleep(0.05)
        yard.let_go()
        await yard.finished(20)
    for thing in (held, "lost"):
        assert await yard.written(thing) == once()
        assert [found[0] for found in yard.lines("begun")].count(thing) == 1


@pytest.mark.slow
async def test_a_worker_leaves_alone_what_it_does_not_know(yard: Yard, working: Working) -> None:
    for kind in KINDS:
        await yard.enqueue(kind, f"new_{kind.name[6:]}")
    async with working(tuple(each for each in YARD if each.job is plain)):
        async with asyncio.timeout(20):
            while await yard.waiting(plain):
                await asyncio.sleep(0.05)
        await asyncio.sleep(2.5)
        assert [await yard.statuses(kind) for kind in KINDS[1:]] == [Counter(ENQUEUED=1)] * (len(KINDS) - 1)
    async with working():
        await yard.finished()
    for kind in KINDS:
        assert await yard.written(f"new_{kind.name[6:]}") == once(), kind.name


async def test_what_ended_long_ago_is_forgotten(yard: Yard, working: Working) -> None:
    await yard.enqueue(plain, "old")
    await yard.enqueue(plain, "young")
    async with working():
        await yard.finished()
    owner = yard.estate.owner
    await yard.enqueue(unique, "waits", in_seconds=500)
    await owner.execute(
        "UPDATE dbos.workflow_status SET completed_at = 1 WHERE workflow_uuid = (SELECT root FROM job_steps LIMIT 1)"
    )
    await owner.execute("UPDATE job_steps SET created_at = now() - interval '40 days'")
    root = await owner.fetchval("SELECT workflow_uuid FROM dbos.workflow_status WHERE name = $1", unique.name)
    kept = (
        "INSERT INTO job_steps (root, step, workspace_id, created_at)"
        " VALUES ($1, '1/first', $2, now() - interval '40 days')"
    )
    await owner.execute(kept, root, yard.estate.workspace.id)
    async with working():
        async with asyncio.timeout(10):
            while await owner.fetchval("SELECT count(*) FROM job_steps") > 1:
                await asyncio.sleep(0.05)
    assert await owner.fetchval("SELECT root FROM job_steps") == root
    assert (await yard.statuses(plain), await yard.statuses(unique)) == (Counter(SUCCESS=1), Counter(DELAYED=1))
    for table in ("workflow_input", "workflow_output"):
        sql = (
            f"SELECT count(*) FROM dbos.{table} LEFT JOIN dbos.workflow_status USING (workflow_uuid) WHERE name IS NULL"
        )
        assert await owner.fetchval(sql) == 0


async def test_a_ring_does_not_wait_for_the_poller(yard: Yard, working: Working) -> None:
    """Of every kind: begun within a fraction of the time between two looks."""
    async with working(rhythm=Rhythm()):
        await yard.enqueue(plain, "first")  # the queues are there, and the library is loaded
        await yard.finished()
        for kind in KINDS:
            thing = f"rung_{kind.name[6:]}"
            before = asyncio.get_running_loop().time()
            await yard.enqueue(kind, thing)
            async with asyncio.timeout(10):
                while thing not in {found[0] for found in yard.lines("begun")}:
                    await asyncio.sleep(0.005)
            assert asyncio.get_running_loop().time() - before < 0.5, kind.name
        await yard.finished()
    for kind in KINDS:
        assert await yard.written(f"rung_{kind.name[6:]}") == once(), kind.name


@pytest.mark.slow
async def test_a_timer_begins_when_it_ends(yard: Yard, working: Working) -> None:
    """And not at a look, whether it is enqueued before the engine is there or later."""
    async with working(rhythm=Rhythm()):
        await asyncio.sleep(0.5)  # the first look is over
        for thing in ("early", "later"):
            await enqueue_in(yard, 1.0, thing)
            before = asyncio.get_running_loop().time()
            async with asyncio.timeout(10):
                while thing not in {found[0] for found in yard.lines("begun")}:
                    await asyncio.sleep(0.01)
            assert 0.8 < asyncio.get_running_loop().time() - before < 3.0
        await yard.finished()


async def enqueue_in(yard: Yard, seconds: float, thing_id: str) -> None:
    """By what another process does: it rings when it has committed."""
    due = datetime.now(UTC) + timedelta(seconds=seconds)
    queued = plain.queued(yard.estate.workspace.id, {"thing_id": thing_id}, due)
    async with database.lease() as conn:
        await conn.fetchval(ENQUEUE, *queued)
    for key in rings([queued]):
        bus.ring(Topic.jobs, key)


async def test_limits_hold_beside_rings(yard: Yard, working: Working) -> None:
    """Of a key one runs at a time, and the other waits, however often somebody rings."""
    async with working() as runtime:
        await yard.enqueue(serial, "hold_ask_rung")
        await yard.reached({"hold_ask_rung"})
        await yard.enqueue(serial, "hold_ask_rung")
        for _ in range(5):
            await runtime._carrier._claim(serial.name)
        assert len(yard.lines("begun")) == 1
        assert await yard.statuses(serial) == Counter(PENDING=1, ENQUEUED=1)
        yard.let_go()
        await yard.finished()
    assert await yard.written("hold_ask_rung") == once(times=2)


@pytest.mark.slow
async def test_what_waits_for_another_begins_when_that_ends(yard: Yard, working: Working) -> None:
    """Not at the poller's next look: one at a time of a workspace would be one every other second."""
    for n in range(10):
        await yard.enqueue(fair, f"fair_{n}")
    async with working(rhythm=Rhythm()):
        async with asyncio.timeout(20):
            while not yard.lines("ended"):
                await asyncio.sleep(0.01)
        before = asyncio.get_running_loop().time()
        await yard.finished()
        assert asyncio.get_running_loop().time() - before < 6.0
    begun, ended = ([found[0] for found in yard.lines(name)] for name in ("begun", "ended"))
    assert begun == ended
    assert len(begun) == 10
