"""How tests count round trips: each statement once, whatever other tasks send meanwhile."""

import asyncio

import pytest

from resolvers.kernel.store.database import database
from tests.round_trips import sent
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_statement_that_ends_takes_no_other_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow() -> None:
        async with database.lease() as connection:
            await connection.fetch("SELECT pg_sleep(0.2) -- slow")

    with sent(monkeypatch) as words:
        sleeping = asyncio.create_task(slow())
        while "SELECT" not in words:
            await asyncio.sleep(0.01)
        async with database.lease() as connection:
            await connection.fetch("UPDATE crews SET name = name WHERE false")
        await sleeping
    assert words.count("UPDATE") == 1
    assert words.count("SELECT") == 1


async def test_what_a_server_does_by_itself_is_not_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = asyncio.Event()

    async def clock() -> None:
        await begin.wait()
        async with database.lease() as connection:
            await connection.fetch("SELECT 1")

    ticking = asyncio.create_task(clock())
    await asyncio.sleep(0)
    with sent(monkeypatch) as words:
        begin.set()
        await ticking
    assert words == []
