"""Schedules of agents: at its time a run of the prompt, once, and then the next time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.staff.agents import Agent
from resolvers.kernel.background.clocks import CLOCKS, across_workspaces
from resolvers.staff.runs.schedules import LOOK, START, look
from runtime.runs.job import Job, Outcome, Sink
from tests.every import each_of
from tests.work.missions.conftest import harbour
from tests.work.missions.harbour import Harbour
from tests.world import now

__all__ = ["harbour"]
pytestmark = pytest.mark.anyio
PAST = datetime(2026, 1, 5, 9, tzinfo=UTC)
UNFINISHED = (
    "SELECT count(*) FROM dbos.workflow_status WHERE name = $1 AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
)


async def scheduled(harbour: Harbour, **fields: Any) -> Agent:
    berth = await harbour.crew()
    given = {"schedule_enabled": True, "schedule_cron": "0 9 * * 1", "schedule_prompt": "Count the ropes."}
    return await harbour.estate.agent(**{"crew_id": berth.crew.id, "schedule_next_run": PAST} | given | fields)


async def looked(harbour: Harbour, times: int = 1) -> None:
    """And whatever was found due is begun."""
    await asyncio.gather(*[look(across_workspaces, now()) for _ in range(times)])
    async with asyncio.timeout(30):
        while await harbour.estate.owner.fetchval(UNFINISHED, START.name):
            await asyncio.sleep(0.02)


async def runs(harbour: Harbour, agent: Agent) -> list[dict[str, Any]]:
    sql = "SELECT trigger_type, prompt, max_turns, status, chat_id FROM runs WHERE agent_id = $1 ORDER BY created_at"
    return [dict(row) for row in await harbour.estate.owner.fetch(sql, agent.id)]


async def times(harbour: Harbour, agent: Agent) -> tuple[datetime | None, datetime | None]:
    sql = "SELECT schedule_last_run, schedule_next_run FROM agents WHERE id = $1"
    [row] = await harbour.estate.owner.fetch(sql, agent.id)
    return row[0], row[1]


async def ended(harbour: Harbour, agent: Agent) -> None:
    async with asyncio.timeout(30):
        while any(run["status"] == "RUNNING" for run in await runs(harbour, agent)):
            await asyncio.sleep(0.02)


def test_the_clock_ticks_every_half_minute() -> None:
    assert CLOCKS[LOOK.name].every == timedelta(seconds=30)


async def test_who_is_due_runs_its_prompt_once(harbour: Harbour) -> None:
    agent, began = await scheduled(harbour), now()
    await looked(harbour, times=3)
    await ended(harbour, agent)
    assert await runs(harbour, agent) == [
        {
            "trigger_type": "SCHEDULED",
            "prompt": "Count the ropes.",
            "max_turns": 20,
            "status": "COMPLETED",
            "chat_id": None,
        }
    ]
    [job] = harbour.agents.of(agent)
    assert (job.prompt, job.max_turns) == ("Count the ropes.", 20)
    last, following = await times(harbour, agent)
    assert last is not None
    assert following is not None
    assert began - timedelta(seconds=5) <= last <= now()
    assert (following.weekday(), following.hour, following > now()) == (0, 9, True)
    await looked(harbour)
    assert len(await runs(harbour, agent)) == 1


@each_of(
    ("fields", "goes_on"),
    [
        ({"schedule_enabled": False}, False),
        ({"schedule_cron": "every now and then"}, False),
        ({"schedule_cron": None}, False),
        ({"schedule_prompt": None}, True),
        ({"schedule_prompt": ""}, True),
        ({"expired_at": PAST, "ephemeral": True}, True),
        ({"status": "PENDING_REVIEW"}, True),
    ],
)
async def test_who_may_not_run_starts_nothing(harbour: Harbour, fields: dict[str, Any], goes_on: bool) -> None:
    agent = await scheduled(harbour, **fields)
    await looked(harbour)
    assert await runs(harbour, agent) == []
    last, following = await times(harbour, agent)
    assert last is None
    assert (following is not None and following > now()) is goes_on
    assert following != PAST


@pytest.mark.parametrize("fields", [{"deleted_at": PAST}, {"schedule_next_run": datetime(2999, 1, 1, tzinfo=UTC)}])
async def test_who_is_gone_or_not_due_is_left_alone(harbour: Harbour, fields: dict[str, Any]) -> None:
    agent = await scheduled(harbour, **fields)
    before = await times(harbour, agent)
    await looked(harbour)
    assert (await runs(harbour, agent), await times(harbour, agent)) == ([], before)


async def test_a_time_that_comes_while_it_runs_is_left_out(harbour: Harbour) -> None:
    agent, may_end = await scheduled(harbour), asyncio.Event()

    async def works(job: Job, sink: Sink) -> Outcome:
        await may_end.wait()
        return Outcome()

    harbour.agents.acts[agent.id] = works
    await looked(harbour)
    await harbour.estate.owner.execute("UPDATE agents SET schedule_next_run = $2 WHERE id = $1", agent.id, PAST)
    await looked(harbour)
    may_end.set()
    await ended(harbour, agent)
    assert len(await runs(harbour, agent)) == 1
    _, following = await times(harbour, agent)
    assert following is not None
    assert following > now()
