"""The work on a mission: it assigns ready tasks to agents and records ended ones; at the end the mission is in review
or failed.

Nothing waits in between. A job looks at the mission when it is started, when one of its assignments ends, after a
change by a user, and at its deadline (contract: missions.behaviour). Each look consists of a few steps, and each step
is a transaction that locks the mission's row: every write happens once, and the remaining work is in the rows. See
docs/work.md.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Double, cast, func, select
from sqlmodel import col

from models.bounds import LINE, cut
from models.staff.agents import Agent, AgentRole, LeadMode
from models.staff.chats import Chat, ChatMode
from models.work.missions import (
    MISSION_ACTIONS,
    TASK_BY_ENGINE,
    Assignment,
    AssignmentStatus,
    Mission,
    MissionStatus,
    MissionTask,
    MissionType,
    TaskStatus,
)
from resolvers.kernel import Context, Event, Id, Input, job
from resolvers.staff.runs.pauses import is_paused
from resolvers.work.missions.briefs import brief_of, planning_of
from resolvers.work.missions.calling_off import WORK_IS_CALLED_OFF, call_off
from resolvers.work.missions.completing import ENDED, TASK_ENDS, Tasks
from resolvers.work.missions.dispatching import WORK_IS_GIVEN, agent_for, assign
from resolvers.work.missions.events import MissionStatusChanged, MissionUpdated
from resolvers.work.missions.graph import IN_ORDER
from resolvers.work.missions.holding import take_back
from resolvers.work.missions.moving import at_work, move_mission
from resolvers.work.missions.reviewing import put_up_for_review, tell_of_failure

FIRST_LOOK = timedelta(seconds=3)
"""After the start: who has started the work may think again (contract: missions.behaviour.start_of_a_loop)."""
LIFE = timedelta(hours=2)
TASK_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED)
TIMED_OUT = "The mission did not end within two hours"


class MissionToDrive(Input):
    mission_id: Id


WORK_BEGINS = (MissionStatusChanged, MissionUpdated)
_EVENTS: tuple[type[Event], ...] = (
    *WORK_BEGINS,
    *TASK_ENDS,
    *WORK_IS_GIVEN,
    *WORK_IS_CALLED_OFF,
)
DRIVE = job("missions.drive", MissionToDrive, unique="{mission_id}", serial=True, emits=_EVENTS)
"""A mission is looked at: what can be done next, and whether it has come to its end."""
EXPIRE = job("missions.expire", MissionToDrive, emits=_EVENTS)
"""The deadline of the work on a mission."""


async def begin_work(ctx: Context, mission: Mission) -> None:
    """Starts a mission that the call has set IN_PROGRESS. User interfaces receive STARTED, which is not a state.
    Operations declare WORK_BEGINS.
    """
    await ensure_chat(ctx, mission)
    ctx.emit(MissionStatusChanged(id=mission.id, status="STARTED", title=mission.title))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status="STARTED", title=mission.title))
    now = await ctx.now()
    ctx.enqueue(DRIVE, at=now + FIRST_LOOK, mission_id=mission.id)
    ctx.enqueue(EXPIRE, at=now + LIFE, mission_id=mission.id)


async def ensure_chat(ctx: Context, mission: Mission) -> None:
    """Creates the chat with the mission's id if it is missing: assignments need it, and not every command that creates
    a mission creates it.
    """
    if await ctx.select(Chat, col(Chat.id) == mission.id).exists():
        return
    kind = "Issue" if mission.mission_type is MissionType.issue else "Mission"
    title, owner = cut(f"{kind}: {mission.title}", LINE), ctx.user_id or None
    await ctx.insert(
        Chat(id=mission.id, agent_id=mission.lead_agent_id, title=title, mode=ChatMode.MISSION, created_by=owner)
    )


def is_worked_on(mission: Mission) -> bool:
    """True if the mission is IN_PROGRESS and was started: setting the state by hand starts no work."""
    return mission.status is MissionStatus.IN_PROGRESS and mission.started_at is not None


def deadline_of(mission: Mission) -> datetime:
    """When the work on a mission that was started ends at the latest, unless it is paused once more."""
    assert mission.started_at is not None
    return mission.started_at + LIFE + timedelta(milliseconds=mission.paused_ms)


def look_again(ctx: Context, mission: Mission) -> None:
    """Something has changed that the work on the mission may go on from."""
    if is_worked_on(mission):
        ctx.enqueue(DRIVE, mission_id=mission.id)


async def tasks_of(ctx: Context, mission_id: str) -> list[MissionTask]:
    return await ctx.select(MissionTask, col(MissionTask.mission_id) == mission_id).order_by(*IN_ORDER).all()


async def _under_way(ctx: Context, mission_id: str) -> Tasks | None:
    """The tasks of a mission that is worked on, whose row is held from here on."""
    mission = await ctx.select(Mission, col(Mission.id) == mission_id).locked().first()
    if mission is None or not is_worked_on(mission):
        return None
    return Tasks(mission, {task.id: task for task in await tasks_of(ctx, mission_id)})


# ---- one look --------------------------------------------------------------------------------------------------------


async def note(ctx: Context, mission_id: str) -> None:
    """First step: records assignments that have ended since the last look, and tasks that can now begin."""
    tasks = await _under_way(ctx, mission_id)
    if tasks is None:
        return
    if not tasks.rows:
        await _plan(ctx, tasks.mission)
        return
    await tasks.note(ctx)
    await tasks.heal(ctx)


async def ready(ctx: Context, mission_id: str) -> list[str]:
    """Then: the tasks that nothing holds back; none while the mission is paused."""
    mission = await ctx.select(Mission, col(Mission.id) == mission_id).first()
    if mission is None or not is_worked_on(mission) or mission.paused_at is not None:
        return []
    return [t.id for t in Tasks(mission, {t.id: t for t in await tasks_of(ctx, mission_id)}).ready()]


async def dispatch(ctx: Context, mission_id: str, task_id: str) -> None:
    """Assigns one task to its agent, or fails it if there is no agent."""
    tasks = await _under_way(ctx, mission_id)
    if tasks is None or tasks.mission.paused_at is not None:
        return
    task = next((task for task in tasks.ready() if task.id == task_id), None)
    if task is None:
        return
    mission, rows = tasks.mission, list(tasks.rows.values())
    agent = await agent_for(ctx, mission, task, rows)
    if isinstance(agent, str):
        await tasks.move(ctx, task, TaskStatus.FAILED, error_message=agent)
        return
    assignment = await assign(ctx, mission, agent, await brief_of(ctx, mission, task, rows))
    changes = {"assignment_id": assignment.id, "assigned_agent_id": agent.id}
    await tasks.move(ctx, task, TaskStatus.IN_PROGRESS, **changes)


async def settle(ctx: Context, mission_id: str) -> None:
    """Last: whether the mission has come to its end, or can get no further."""
    tasks = await _under_way(ctx, mission_id)
    if tasks is None or not tasks.rows:
        return
    states = {task.status for task in tasks.rows.values()}
    if states <= {*TASK_ENDED}:
        well = TaskStatus.FAILED not in states
        await _end(ctx, tasks.mission, MissionStatus.REVIEW if well else MissionStatus.FAILED)
    elif tasks.ready():
        if tasks.mission.paused_at is None:
            look_again(ctx, tasks.mission)
    elif not states & {TaskStatus.IN_PROGRESS, TaskStatus.AWAITING_APPROVAL}:
        await _end(ctx, tasks.mission, MissionStatus.FAILED)  # what is left waits for a task that has failed


async def expire(ctx: Context, mission_id: str) -> None:
    """A mission that is still under way two hours after its start has failed, and its agents are called off. Pauses do
    not count.
    """
    tasks = await _under_way(ctx, mission_id)
    if tasks is None or tasks.mission.paused_at is not None or deadline_of(tasks.mission) > await ctx.now():
        return
    await take_back(ctx, mission_id)
    waiting = (col(MissionTask.mission_id) == mission_id, col(MissionTask.status) == TaskStatus.AWAITING_APPROVAL)
    await ctx.move_all(TASK_BY_ENGINE, TaskStatus.FAILED, *waiting, error_message=TIMED_OUT)
    await call_off(ctx, mission_id, TaskStatus.FAILED, TIMED_OUT)
    await _end(ctx, tasks.mission, MissionStatus.FAILED)


# ---- without tasks ---------------------------------------------------------------------------------------------------


async def _plan(ctx: Context, mission: Mission) -> None:
    """Asks the lead once per start. Its own work and its delegated work are one group of assignments; when all have
    ended, so has the mission. A mission whose lead is paused has failed.
    """
    group = (
        col(Assignment.chat_id) == mission.id,
        col(Assignment.created_at) >= (mission.started_at or mission.created_at),
    )
    assignments = await ctx.select(Assignment, *group).all()
    if not assignments and mission.paused_at is not None:
        return
    if not assignments:
        lead = await ctx.select(Agent, col(Agent.id) == mission.lead_agent_id).first()
        if lead is None or lead.agent_role is not AgentRole.LEAD or lead.lead_mode is LeadMode.passive:
            return
        if await is_paused(ctx, lead.id, mission.id):
            await _end(ctx, mission, MissionStatus.FAILED)
        else:
            await assign(ctx, mission, lead, planning_of(mission))
        return
    if all(each.status in ENDED for each in assignments):
        well = any(each.status is AssignmentStatus.COMPLETED for each in assignments)
        await _end(ctx, mission, MissionStatus.REVIEW if well else MissionStatus.FAILED)


# ---- the end ---------------------------------------------------------------------------------------------------------


async def _end(ctx: Context, mission: Mission, status: MissionStatus) -> None:
    await move_mission(ctx, MISSION_ACTIONS, mission, status, by=at_work(mission), **await _totals(ctx, mission))
    ctx.emit(MissionStatusChanged(id=mission.id, status=status, title=mission.title))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=status, title=mission.title))
    if status is MissionStatus.REVIEW and mission.mission_type is MissionType.issue:
        await put_up_for_review(ctx, mission)
    elif status is MissionStatus.FAILED:
        await tell_of_failure(ctx, mission)


async def _totals(ctx: Context, mission: Mission) -> dict[str, Any]:
    """The total usage of its tasks, if any reported one."""
    tasks = ctx.table(MissionTask)
    sums = {
        "total_token_count": cast(func.sum(tasks.c.token_count), BigInteger),
        "total_estimated_cost": cast(func.sum(tasks.c.estimated_cost), Double()),
    }
    ((tokens, cost),) = await ctx.report(select(*sums.values()).where(tasks.c.mission_id == mission.id))
    return {name: total for name, total in zip(sums, (tokens, cost), strict=True) if total is not None}
