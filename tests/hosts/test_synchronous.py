"""A synchronous replica that receives nothing: nothing is acknowledged, the doctor says why, and all is there once."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.servers import KEYS, Server, addresses, servers
from tests.hosts.cluster import REPLICA, Pair, replicated
from tests.process.commands import environment, run
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KEY = {"idempotency-key": "the-only-one"}
BODY = {"name": "Waits", "slug": "waits"}


async def test_a_replica_that_never_catches_up(tmp_path: Path) -> None:
    async with (
        replicated(synchronous_standby_names=REPLICA) as pair,
        world_on(pair, tmp_path / "world") as world,
        servers(pair, tmp_path, world, 1) as [side],
    ):
        try:
            await _waits_and_is_carried_out(
                pair, world, side, environment(tmp_path / "doctor", **KEYS, **addresses(pair))
            )
        finally:
            await pair.release()  # else the server waits for it to its end


async def _waits_and_is_carried_out(pair: Pair, world: World, side: Server, env: dict[str, str]) -> None:
    assert "they wait for a replica" not in (await asyncio.to_thread(run, "doctor", env=env)).stdout
    await pair.hold()
    async with side.world.client(world.owner) as http:

        async def create() -> int:
            made = await http.post("/api/v1/crews", params=query, json=BODY, headers=KEY, timeout=90)
            return int(made.status_code)

        async def stored() -> int:
            seen = await http.get("/api/v1/crews", params=query, timeout=90)
            assert seen.status_code == 200
            return [crew["slug"] for crew in seen.json()].count("waits")

        query = {"workspace_id": world.workspace.id}
        first = asyncio.create_task(create())
        said = (await asyncio.to_thread(run, "doctor", env=env)).stdout
        assert f"they wait for a replica of synchronous_standby_names ({REPLICA})" in said, said
        assert "start the replica" in said
        assert await first == 503
        assert await stored() == 0, "it is not known to be stored"
        await pair.release()
        assert (await create(), await create()) == (201, 201)
        assert await stored() == 1
