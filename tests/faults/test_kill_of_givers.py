"""kill -9 between the end of a run that was cancelled and what it had given others to do: another process goes on."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crewship.process.postgres import APPLICATION
from models.staff.crews import Crew
from resolvers.identity.caller import Caller
from resolvers.work.missions import create_assignment
from runtime.engine.dbos_tables import prepare_engine
from tests.faults.workers import Workers
from tests.runtime.estate import Estate, estate_on

pytestmark = pytest.mark.anyio
ENDS = "SELECT count(*) FROM events WHERE type = 'assignment_failed' AND payload->>'id' = $1"
LOGGED = "SELECT count(*) FROM audit_logs WHERE action = 'assignment.cancelled' AND entity_id = $1"


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(40):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_process_that_dies_in_between_leaves_it_to_another(database: Any, tmp_path: Path) -> None:
    await prepare_engine(database.owner_url, APPLICATION)
    hold = tmp_path / "hold"
    hold.touch()
    async with estate_on(database, tmp_path) as estate:
        workers = Workers(module="tests.faults.giving", url=database.url, directory=str(tmp_path), hold=str(hold))
        try:
            await _killed_in_between(estate, workers, hold)
        finally:
            workers.close()


async def _killed_in_between(estate: Estate, workers: Workers, hold: Path) -> None:
    owner, here = estate.owner, estate.workspace.id
    crew = Crew(name="Deck", slug="deck", workspace_id=here)
    await estate.add(crew)
    lead, worker = [await estate.agent(crew_id=crew.id) for _ in range(2)]
    chat = await estate.chat(lead)

    async def works(run: str) -> bool:
        return await owner.fetchval("SELECT started_at IS NOT NULL FROM runs WHERE id = $1", run) is True

    async def is_cancelled(run: str) -> bool:
        return await owner.fetchval("SELECT status FROM runs WHERE id = $1", run) == "CANCELLED"

    first = workers.start()
    run = (await estate.ask("Have it done", chat)).id
    await until(lambda: works(run))
    raw = {"workspace_id": here, "crew_id": crew.id, "chat_id": chat.id, "target_slug": worker.slug, "task": "Pump"}
    await create_assignment(Caller.service("test", here), raw, place=here)
    given = await owner.fetchrow("SELECT runs.id, assignment_id FROM runs WHERE assignment_id IS NOT NULL")
    await until(lambda: works(given["id"]))

    async def reached() -> bool:
        return hold.with_name("reached").exists()

    await estate.cancel(chat.id)
    await until(reached)
    assert await is_cancelled(run)
    assert await owner.fetchval("SELECT status FROM assignments WHERE id = $1", given["assignment_id"]) == "RUNNING"
    workers.kill(first)
    hold.unlink()
    workers.start()
    await until(lambda: is_cancelled(given["id"]))
    assert await owner.fetchval("SELECT status FROM assignments WHERE id = $1", given["assignment_id"]) == "CANCELLED"

    async def is_told() -> bool:
        return await owner.fetchval(ENDS, given["assignment_id"]) > 0

    await until(is_told)
    assert await owner.fetchval(ENDS, given["assignment_id"]) == 1
    assert await owner.fetchval(LOGGED, given["assignment_id"]) == 1
