"""A process that is killed while it renews a token: it is renewed once more by the next, and what is lost is told."""

import asyncio
from pathlib import Path

import pytest

from resolvers.kernel import across_workspaces
from resolvers.resources.oauth.refreshing import enqueue_due
from tests.conftest import Database
from tests.faults.servers import KEYS, Server, addresses
from tests.process.commands import environment
from tests.resources.oauth.server import Authorities, asked_for
from tests.resources.oauth.test_consents import come_back, connect
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PATIENCE = 180.0
WAITING = "SELECT oauth_expires_at < now() + interval '5 minutes' AND status = 'ACTIVE' FROM credentials"
SOON = "UPDATE credentials SET oauth_expires_at = now() + interval '4 minutes'"


async def consented(world: World, authorities: Authorities) -> None:
    state = asked_for((await connect(world, authorities))["auth_url"])["state"]
    assert (await come_back(world, code="good", state=state, iss=authorities.url)).status_code == 200
    authorities.asked.clear()


@pytest.mark.parametrize("spent", [False, True], ids=["answered again", "good once"])
async def test_kill_while_the_server_is_asked(
    database: Database, tmp_path: Path, anyio_backend: str, spent: bool
) -> None:
    """`spent`: the server had taken the refresh token before it was killed, and takes it no second time."""
    told = KEYS | addresses(database) | {"CREWSHIP_LOG_LEVEL": "error", "CREWSHIP_MCP_ALLOW_PRIVATE": "true"}
    async with world_on(database, tmp_path) as world, Authorities().listening() as authorities:
        place = tmp_path / "process"
        server = Server(world, place, environment(place, **told | {"CREWSHIP_RUN_ADAPTER": "scripted"}))
        try:
            await server.ready()
            await consented(server.world, authorities)
            authorities.hold = asyncio.Event()
            await world.database.execute(SOON)
            await across_workspaces(enqueue_due)
            async with asyncio.timeout(PATIENCE):
                while not authorities.to("/token"):
                    await asyncio.sleep(0.02)
            await server.kill()
            if spent:
                authorities.status, authorities.token = 400, {"error": "invalid_grant"}
            else:
                authorities.token = {"access_token": "canary-second", "refresh_token": "canary-rotated"}
            authorities.hold.set()
            authorities.hold = None
            async with asyncio.timeout(PATIENCE):
                while await world.database.fetchval(WAITING):
                    await asyncio.sleep(0.05)
            assert [sent["refresh_token"] for sent in authorities.to("/token")] == ["canary-refresh"] * 2
            row = await world.database.fetchrow("SELECT * FROM credentials")
            assert row is not None
            assert row["status"] == ("EXPIRED" if spent else "ACTIVE")
            events = [event["type"] for event in await world.events()]
            assert events.count("credential.expired") == int(spent)
            await across_workspaces(enqueue_due)
            await asyncio.sleep(0.5)
            assert len(authorities.to("/token")) == 2, "one that was renewed, or has expired, is left alone"
        finally:
            await server.close()
