"""Two hosts with one name as an executor, as copies of a running machine: the second carries out nothing."""

import asyncio

import pytest

from crewship.process.postgres import APPLICATION
from resolvers.instance.running import instance
from runtime.engine.clocks import Ticker
from runtime.engine.dbos_tables import prepare_engine
from runtime.engine.liveness import Liveness, Rhythm
from tests.conftest import Database

pytestmark = pytest.mark.anyio


async def test_the_second_one_begins_when_the_first_has_left(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.engine.dbos_tables.SESSION", "SET statement_timeout = 200")
    await prepare_engine(database.owner_url, APPLICATION)
    first, second = [
        Liveness(database.url, "one", [], Ticker((), "one"), _begin, rhythm=Rhythm(sweep=0.1, retry=0.1))
        for _ in range(2)
    ]
    first.start()
    await _until(lambda: first._conn is not None)
    second.start()
    await _until(lambda: instance.jobs_failing_since is not None)
    await asyncio.sleep(0.5)
    assert second._conn is None
    await first.stop()
    await first.leave()
    await _until(lambda: second._conn is not None and instance.jobs_failing_since is None)
    await second.stop()
    await second.leave()


async def _begin(jobs: object, ripe: bool) -> None: ...


async def _until(holds: "object") -> None:
    assert callable(holds)
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)
