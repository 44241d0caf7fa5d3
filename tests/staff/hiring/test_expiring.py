"""The end of agents that were hired for a while: by the clock, once, with all that is told of it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from resolvers.kernel.background.clocks import CLOCKS, across_workspaces
from resolvers.staff.hiring.expiring import END, EXPIRE, enqueue_expired
from tests.work.missions.conftest import harbour
from tests.work.missions.harbour import Berth, Harbour
from tests.world import now

__all__ = ["harbour"]
pytestmark = pytest.mark.anyio
UNFINISHED = (
    "SELECT count(*) FROM dbos.workflow_status WHERE name = $1 AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
)


def test_the_clock_ticks_every_minute() -> None:
    assert CLOCKS[EXPIRE.name].every == timedelta(minutes=1)


async def hired(berth: Berth, ends: timedelta, **values: Any) -> Agent:
    given = {"name": "Ada", "slug": new_id(), "crew_id": berth.crew.id, "ephemeral": True, "expires_at": now() + ends}
    agent = Agent(workspace_id=berth.estate.workspace.id, **(given | values))
    await berth.estate.add(agent)
    return agent


async def looked(berth: Berth) -> None:
    await across_workspaces(enqueue_expired)
    async with asyncio.timeout(30):
        while await berth.estate.owner.fetchval(UNFINISHED, END.name):
            await asyncio.sleep(0.02)


async def test_the_time_of_an_agent_ends_once(harbour: Harbour) -> None:
    berth = await harbour.crew()
    over = await hired(berth, -timedelta(minutes=1))
    alive = await hired(berth, timedelta(hours=1))
    permanent = await hired(berth, -timedelta(minutes=1), ephemeral=False)
    for _ in range(2):
        await looked(berth)
    rows = await berth.estate.owner.fetch("SELECT id, expired_at FROM agents WHERE crew_id = $1", berth.crew.id)
    ended = {row["id"] for row in rows if row["expired_at"] is not None}
    assert ended & {over.id, alive.id, permanent.id} == {over.id}
    told = "SELECT payload FROM events WHERE type = 'agent.expired' AND payload ->> 'id' = $1"
    (event,) = await berth.estate.owner.fetch(told, over.id)
    assert (event["payload"]["crew_id"], event["payload"]["name"]) == (berth.crew.id, "Ada")
    kept = "SELECT count(*) FROM journal_entries WHERE entry_type = 'agent.expired' AND agent_id = $1"
    assert await berth.estate.owner.fetchval(kept, over.id) == 1
