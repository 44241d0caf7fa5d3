"""kill -9 of the database under those who listen: they are not touched, and miss nothing."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from crewship.process.postgres import APPLICATION, EmbeddedPostgres
from models.migrations import upgrade
from tests.live.graphql import CREWS, talking
from tests.live.sockets import client_of
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
ROUNDS = 3


@dataclass(frozen=True)
class Place:
    url: str
    owner_url: str


async def make_crew(world: World, name: str) -> None:
    """Tried until the database is back."""
    async with asyncio.timeout(60):
        while True:
            answer = await world.rest(world.owner, "POST", "/api/v1/crews", {"name": name, "slug": name})
            if answer.status_code == 201:
                return
            assert answer.status_code in (503, 409), answer.text  # 409: the answer was lost, the crew was not
            if answer.status_code == 409:
                return
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_subscribers_go_on_after_a_kill_of_the_database(tmp_path: Path, anyio_backend: str) -> None:
    server = EmbeddedPostgres(tmp_path / "data", durable=True)
    connection = server.start()
    try:
        await upgrade(connection.owner, application_role=APPLICATION)
        async with world_on(Place(connection.application, connection.owner), tmp_path) as world:
            channel, names = f"workspace:{world.workspace.id}", []
            async with client_of(world, world.viewer) as client, talking(world, world.viewer) as talk:
                await client.subscribe(channel)
                await client.settle()
                await talk.listen("1", CREWS, ws=world.workspace.id)
                for number in range(ROUNDS):
                    names += [f"before-{number}", f"after-{number}"]
                    await make_crew(world, names[-2])
                    assert server._process is not None
                    server._process.kill()
                    await make_crew(world, names[-1])
                await client.until(lambda: len(client.of("crew.created")) == len(names), 30)
                heard = [(await asyncio.wait_for(talk.next("1"), 30))["workspaceEvents"] for _ in names]
                assert [frame["payload"]["name"] for frame in client.of("crew.created")] == names
                assert [event["name"] for event in heard] == names
                assert client.of("resync", "error", "session_revoked") == []
    finally:
        server.stop()
