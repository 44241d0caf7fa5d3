"""Two servers, killed in turn, send their statements through one PgBouncer in transaction mode."""

import asyncio
from pathlib import Path

import pytest

from crewship.process.postgres import Connection
from tests.conftest import Database
from tests.faults.servers import KEYS, PATIENCE, addresses
from tests.faults.test_kill_of_servers import under_kills
from tests.process.commands import environment, run, serving
from tests.process.poolers import ROLE, following, gives, pooler
from tests.process.ports import reached  # noqa: F401
from tests.world import world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow, following]

KILLS = 6
FEW = {"max_prepared_statements": "50", "default_pool_size": "8"}
"""Fewer prepared statements than the service has, so that the pooler forgets some, and fewer sessions than clients."""


async def test_servers_and_runs_behind_a_pooler(
    database: Database,
    postgres: Connection,
    reached: int,  # noqa: F811
    tmp_path: Path,
) -> None:
    await gives(postgres, database.name, **ROLE)
    with pooler(postgres, reached, database.name, **FEW) as address:
        ways = {"DATABASE_URL": address, "CREWSHIP_DATABASE_DIRECT_URL": database.url}
        story = await under_kills(database, tmp_path, KILLS, **ways)
    story.tell(KILLS)
    assert story.clients.lost > 0
    assert story.ends["COMPLETED"] > 0


async def test_jobs_behind_a_pooler(
    database: Database,
    postgres: Connection,
    reached: int,  # noqa: F811
    tmp_path: Path,
) -> None:
    await gives(postgres, database.name, **ROLE)
    with pooler(postgres, reached, database.name, **FEW) as address:
        ways = addresses(database) | {"DATABASE_URL": address, "CREWSHIP_DATABASE_DIRECT_URL": database.url}
        env = environment(tmp_path / "server", **KEYS, **ways)
        async with world_on(database, tmp_path / "world") as world:
            with serving(env=env) as served:
                world.url = f"http://127.0.0.1:{served.port}"
                made = await world.rest(world.owner, "POST", "/api/v1/crews", {"name": "Gone", "slug": "gone"})
                await world.rest(world.owner, "DELETE", f"/api/v1/crews/{made.json()['id']}")
                done = "SELECT count(*) FROM dbos.workflow_status WHERE name LIKE 'workspaces.files%' AND status = $1"
                async with asyncio.timeout(PATIENCE):
                    while not await world.database.fetchval(done, "SUCCESS"):
                        await asyncio.sleep(0.1)
                assert "no background jobs" not in served.logged()
        said = run("doctor", env=env)
        assert "in transaction mode" in said.stdout, said.stdout
