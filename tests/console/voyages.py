"""A mission under way, with a task in each state and everything else that its page shows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.staff.assignments import Escalation, EscalationType
from models.staff.chats import Chat, ChatMode
from models.staff.runs import Run, RunStatus
from models.work.missions import (
    Assignment,
    AssignmentStatus,
    Checkpoint,
    Mission,
    MissionStatus,
    MissionTask,
    TaskStatus,
)
from models.work.work_pauses import WorkPause
from tests.world import World, now

TABLES = (
    "escalations", "budgets", "work_pauses", "runs", "checkpoints", "mission_tasks", "missions", "assignments",
    "journal", "chats",
)  # fmt: skip
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
MARKDOWN = f"**Done**, see [this](javascript:document.title='owned') {HOSTILE}"
PLAN = (
    ("Read the old changelog", TaskStatus.COMPLETED, ()),
    ("List what was merged", TaskStatus.COMPLETED, ()),
    (f"Sort the changes {HOSTILE}", TaskStatus.COMPLETED, (0, 1)),
    ("Write the breaking changes", TaskStatus.AWAITING_APPROVAL, (2,)),
    ("Write the new features", TaskStatus.IN_PROGRESS, (2,)),
    ("Write the fixes", TaskStatus.FAILED, (2,)),
    ("Put it together", TaskStatus.BLOCKED, (3, 4, 5)),
    ("Translate it", TaskStatus.BLOCKED, (6,)),
    ("Thank the contributors", TaskStatus.PENDING, ()),
    ("Draw a picture", TaskStatus.SKIPPED, ()),
)


@dataclass
class Voyage:
    crew: str
    lead: str
    mission: Mission
    tasks: list[MissionTask]
    run: Run

    def task(self, title: str) -> MissionTask:
        return next(task for task in self.tasks if task.title.startswith(title))


@pytest.fixture
async def voyage(place: World) -> AsyncIterator[Voyage]:
    yield await under_way(place)
    for table in TABLES:
        await place.database.execute(f"DELETE FROM {table}")


@pytest.fixture
async def crew(place: World) -> AsyncIterator[str]:
    """The id of the crew, which has a lead; missions are gone after the test."""
    yield (await led(place))[0]
    for table in TABLES:
        await place.database.execute(f"DELETE FROM {table}")


async def led(place: World) -> tuple[str, str, str]:
    """The crew, its lead, and its other agent."""
    crew = await place.database.fetchval("SELECT id FROM crews WHERE workspace_id = $1", place.workspace.id)
    lead = await place.database.fetchval("UPDATE agents SET agent_role = 'LEAD' WHERE slug = 'scout' RETURNING id")
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'builder'")
    return str(crew), str(lead), str(agent)


async def under_way(place: World) -> Voyage:
    crew, lead, agent = await led(place)
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    began = now() - timedelta(minutes=11)
    id = new_id()
    chat = Chat(id=id, agent_id=lead, agent_slug="scout", title="Mission: Release", mode=ChatMode.MISSION, **here)
    mission = Mission(
        id=id, crew_id=crew, lead_agent_id=lead, trace_id=f"mission-{id}", title="Write the release notes",
        description=f"# Notes\n\nAll that changed since 2.0. {MARKDOWN}", plan="First read, then write.",
        status=MissionStatus.IN_PROGRESS, created_at=began, started_at=began, **here,
    )  # fmt: skip
    given = Assignment(
        chat_id=id, assigned_by_id=lead, assigned_to_id=agent, task="Sort the changes",
        status=AssignmentStatus.COMPLETED, started_at=began, finished_at=now(), **here,
    )  # fmt: skip
    run = Run(
        agent_id=agent, assignment_id=given.id, chat_id=id, status=RunStatus.COMPLETED, prompt="Sort the changes",
        created_at=began, started_at=began, finished_at=began + timedelta(seconds=80), **here,
    )  # fmt: skip
    tasks: list[MissionTask] = []
    for number, (title, status, before) in enumerate(PLAN):
        done = status in (TaskStatus.COMPLETED, TaskStatus.FAILED)
        task = MissionTask(
            mission_id=id, title=title, status=status, task_order=number, assigned_agent_id=agent,
            depends_on=[tasks[at].id for at in before], started_at=began if done or number == 4 else None,
            completed_at=now() if done else None, duration_ms=80_000 + number if done else None,
            assignment_id=given.id if number == 2 else None,
            result_summary=MARKDOWN if status is TaskStatus.COMPLETED else None,
            error_message=f"No access: {HOSTILE}" if status is TaskStatus.FAILED else None,
            approval_required=number == 3, handoff_context="Two of them rename a field." if number == 3 else None,
            description="What the readers **have to** change.", created_at=began, **here,
        )  # fmt: skip
        tasks.append(task)
    asked = Escalation(
        crew_id=crew, from_agent_id=agent, from_name="Builder", from_slug="builder", type=EscalationType.TEXT,
        reason=f"Which branch is released? {HOSTILE}", context="main is ahead by 14 commits", chat_id=id,
        created_at=began, **here,
    )  # fmt: skip
    budget = Budget(
        scope=BudgetScope.mission, mission_id=id, period=BudgetPeriod.total, amount_micros=5_000_000,
        reservation_micros=1, **here,
    )  # fmt: skip
    pause = WorkPause(mission_id=id, agent_id=agent, runs=3, last_error="The provider refuses", **here)
    checkpoint = Checkpoint(
        crew_id=crew, mission_id=id, label="Before the fixes", journal_cursor=f"j{0:014x}je1",
        state={"agent_memory": {}, "pending_tasks": [], "open_assignments": []}, **here,
    )  # fmt: skip
    await place.add(chat, mission, given, run, *tasks, asked, budget, pause, checkpoint)
    return Voyage(crew, lead, mission, tasks, run)
