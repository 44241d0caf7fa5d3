"""Clocks: once over all processes, never two ticks at once, and no end to them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from resolvers.kernel.background.clocks import CLOCKS, Recurring, clock
from resolvers.kernel.background.sweeper import SWEEP
from runtime.engine.clocks import TICKING, Tick, Ticker, Ticking, ticking, ticks
from runtime.engine.clockwork import Clockwork
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.faults.workers import Workers
from tests.jobs.conftest import QUICK
from tests.jobs.test_kill import workers_of
from tests.jobs.tower import HOUR, SECOND, Seen, Tower, calling, crashing, hopeless, named, rare, steady
from tests.jobs.yard import Yard, once, plain

pytestmark = pytest.mark.anyio
KILLS = 30
Working = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
async def tower(yard: Yard) -> Tower:
    for _ in range(2):
        await yard.workspace()
    return Tower(yard)


@pytest.fixture
async def processes(yard: Yard) -> AsyncIterator[Callable[..., Workers]]:
    made = []

    def start(*clocks: Recurring) -> Workers:
        url = yard.estate.settings.database_url.get_secret_value()  # type: ignore[union-attr]
        made.append(workers_of(yard, url, *[clock.name for clock in clocks]))
        return made[-1]

    yield start
    for workers in made:
        workers.close()


def one_after_the_other(seen: list[Seen], every: timedelta, killed: Sequence[int] = ()) -> None:
    """None begins before the last one has ended, or was cut off, nor before its time."""
    for last, next in pairwise(seen):
        assert last.pid in killed if last.ended is None else last.ended < next.begun
        if last.pid not in killed:
            assert next.begun - last.begun > every.total_seconds() * 0.7  # what is between the claim and the line


async def test_the_first_tick_does_nothing_in_a_process_that_can_do_nothing() -> None:
    ticked = list[bool]()

    async def body(tick: Tick) -> None:
        ticked.append(True)

    for able in (False, True):
        this = Ticking(steady, body, lambda able=able: able)  # type: ignore[misc]
        assert await Ticker((this,), "executor")._ending("clock:steady", this) == "done"
        assert ticked == [True] * able


# ---- declarations --------------------------------------------------------------------------------------------------


@pytest.fixture
def registries() -> Iterator[None]:
    ticking()  # loads all bodies: a module registers its own once
    clocks, bodies = dict(CLOCKS), dict(TICKING)
    yield
    CLOCKS.clear()
    CLOCKS.update(clocks)
    TICKING.clear()
    TICKING.update(bodies)


@pytest.mark.parametrize(
    ("name", "every", "fault"),
    [("odd", HOUR, "domain.what_it_does"), ("tests.odd", timedelta(seconds=0.5), "once a second")],
)
def test_what_cannot_be_declared(name: str, every: timedelta, fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        clock(name, every=every)
    assert name not in CLOCKS


def test_a_clock_has_one_name_and_one_body(registries: None) -> None:
    assert {each.clock for each in ticking()} == set(CLOCKS.values()) >= {SWEEP}
    made = clock("tests.odd", every=HOUR)
    with pytest.raises(RuntimeError, match="two clocks"):
        clock("tests.odd", every=HOUR)
    with pytest.raises(RuntimeError, match=r"without a body.*tests\.odd"):
        ticking()
    ticks(made)(None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="two bodies"):
        ticks(made)(None)  # type: ignore[arg-type]


# ---- ticks ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_once_over_two_processes(tower: Tower, processes: Callable[..., Workers]) -> None:
    workers = processes(steady, rare)
    for _ in range(2):
        workers.start()
    seen = await tower.ticked(steady, 6)
    one_after_the_other(seen, SECOND)
    assert len(await tower.ticked(rare, 1)) == 1
    assert await tower.labels(rare) == 1
    assert await tower.labels(steady) in (len(seen), len(seen) + 1)


@pytest.mark.slow
async def test_a_long_tick_is_waited_for(tower: Tower, processes: Callable[..., Workers]) -> None:
    """By all processes; what it missed meanwhile is one tick."""
    workers = processes(steady)
    for where in ("outside", "within"):
        tower.hold(where)
    for _ in range(2):
        workers.start()
    for where in ("outside", "within"):
        await tower.waiting(steady, where)
        await asyncio.sleep(1.5)
        assert len(tower.seen(steady)) == 1
        tower.let_go(where)
    one_after_the_other(await tower.ticked(steady, 4), SECOND)


@pytest.mark.parametrize("where", ["outside", "within"])
@pytest.mark.slow
async def test_kill_in_the_middle(tower: Tower, processes: Callable[..., Workers], where: str) -> None:
    """What was not committed is gone, and the tick is begun anew."""
    workers = processes(rare)
    tower.hold(where)
    first = workers.start()
    await tower.waiting(rare, where)
    second = workers.start()
    await asyncio.sleep(1.0)
    assert len(tower.seen(rare)) == 1
    workers.kill(first)
    tower.let_go(where)
    seen = await tower.ticked(rare, 2)
    assert [(tick.pid, tick.ended is None) for tick in seen] == [(first, True), (second, False)]
    assert await tower.labels(rare) == 1
    assert 3590 < (await tower.row(rare))["seconds"] < 3600


@pytest.mark.slow
async def test_kill_at_random(tower: Tower, processes: Callable[..., Workers]) -> None:
    """A clock goes on, whoever is killed, and no two ticks are at it."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, workers = random.Random(seed), processes(steady)
    pids, killed = [workers.start() for _ in range(2)], []
    for n in range(KILLS):
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        killed.append(pids[n % 2])
        workers.kill(killed[-1])
        pids[n % 2] = workers.start()
    before = len(tower.seen(steady))
    one_after_the_other(await tower.ticked(steady, before + 2), SECOND, killed)


