"""Workers that are killed between a commit and a push: every entry arrives, and a repeated one replaces the first."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.attention.push.phone import Deck, Phone, Service, subscribed
from tests.attention.webhook_endpoints.test_webhook_endpoints import status
from tests.faults.workers import Workers
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
RHYTHM = {"sweep": 0.2, "patience": 0.6, "measure": 0.2, "retry": 0.1}
ENTRIES = 6


@pytest.fixture
async def shore(database: Any, tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with world_on(database, tmp_path / "data", role="api", hooks_allow_private=True) as made:
        yield made


async def test_workers_that_are_killed_lose_nothing(shore: World, database: Any, tmp_path: Path) -> None:
    deck, service = await Deck(shore).built(), Service(Phone(), lambda _: status(201))
    workers = Workers(
        module="tests.attention.push.working", url=database.url, directory=str(tmp_path / "data"), rhythm=RHYTHM
    )
    try:
        async with subscribed(shore, shore.owner, service):
            entries, pid = [], workers.start()
            for number in range(ENTRIES):
                entries.append(await deck.asks(f"Question {number}"))
                await asyncio.sleep(0.15 * number)  # in the follower, in the look, or while it is sent
                workers.kill(pid)
                pid = workers.start()
            async with asyncio.timeout(90):
                while set(entries) - {message["tag"] for message in service.messages}:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            states = await shore.database.fetch("SELECT entry, state FROM push_notices")
    finally:
        workers.close()
    assert {row["entry"] for row in states} == set(entries)
    assert {row["state"] for row in states} == {"sent"}
    arrived = zip(service.got, service.messages, strict=True)
    topics = {message["tag"]: headers["topic"] for (headers, _, _), message in arrived}
    assert len(set(topics.values())) == len(entries), "a repeated push has the topic and the tag of the first"
