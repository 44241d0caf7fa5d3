"""Jobs of real processes that are killed at any moment: none lost, nothing written twice, none stuck."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION, EmbeddedPostgres
from models.migrations import upgrade
from runtime.engine.dbos_tables import prepare_engine
from runtime.engine.liveness import Rhythm
from tests.faults.workers import Workers
from tests.jobs import yard as domain
from tests.jobs.tower import Tower, steady
from tests.jobs.yard import KINDS, STEPS, Yard, deadly, once, serial
from tests.runtime.estate import estate_on
from tests.world import connect_for_all

pytestmark = pytest.mark.anyio
KILLS = 40
QUICK = {"sweep": 0.2, "patience": 0.6, "measure": 1.0, "retry": 0.1}


def workers_of(yard: Yard, url: str, *clocks: str) -> Workers:
    environment, data = {domain.DIRECTORY: str(yard.directory)}, str(yard.directory / "data")
    return Workers(environment, module="tests.jobs.working", url=url, directory=data, clocks=clocks, rhythm=QUICK)


@pytest.fixture
async def workers(yard: Yard) -> AsyncIterator[Workers]:
    made = workers_of(yard, yard.estate.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    yield made
    made.close()


def test_the_product_looks_twice() -> None:
    """After a restart of the database all locks are gone for a moment; and a sweep is no look."""
    assert Rhythm().patience > Rhythm().sweep + 2 * Rhythm().retry
    assert asdict(Rhythm()).keys() >= QUICK.keys()


async def kill_in_each_step(yard: Yard, workers: Workers, round: int) -> None:
    """One process stands in every step of every kind at once, and is killed; the next one ends what it began."""
    yard.hold()
    things = {(kind, step): f"hold_{step}_{kind.name[6:]}_{round}" for kind in KINDS for step in STEPS}
    for (kind, _), thing in things.items():
        await yard.enqueue(kind, thing, await yard.workspace())
    first = workers.start()
    await yard.reached(set(things.values()))
    workers.kill(first)
    yard.let_go()
    second = workers.start()
    await yard.finished()
    workers.kill(second)
    for (kind, step), thing in things.items():
        assert await yard.written(thing) == once(), (kind.name, step)
        asked = [found[1] for found in yard.lines("asked") if found[0] == thing]
        assert len(set(asked)) == 1
        assert len(asked) == (2 if step in ("second", "third") else 1)
        assert {int(found[1]) for found in yard.lines("begun") if found[0] == thing} == {first, second}


@pytest.mark.slow
async def test_kill_in_each_step(yard: Yard, workers: Workers) -> None:
    await kill_in_each_step(yard, workers, 0)


@pytest.mark.slow
async def test_kill_in_each_step_again_and_again(yard: Yard, workers: Workers) -> None:
    for round in range(10):
        await kill_in_each_step(yard, workers, round)


async def kill_at_random(yard: Yard, workers: Workers, kills: int, chance: random.Random) -> dict[str, Any]:
    pids, things = [workers.start() for _ in range(2)], dict[str, Any]()
    for n in range(kills):
        for kind in KINDS:
            for _ in range(4):
                thing = f"any_{kind.name[6:]}_{len(things)}"
                things[thing] = kind
                await yard.enqueue(kind, thing, chance.choice(yard.workspaces))
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        victim = pids[n % 2]
        workers.kill(victim)
        pids[n % 2] = workers.start()
    return things


@pytest.mark.slow
async def test_kill_at_random(yard: Yard, workers: Workers) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    for _ in range(4):
        await yard.workspace()
    things = await kill_at_random(yard, workers, KILLS, random.Random(seed))
    await yard.finished(120)
    for thing, kind in things.items():
        assert await yard.written(thing) == once(), (kind.name, thing)
    assert await yard.estate.owner.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS'") == 0


@pytest.mark.slow
async def test_two_workers_share(yard: Yard, workers: Workers) -> None:
    """Both take part, nothing is done twice, and what is to come one by one does."""
    for n in range(50):
        for kind in KINDS:
            await yard.enqueue(kind, f"any_{kind.name[6:]}_{n}")
    yard.hold()
    await yard.enqueue(serial, "hold_ask_same")
    pids = {workers.start(), workers.start()}
    await yard.reached({"hold_ask_same"})
    await yard.enqueue(serial, "hold_ask_same")
    await asyncio.sleep(2.5)
    assert len([found for found in yard.lines("begun") if found[0] == "hold_ask_same"]) == 1
    yard.let_go()
    await yard.finished()
    for n in range(50):
        for kind in KINDS:
            assert await yard.written(f"any_{kind.name[6:]}_{n}") == once(), kind.name
    assert {int(found[1]) for found in yard.lines("begun")} == pids
    assert await yard.written("hold_ask_same") == once(times=2)


@pytest.mark.slow
async def test_poison(yard: Yard, workers: Workers) -> None:
    """A job that ends its process is not begun for ever."""
    await yard.enqueue(deadly, "poison")
    async with asyncio.timeout(60):
        pid = workers.start()
        while await yard.statuses(deadly) != Counter(MAX_RECOVERY_ATTEMPTS_EXCEEDED=1):
            if not workers.alive(pid):
                workers.pids.discard(pid)
                pid = workers.start()
            await asyncio.sleep(0.05)
    assert workers.alive(pid)
    assert len(yard.lines("begun")) == deadly.attempts + 1


@pytest.mark.slow
async def test_a_process_that_is_told_to_end_gives_back_at_once(yard: Yard, workers: Workers) -> None:
    yard.hold()
    await yard.enqueue(KINDS[0], "hold_second_once")
    first = workers.start()
    await yard.reached({"hold_second_once"})
    os.kill(first, signal.SIGTERM)
    async with asyncio.timeout(20):
        while workers.alive(first):
            await asyncio.sleep(0.05)
    workers.pids.discard(first)
    assert await yard.statuses(KINDS[0]) == Counter(ENQUEUED=1)


async def lives_again(url: str) -> asyncpg.Connection:
    """A connection, once the database is back for good: children of a server that was killed go on for a moment."""
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.3)
            with contextlib.suppress(
                OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
            ):
                conn = await connect_for_all(url)
                for _ in range(5):
                    await asyncio.sleep(0.1)
                    await conn.fetchval("SELECT 1")
                return conn


@pytest.mark.slow
async def test_restart_of_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> None:
    """Amid jobs of two processes, three times: all end, nothing is written twice, nobody alive is taken for dead, and a
    clock goes on.
    """
    monkeypatch.setenv(domain.DIRECTORY, str(tmp_path))
    server = EmbeddedPostgres(tmp_path / "postgres", durable=True)
    connection = server.start()

    class Place:
        url, owner_url = connection.application, connection.owner

    try:
        await upgrade(connection.owner, application_role=APPLICATION)
        await prepare_engine(connection.owner, APPLICATION)
        async with estate_on(Place, tmp_path / "data") as estate:
            yard = Yard(estate, tmp_path)
            workers, things = workers_of(yard, connection.application, steady.name), dict[str, Any]()
            try:
                for _ in range(2):
                    workers.start()
                for round in range(3):
                    for kind in KINDS:
                        for n in range(20):
                            things[f"any_{kind.name[6:]}_{round}_{n}"] = kind
                            await yard.enqueue(kind, f"any_{kind.name[6:]}_{round}_{n}")
                    await asyncio.sleep(0.7)
                    assert server._process is not None
                    server._process.kill()
                    yard.estate.owner.terminate()
                    yard.estate.owner = await lives_again(connection.owner)
                await yard.finished(120)
                for thing, kind in things.items():
                    assert await yard.written(thing) == once(), (kind.name, thing)
                tower = Tower(yard)
                before = len(tower.seen(steady))
                assert await tower.labels(steady) <= len(await tower.ticked(steady, before + 2))
            finally:
                workers.close()
    finally:
        server.stop()