@pytest.mark.slow
async def test_what_was_missed_is_one_tick(tower: Tower, working: Working) -> None:
    async with working(clocks=named(rare.name)):
        await tower.ticked(rare, 1)
    await tower.due(rare, ago=5 * HOUR)
    async with working(clocks=named(rare.name)):
        await tower.ticked(rare, 2)
        await asyncio.sleep(1.0)
    assert len(tower.seen(rare)) == 2
    assert 3590 < (await tower.row(rare))["seconds"] < 3600


@pytest.mark.slow
async def test_a_failure_ends_no_clock(tower: Tower, working: Working) -> None:
    """A metric and a line; and nowhere on record what the error said."""

    def counted(ending: str) -> float:
        sample = {"job": hopeless.name, "ending": ending}
        return REGISTRY.get_sample_value("crewship_job_attempts_total", sample) or 0

    before = counted("failed"), counted("done")
    with capture_logs() as lines:
        async with working(clocks=named(hopeless.name, steady.name)):
            await tower.ticked(hopeless, 3)
            await tower.ticked(steady, 3)
    seen = tower.seen(hopeless)
    assert (counted("failed") - before[0], counted("done") - before[1]) == (len(seen), 0)
    told = [(one["log_level"], one["event"]) for one in lines if one.get("clock") == hopeless.name]
    assert told == [("warning", "clock failed; the next tick follows")] * len(seen)
    stored = await tower.yard.estate.owner.fetch(
        "SELECT o::text FROM dbos.workflow_output o UNION ALL SELECT s::text FROM dbos.workflow_status s"
    )
    assert stored
    assert not [row[0] for row in stored if "a text of a tenant" in row[0]]


@pytest.mark.slow
async def test_jobs_are_enqueued_with_the_rows_of_a_tick(tower: Tower, working: Working) -> None:
    yard = tower.yard
    (yard.directory / "fail").touch()
    async with working(clocks=named(calling.name)):
        await tower.ticked(calling, 1)
    assert (await yard.waiting(), await tower.labels(calling)) == (0, 0)
    (yard.directory / "fail").unlink()
    await tower.due(calling)
    async with working(clocks=named(calling.name)):
        await tower.ticked(calling, 2)
        await yard.finished()
    assert await tower.labels(calling) == 1
    for id in (*yard.workspaces, yard.estate.workspace.id):
        assert await yard.written(f"called_{id}") == once()


