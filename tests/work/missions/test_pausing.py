"""A mission is paused: what has begun goes on, nothing else begins, and nothing is lost when it continues."""

import asyncio
from datetime import timedelta

import pytest

from models.work.missions import Mission, MissionStatus, TaskStatus
from resolvers.work.missions import continue_mission, dispatching, driving, pause_mission, update_mission
from resolvers.work.missions.driving import LIFE, deadline_of
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import says
from tests.work.missions.harbour import Berth, Harbour
from tests.work.missions.test_engine import status
from tests.world import now

pytestmark = pytest.mark.anyio


@pytest.fixture
async def berth(harbour: Harbour) -> Berth:
    return await harbour.crew()


class Gate:
    """An agent that says that it is done once it is let go."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        self.reached.set()
        await self.open.wait()
        await says(sink, "Done")
        return Outcome()


async def states(berth: Berth, mission: Mission) -> list[str]:
    return [task["status"] for task in await berth.tasks(mission)]


@pytest.mark.slow
async def test_what_has_begun_goes_on_and_nothing_else_begins(berth: Berth) -> None:
    gate = berth.harbour.agents.acts[berth.worker.id] = Gate()
    mission = await berth.mission()
    hull = await berth.task(mission, "Hull", 1, berth.worker)
    await berth.task(mission, "Paint", 2, berth.lead, hull, status=TaskStatus.BLOCKED)
    await berth.go(mission)
    await asyncio.wait_for(gate.reached.wait(), 30)
    await berth.go(mission, pause_mission)
    await berth.task(mission, "Rig", 3, berth.lead)
    gate.open.set()
    await status(berth, mission, "Hull", "COMPLETED")
    await status(berth, mission, "Paint", "PENDING")
    await berth.quiet(mission)
    assert await states(berth, mission) == ["COMPLETED", "PENDING", "PENDING"]
    assert (await berth.row(mission)).status == "IN_PROGRESS"
    await berth.go(mission, continue_mission)
    ended = await berth.ended(mission)
    assert (ended.status, ended.paused_at, await states(berth, mission)) == ("REVIEW", None, ["COMPLETED"] * 3)
    assert len(berth.harbour.agents.of(berth.lead)) == 2, "each task once"


@pytest.mark.slow
async def test_work_that_waits_for_a_slot_is_held_back_too(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "MOST_OF_CREW", 1)
    gate = berth.harbour.agents.acts[berth.worker.id] = Gate()
    mission, other = await berth.mission(), await berth.mission()
    await berth.task(mission, "Hull", 1, berth.worker)
    await berth.task(mission, "Rig", 2, berth.lead)
    await berth.go(mission)
    await asyncio.wait_for(gate.reached.wait(), 30)
    await status(berth, mission, "Rig", "IN_PROGRESS")
    await berth.task(other, "Bell", 1, berth.lead)
    await berth.go(other)
    await berth.go(mission, pause_mission)
    gate.open.set()
    assert (await berth.ended(other)).status == "REVIEW", "others behind it get their turn"
    await berth.quiet(mission)
    assert [row["status"] for row in await berth.of("assignments", mission)] == ["COMPLETED", "QUEUED"]
    await berth.go(mission, continue_mission)
    assert (await berth.ended(mission)).status == "REVIEW"


@pytest.mark.slow
async def test_a_lead_plans_once_it_continues(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "FIRST_LOOK", timedelta(seconds=1))
    mission = await berth.mission()
    await berth.go(mission)
    await berth.go(mission, pause_mission)
    await asyncio.sleep(2)
    await berth.quiet(mission)
    assert await berth.of("assignments", mission) == []
    await berth.go(mission, continue_mission)
    assert (await berth.ended(mission)).status == "REVIEW"
    assert len(await berth.of("assignments", mission)) == 1


async def test_a_mission_in_another_state_is_not_paused_any_more(berth: Berth) -> None:
    mission = await berth.mission(status=MissionStatus.IN_PROGRESS, started_at=now())
    await berth.go(mission, pause_mission)
    await berth.go(mission, update_mission, status="CANCELLED")
    row = await berth.row(mission)
    assert (row.status, row.paused_at, row.paused_by) == ("CANCELLED", None, None)


async def test_a_pause_postpones_the_deadline(berth: Berth) -> None:
    began = now() - 3 * timedelta(hours=1)
    mission = await berth.mission(status=MissionStatus.IN_PROGRESS, started_at=began, paused_at=began + LIFE / 2)
    await berth.task(mission, "Hull", 1, status=TaskStatus.AWAITING_APPROVAL)
    await berth.go(mission, continue_mission)
    row = await berth.row(mission)
    assert row.paused_at is None
    left = deadline_of(row) - now()
    assert timedelta(minutes=59) < left < timedelta(minutes=61), "an hour of two was used before the pause"
