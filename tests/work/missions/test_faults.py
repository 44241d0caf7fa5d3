"""kill -9 of workers, a restart of PostgreSQL and a deployment, while many missions are worked on: every task is worked
on once, every mission ends as its graph says, and nothing is left over.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crewship.process.postgres import APPLICATION, EmbeddedPostgres
from models.migrations import upgrade
from resolvers.work.missions import driving
from runtime.engine.dbos_tables import prepare_engine
from tests.runtime.estate import estate_on
from tests.work.missions.fleet import Fleet
from tests.work.missions.sailing import REPEATED

pytestmark = pytest.mark.anyio
LONGEST = 900.0  # seconds


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "FIRST_LOOK", timedelta(0))


@pytest.fixture
async def fleet(database: Any, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Fleet]:
    async with estate_on(database, tmp_path / "data") as estate:
        made = Fleet.on(estate, database.url, database.owner_url, tmp_path)
        try:
            yield made
        finally:
            made.workers.close()


@pytest.mark.slow
async def test_kills_and_a_deployment_in_the_middle_of_missions(fleet: Fleet) -> None:
    await fleet.plan(crews=2, missions=2, tasks=6, failing=1, seconds=0.05)
    await fleet.start()
    for share in (0.1, 0.3, 0.6):
        async with asyncio.timeout(30):
            while fleet.share < share:
                await asyncio.sleep(0.02)
        await fleet.kill()
    await fleet.deploy()
    await fleet.in_port(30)
    await fleet.judge()


@pytest.mark.slow
async def test_fifty_missions_of_twenty_tasks(tmp_path: Path, anyio_backend: str) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", durable=True)
    connection = server.start()
    try:
        await upgrade(connection.owner, application_role=APPLICATION)
        await prepare_engine(connection.owner, APPLICATION)

        class Copy:
            url, owner_url = connection.application, connection.owner

        async with estate_on(Copy, tmp_path / "data") as estate:
            fleet = Fleet.on(estate, Copy.url, Copy.owner_url, tmp_path)
            try:
                await _through_all(fleet, server)
            finally:
                fleet.workers.close()
    finally:
        server.stop()


async def _through_all(fleet: Fleet, server: EmbeddedPostgres) -> None:
    await fleet.plan(crews=10, missions=5, tasks=20, failing=5, seconds=0.05)
    began, restarted, deployed = time.monotonic(), None, None
    await fleet.start()
    done = 0
    while await fleet.under_way():
        assert time.monotonic() - began < LONGEST, f"stuck at {fleet.share:.0%}"
        await asyncio.sleep(0.1)
        if len(fleet.done()) < done + fleet.chance.randrange(5, 25):  # a busy machine may take long to start a worker
            continue
        done = len(fleet.done())
        if restarted is None and fleet.share > 0.4:
            await fleet.restart(server)
            restarted = time.monotonic() - began
        elif deployed is None and fleet.share > 0.6:
            deployed = await fleet.deploy()
        else:
            await fleet.kill()
    await fleet.in_port(60)
    took = time.monotonic() - began
    await fleet.judge()
    assert restarted is not None
    assert deployed is not None
    repeated = fleet.marks / REPEATED
    again = len(repeated.read_text().splitlines()) if repeated.exists() else 0
    print(
        f"{len(fleet.voyages)} missions, {len(fleet.done())} tasks in {took:.0f} s: {fleet.kills} kills,"
        f" a restart of PostgreSQL, a deployment in {deployed:.1f} s; {again} steps begun again under their key"
    )