@pytest.mark.slow
async def test_a_tick_that_another_process_has_writes_no_more(tower: Tower, working: Working) -> None:
    """It was taken for dead, in error: what it has not committed is the other one's to do."""
    gone = {"job": rare.name, "ending": "gone"}
    before = REGISTRY.get_sample_value("crewship_job_attempts_total", gone) or 0
    tower.hold("outside")
    async with working(clocks=named(rare.name)):
        await tower.waiting(rare, "outside")
        await tower.yard.estate.owner.execute(
            "UPDATE dbos.workflow_status SET executor_id = 'another' WHERE workflow_uuid = 'clock:tests.rare'"
        )
        async with asyncio.timeout(10):  # nobody has the lock of that name
            while await tower.status(rare) != "ENQUEUED":
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert len(tower.seen(rare)) == 1  # this process is at it, whatever the record says
        tower.let_go("outside")
        seen = await tower.ticked(rare, 2)
    assert [tick.ended is None for tick in seen] == [True, False]
    assert await tower.labels(rare) == 1
    assert (REGISTRY.get_sample_value("crewship_job_attempts_total", gone) or 0) - before == 1


@pytest.mark.slow
async def test_a_process_that_ends_hands_back(tower: Tower, working: Working) -> None:
    """In a transaction, too: the next one begins anew at once, without waiting until somebody seems dead."""
    tower.hold("within")
    async with working(clocks=named(rare.name)):
        await tower.waiting(rare, "within")
    assert await tower.status(rare) == "ENQUEUED"
    tower.let_go("within")
    async with working(clocks=named(rare.name), rhythm=Rhythm()):
        await tower.ticked(rare, 2, seconds=8.0)
    assert await tower.labels(rare) == 1


@pytest.mark.slow
async def test_a_claim_whose_answer_was_lost_is_taken_back(tower: Tower, working: Working) -> None:
    async with working(clocks=named(rare.name)) as runtime:
        await tower.ticked(rare, 1)
        lost = "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = $1 WHERE name = $2"
        await tower.yard.estate.owner.execute(lost, runtime._engine.executor, rare.name)
        await tower.ticked(rare, 2)


# ---- beside the engine ---------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_clocks_do_not_load_the_engine(tower: Tower, working: Working) -> None:
    async with working(clocks=named(steady.name, rare.name)) as runtime:
        await tower.ticked(steady, 3)
        assert not runtime._engine._awake


@pytest.mark.slow
async def test_a_process_without_jobs_has_clocks(tower: Tower) -> None:
    """And leaves to others the jobs that its clocks enqueue."""
    clockwork = Clockwork(tower.yard.estate.settings, named(calling.name, steady.name), rhythm=QUICK)
    await clockwork.start()
    try:
        await tower.ticked(calling, 1)
        one_after_the_other(await tower.ticked(steady, 3), SECOND)
    finally:
        await clockwork.stop()
    assert await tower.yard.statuses(plain) == {"ENQUEUED": 3}


@pytest.mark.slow
async def test_the_engine_leaves_clocks_alone(tower: Tower, working: Working) -> None:
    """It begins anew what its process is at when it is launched, and moves what is due."""
    tower.hold("within")
    async with working(clocks=named(rare.name)) as runtime:
        await tower.waiting(rare, "within")
        await tower.yard.enqueue(plain, "wakes")
        await tower.yard.finished()
        assert runtime._engine._awake
        await asyncio.sleep(2.5)  # its recovery, and its look at what is delayed
        row = await tower.row(rare)
        assert (row["status"], row["executor_id"]) == ("PENDING", runtime._engine.executor)
        assert row["queue_name"] == f"clock:{rare.name}"
        tower.let_go("within")
        await tower.ticked(rare, 1)
    assert len(tower.seen(rare)) == 1
    assert await tower.labels(rare) == 1
    await tower.due(rare)
    async with working():  # which does not know the clock
        await tower.yard.enqueue(plain, "wakes_too")
        await tower.yard.finished()
        await asyncio.sleep(2.5)
    assert await tower.status(rare) == "DELAYED"


