"""The runtime as the process has it: started without waiting, on the real engine, stopped without a trace."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from crewship.postgres import APPLICATION
from runtime import service
from runtime.dbos_engine import prepare_engine
from runtime.service import Runtime
from runtime.supervisor import Timing
from tests.runtime.doubles import Wardrobe, speaks
from tests.runtime.estate import estate_on

pytestmark = pytest.mark.anyio


async def test_a_process_answers_messages_from_start_to_stop(database: Any, tmp_path: Path) -> None:
    await prepare_engine(database.owner_url, APPLICATION)
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings, Wardrobe(speaks))
        before = asyncio.get_running_loop().time()
        await runtime.start()
        assert asyncio.get_running_loop().time() - before < 0.1
        run = await estate.ask()
        ended = await estate.ended(run.id)
        assert (ended.status, ended.lease) == ("COMPLETED", 1)
        assert [m["content"] for m in await estate.messages(str(run.chat_id))] == ["hello", "hello there"]
        steps = await estate.owner.fetch("SELECT function_name, output FROM dbos.operation_outputs WHERE workflow_uuid = $1", run.id)
        assert [tuple(step) for step in steps] == [("model 1", '"model 1"')]
        await runtime.stop()
        left = await estate.ask()
        await asyncio.sleep(0.7)
        assert (await estate.run(left.id)).lease == 0
        assert await estate.owner.fetchval("SELECT count(*) FROM dbos.queues") == 0
        assert not [thread for thread in threading.enumerate() if thread.name.startswith(("dbos", "queue-worker"))]


async def test_a_start_that_fails_is_tried_again(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema of the engine is not there yet: another process is migrating."""
    monkeypatch.setattr(service, "RETRY", 0.1)
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings, Wardrobe(speaks), timing=Timing(poll=0.1))
        await runtime.start()
        run = await estate.ask()
        await asyncio.sleep(0.7)
        assert (await estate.run(run.id)).lease == 0
        await prepare_engine(database.owner_url, APPLICATION)
        assert (await estate.ended(run.id)).status == "COMPLETED"
        await runtime.stop()


async def test_one_that_cannot_start_can_be_stopped(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY", 0.1)
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings, Wardrobe(speaks))
        await runtime.start()
        await asyncio.sleep(0.3)
        async with asyncio.timeout(5):
            await runtime.stop()
