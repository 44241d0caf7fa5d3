"""What becomes of sockets when the server stops."""

import asyncio
import contextlib
from typing import Any

import pytest

from resolvers.live import attendance
from tests.live.sockets import address, client_of, opened
from tests.world import world_on

pytestmark = pytest.mark.anyio


async def test_stopping_the_server_ends_its_sockets_promptly(database: Any, tmp_path: Any) -> None:
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as clients:
        async with world_on(database, tmp_path) as world:
            made = [await clients.enter_async_context(client_of(world, world.owner)) for _ in range(3)]
            waiting = await clients.enter_async_context(opened(address(world)))
            for client in made:
                await client.subscribe(f"workspace:{world.workspace.id}")
                await client.settle()
            started = loop.time()
        for client in (*made, waiting):
            await client.until(lambda client=client: client.closed)
            assert client.closed == 1012
        assert loop.time() - started < 3
    assert attendance.connections == {}