@pytest.mark.slow
async def test_a_tick_that_ends_processes(tower: Tower, processes: Callable[..., Workers]) -> None:
    """Three of them at most, until the clock's next time."""
    workers = processes(crashing)
    pid = workers.start()
    async with asyncio.timeout(60):
        while len(tower.seen(crashing)) < 3 or await tower.status(crashing) != "ENQUEUED":
            if not workers.alive(pid):
                workers.pids.discard(pid)
                pid = workers.start()
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    assert workers.alive(pid)
    assert len(tower.seen(crashing)) == 3
    await tower.due(crashing)
    async with asyncio.timeout(10):
        while workers.alive(pid):
            await asyncio.sleep(0.05)
    workers.pids.discard(pid)
    assert len(tower.seen(crashing)) == 4


# ---- what changes, and what is seen --------------------------------------------------------------------------------


async def test_clocks_change_with_releases(tower: Tower, working: Working) -> None:
    """One that ticks more often than before does so from now on; one that nobody carries out any more goes."""
    owner = tower.yard.estate.owner
    async with working(clocks=named(rare.name, steady.name)):
        await tower.ticked(rare, 1)
        await tower.ticked(steady, 1)
    await tower.due(rare, ago=-30 * HOUR)
    await tower.due(steady, ago=7 * 24 * HOUR + HOUR)
    for name, days in (("tests.once", 8), ("tests.lately", 6)):
        kind = Recurring(name, HOUR)
        await owner.execute(
            "SELECT dbos.enqueue_workflow($1, 'clock:' || $1, workflow_id => 'clock:' || $1,"
            " delay_until_epoch_ms => 1, application_name => 'crewship-clocks')",
            name,
        )
        await tower.due(kind, ago=days * 24 * HOUR)
    async with working(clocks=named(rare.name, steady.name)):
        await tower.ticked(steady, 2)
    names = await owner.fetch("SELECT name FROM dbos.workflow_status ORDER BY 1")
    assert [row[0] for row in names] == ["tests.lately", rare.name, steady.name]
    inputs = "SELECT count(*) FROM dbos.workflow_input LEFT JOIN dbos.workflow_status USING (workflow_uuid)"
    assert await owner.fetchval(f"{inputs} WHERE name IS NULL") == 0
    assert 3500 < (await tower.row(rare))["seconds"] <= 3600
    assert len(tower.seen(rare)) == 1


@pytest.mark.slow
async def test_metrics(tower: Tower, working: Working) -> None:
    """Which clocks wait, are late, or are at a tick; a clock that nobody has is late."""

    def counted(status: str, clock: Recurring) -> float | None:
        return REGISTRY.get_sample_value("crewship_jobs", {"job": clock.name, "status": status})

    def age(clock: Recurring) -> float | None:
        return REGISTRY.get_sample_value("crewship_jobs_oldest_seconds", {"job": clock.name})

    async def settles(status: str) -> None:
        async with asyncio.timeout(10):
            while counted(status, rare) != 1:
                await asyncio.sleep(0.05)

    tower.hold("within")
    async with working(clocks=named(rare.name)):
        await settles("PENDING")
        assert age(rare) == 0
        tower.let_go("within")
        await settles("DELAYED")
        assert (age(rare), counted("PENDING", rare)) == (0, None)
    await tower.due(rare, ago=HOUR)
    async with working():
        await settles("ENQUEUED")
        async with asyncio.timeout(10):
            while (age(rare) or 0) < 1:  # it grows
                await asyncio.sleep(0.05)
