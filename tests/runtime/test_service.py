"""The runtime as the process has it: started without waiting, on the real engine, stopped without a trace."""

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION
from runtime.engine.dbos_tables import prepare_engine
from runtime.engine.service import Runtime
from tests.runtime.doubles import Wardrobe, speaks
from tests.runtime.estate import Estate, estate_on

pytestmark = pytest.mark.anyio


async def recorded(estate: Estate, run_id: str, steps: list[str]) -> None:
    """The record comes behind the run."""
    sql = """
        SELECT array_agg(o.function_name ORDER BY o.function_id) FROM dbos.operation_outputs o
        JOIN dbos.workflow_status s USING (workflow_uuid)
        WHERE workflow_uuid = $1 AND s.status = 'SUCCESS'
    """
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(asyncpg.UndefinedTableError):  # it may come behind the run, too
                if await estate.owner.fetchval(sql, run_id) == steps:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_process_answers_messages_from_start_to_stop(database: Any, tmp_path: Path) -> None:
    await prepare_engine(database.owner_url, APPLICATION)
    async with estate_on(database, tmp_path) as estate:
        wardrobe = Wardrobe(speaks)
        runtime = Runtime(estate.settings, wardrobe)
        before = asyncio.get_running_loop().time()
        await runtime.start()
        assert asyncio.get_running_loop().time() - before < 0.1
        run = await estate.ask()
        ended = await estate.ended(run.id)
        assert (ended.status, ended.lease) == ("COMPLETED", 1)
        assert [m["content"] for m in await estate.messages(str(run.chat_id))] == ["hello", "hello there"]
        assert [job.max_tokens for job in wardrobe.jobs] == [estate.settings.run_max_tokens]
        await recorded(estate, run.id, ["model 1"])
        await runtime.stop()
        left = await estate.ask()
        await asyncio.sleep(0.7)
        assert (await estate.run(left.id)).lease == 0
        assert await estate.owner.fetchval("SELECT count(*) FROM dbos.queues") == 0
        assert not [thread for thread in threading.enumerate() if thread.name.startswith(("dbos", "queue-worker"))]


@pytest.mark.slow
async def test_a_run_needs_no_record(database: Any, tmp_path: Path) -> None:
    """The engine has no tables yet: runs are carried out all the same, and those that come later are on record."""
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings, Wardrobe(speaks))
        await runtime.start()
        assert (await estate.ended((await estate.ask()).id)).status == "COMPLETED"
        await asyncio.sleep(0.5)
        await prepare_engine(database.owner_url, APPLICATION)
        run = await estate.ask()
        assert (await estate.ended(run.id)).status == "COMPLETED"
        await recorded(estate, run.id, ["model 1"])
        await runtime.stop()


async def test_one_that_had_no_work_stops_at_once(database: Any, tmp_path: Path) -> None:
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings, Wardrobe(speaks))
        await runtime.start()
        await runtime.ready()
        async with asyncio.timeout(5):
            await runtime.stop()
