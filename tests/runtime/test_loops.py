"""An agent whose runs on a mission get nowhere is paused there, until a person lets it go on."""

from typing import Any

import orjson
import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Assignment, Mission, MissionTask
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.staff.runs import work
from resolvers.staff.runs.finishing import finish_run
from resolvers.staff.runs.pauses import MOST, resume_work
from tests.runtime.estate import Estate

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


class Work:
    """Of one agent on one mission."""

    def __init__(self, estate: Estate, agent: Agent, mission: Mission) -> None:
        self.estate, self.agent, self.mission = estate, agent, mission

    @classmethod
    async def on_a_mission(cls, estate: Estate) -> "Work":
        here = {"workspace_id": estate.workspace.id}
        crew = Crew(name="Deck", slug=f"deck-{new_id()}", **here)
        await estate.add(crew)
        agent = await estate.agent(crew_id=crew.id)
        mission = Mission(crew_id=crew.id, lead_agent_id=agent.id, trace_id=new_id(), title="Sail", **here)
        await estate.add(mission, Chat(id=mission.id, agent_id=agent.id, **here))
        return cls(estate, agent, mission)

    async def run(
        self, status: str = "FAILED", said: str | None = None, agent: Agent | None = None, task: int | None = None
    ) -> None:
        """One run of it, from the assignment to the end: for a task of the mission, or for none."""
        who, here = agent or self.agent, {"workspace_id": self.estate.workspace.id}
        given = Assignment(chat_id=self.mission.id, assigned_by_id=who.id, assigned_to_id=who.id, task="Hoist", **here)
        run = Run(agent_id=who.id, assignment_id=given.id, prompt="Hoist", **here)
        await self.estate.add(given, run)
        if task is not None:
            await self._is_of(task, given)
        [claim] = [each for each in await work.claim("w", 100, seconds=30.0) if each.run_id == run.id]
        end: dict[str, Any] = {"id": run.id, "lease": claim.lease, "status": status, "error_message": "No wind"}
        reply = {} if said is None else {"reply": {"content": said, "parts": []}}
        await finish_run(Caller.service("runtime", self.estate.workspace.id), end | reply)

    async def _is_of(self, order: int, given: Assignment) -> None:
        """The task stands on this assignment from here on, whatever it stood on."""
        here = {"workspace_id": self.estate.workspace.id, "mission_id": self.mission.id}
        sql = "UPDATE mission_tasks SET assignment_id = $3 WHERE mission_id = $1 AND task_order = $2"
        if await self.estate.owner.execute(sql, self.mission.id, order, given.id) == "UPDATE 0":
            task = MissionTask(title=f"Task {order}", task_order=order, assignment_id=given.id, **here)
            await self.estate.add(task)

    async def pauses(self) -> list[Any]:
        return await self.estate.owner.fetch(
            "SELECT * FROM work_pauses WHERE mission_id = $1 ORDER BY created_at", self.mission.id
        )

    async def told(self) -> list[str]:
        told = [kind for kind, payload in await self.estate.events() if payload.get("mission_id") == self.mission.id]
        return [kind for kind in told if kind.startswith("agent.work")]


@pytest.fixture
async def at_work(estate: Estate) -> Work:
    return await Work.on_a_mission(estate)


async def test_runs_that_fail_in_a_row_pause_the_agent(at_work: Work) -> None:
    for _ in range(MOST - 1):
        await at_work.run()
    assert await at_work.pauses() == []
    await at_work.run("TIMEOUT")
    [pause] = await at_work.pauses()
    assert (pause["agent_id"], pause["runs"], pause["last_error"]) == (at_work.agent.id, MOST, "No wind")
    assert await at_work.told() == ["agent.work_paused"]
    item = await at_work.estate.owner.fetchrow(
        "SELECT title, target_role, blocking FROM inbox_items WHERE source_id = $1", f"work_pause_{pause['id']}"
    )
    assert item is not None
    assert tuple(item) == (f"{at_work.agent.name} makes no progress on Sail", "MANAGER", True)
    await at_work.run()
    assert len(await at_work.pauses()) == 1


async def test_a_run_that_gets_somewhere_breaks_the_row(at_work: Work) -> None:
    for _ in range(MOST - 1):
        await at_work.run()
    await at_work.run("COMPLETED", "The sail is up")
    for _ in range(MOST - 1):
        await at_work.run()
    assert await at_work.pauses() == []


async def test_to_say_the_same_again_is_no_progress(at_work: Work) -> None:
    await at_work.run("COMPLETED", "Nothing to do")
    for _ in range(MOST - 1):
        await at_work.run("COMPLETED", "Nothing to do")
    assert await at_work.pauses() == []  # the first one said something new
    await at_work.run("COMPLETED", "Nothing to do")
    assert len(await at_work.pauses()) == 1


async def test_other_tasks_may_be_answered_alike(at_work: Work) -> None:
    """As long as each stands; one that is done over and over is not."""
    for n in range(MOST + 2):
        await at_work.run("COMPLETED", "Done.", task=n)
    for _ in range(MOST):
        await at_work.run("COMPLETED", "Done.", task=MOST + 2)
    assert await at_work.pauses() == []  # the first of these was of another task
    await at_work.run("COMPLETED", "Done.", task=MOST + 2)
    assert len(await at_work.pauses()) == 1


async def test_runs_that_are_called_off_and_runs_of_others_do_not_count(at_work: Work) -> None:
    other = await at_work.estate.agent()
    for _ in range(MOST - 1):
        await at_work.run()
        await at_work.run("CANCELLED")
        await at_work.run(agent=other)
    assert await at_work.pauses() == []


async def test_a_person_lets_it_go_on_and_it_is_counted_anew(at_work: Work) -> None:
    for _ in range(MOST):
        await at_work.run()
    [pause] = await at_work.pauses()
    place, caller = at_work.estate.workspace.id, at_work.estate.caller
    answer = await resume_work(caller, {"id": pause["id"]}, place=place)
    assert orjson.loads(answer.body or b"{}") is not None
    [resumed] = await at_work.pauses()
    assert resumed["resumed_by_user_id"] == at_work.estate.user_id
    assert resumed["resumed_at"] is not None
    with pytest.raises(Refusal) as refused:
        await resume_work(caller, {"id": pause["id"]}, place=place)
    assert refused.value.code is Code.CONFLICT
    for _ in range(MOST - 1):
        await at_work.run()
    assert len(await at_work.pauses()) == 1
    await at_work.run()
    assert len(await at_work.pauses()) == 2
    assert await at_work.told() == ["agent.work_paused", "agent.work_resumed", "agent.work_paused"]
