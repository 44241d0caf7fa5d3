"""The work on a mission: ready tasks go to agents, ended ones are noted; in the end it is up for review or has failed.

Nothing waits in between. A mission is looked at when it is started, when an assignment of it has ended, and at its
deadline (contract: missions.behaviour).
"""

import secrets
from datetime import timedelta
from typing import Any

from sqlmodel import col

from models.actors import ActorType
from models.agents import Agent, AgentRole, LeadMode
from models.bounds import LINE, cut
from models.crews import ConnectionDirection, ConnectionStatus, CrewConnection
from models.inbox import InboxKind, SenderType
from models.issues import ActivityAction, IssueActivity, IssueComment
from models.missions import (
    ISSUE_STATES,
    TASK_BY_ENGINE,
    Assignment,
    AssignmentStatus,
    Mission,
    MissionStatus,
    MissionTask,
    MissionType,
    TaskStatus,
)
from models.runs import Run
from models.workspaces import Role
from resolvers.inbox.events import InboxItemUpdated
from resolvers.inbox.putting import put
from resolvers.kernel import NOW, Context, Id, Input, Topic, job
from resolvers.missions.briefs import brief_of, planning_of
from resolvers.missions.events import MissionStatusChanged, MissionUpdated, TaskStatusChanged, TaskUpdated
from resolvers.runs.events import RUN_STARTS
from resolvers.runs.lifecycle import hold_starts, start_run
from resolvers.runs.pauses import PAUSED, is_paused

TRIGGER = "ASSIGNMENT"
FIRST_LOOK = timedelta(seconds=3)
"""After the start: who has started the work may think again (contract: missions.behaviour.start_of_a_loop)."""
LIFE = timedelta(hours=2)
ENDED = (AssignmentStatus.COMPLETED, AssignmentStatus.FAILED, AssignmentStatus.CANCELLED, AssignmentStatus.TIMEOUT)
TASK_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED)
NO_AGENT = "The task has no agent that could do it"
NOT_CONNECTED = "The crew of the agent is not connected with the crew of the mission"
TIMED_OUT = "The mission did not end within two hours"


class OfMission(Input):
    mission_id: Id


WORK_BEGINS = (MissionStatusChanged, MissionUpdated)
_EVENTS = (*WORK_BEGINS, TaskStatusChanged, TaskUpdated, InboxItemUpdated, *RUN_STARTS)
DRIVE = job("missions.drive", OfMission, unique="{mission_id}", serial=True, emits=_EVENTS)
"""A mission is looked at: what can be done next, and whether it has come to its end."""
EXPIRE = job("missions.expire", OfMission, emits=_EVENTS)
"""The deadline of the work on a mission."""


async def begin_work(ctx: Context, mission: Mission) -> None:
    """Of a mission that the call has set IN_PROGRESS. What the user interface hears is no state: STARTED. Operations
    declare WORK_BEGINS.
    """
    ctx.emit(MissionStatusChanged(id=mission.id, status="STARTED", title=mission.title))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status="STARTED", title=mission.title))
    now = await ctx.now()
    ctx.enqueue(DRIVE, at=now + FIRST_LOOK, mission_id=mission.id)
    ctx.enqueue(EXPIRE, at=now + LIFE, mission_id=mission.id)


async def drive(ctx: Context, mission_id: str) -> None:
    """One look at a mission."""
    mission = await _under_way(ctx, mission_id)
    if mission is None:
        return
    tasks = (
        await ctx.select(MissionTask, col(MissionTask.mission_id) == mission.id)
        .order_by(col(MissionTask.task_order), col(MissionTask.id))
        .all()
    )
    if not tasks:
        await _plan(ctx, mission)
        return
    for n, task in enumerate(tasks):
        tasks[n] = await _noted(ctx, mission, task)
    done = {task.id for task in tasks if task.status is TaskStatus.COMPLETED}
    for n, task in enumerate(tasks):
        if task.status is TaskStatus.BLOCKED and done.issuperset(task.depends_on):
            task = tasks[n] = await _moved(ctx, mission, task, TaskStatus.PENDING)
        if task.status is TaskStatus.PENDING and done.issuperset(task.depends_on):
            tasks[n] = await _dispatched(ctx, mission, task, tasks)
    await _settled(ctx, mission, tasks)


async def expire(ctx: Context, mission_id: str) -> None:
    """A mission that is still under way two hours after its start has failed."""
    mission = await _under_way(ctx, mission_id)
    if mission is None or mission.started_at is None or mission.started_at + LIFE > await ctx.now():
        return
    waiting = (col(MissionTask.mission_id) == mission.id, col(MissionTask.status) == TaskStatus.AWAITING_APPROVAL)
    await ctx.move_all(TASK_BY_ENGINE, TaskStatus.FAILED, *waiting, error_message=TIMED_OUT)
    await _end(ctx, mission, MissionStatus.FAILED)


async def _under_way(ctx: Context, mission_id: str) -> Mission | None:
    mission = await ctx.select(Mission, col(Mission.id) == mission_id).locked().first()
    return mission if mission is not None and mission.status is MissionStatus.IN_PROGRESS else None


# ---- tasks -----------------------------------------------------------------------------------------------------------


async def _noted(ctx: Context, mission: Mission, task: MissionTask) -> MissionTask:
    """A task whose assignment has ended ends with it."""
    if task.status is not TaskStatus.IN_PROGRESS or task.assignment_id is None:
        return task
    assignment = await ctx.select(Assignment, col(Assignment.id) == task.assignment_id).first()
    if assignment is None or assignment.status not in ENDED:
        return task
    status = TaskStatus.COMPLETED if assignment.status is AssignmentStatus.COMPLETED else TaskStatus.FAILED
    duration = None
    if assignment.started_at and assignment.finished_at:
        duration = int((assignment.finished_at - assignment.started_at).total_seconds() * 1000)
    changes = {
        "result_summary": assignment.result_summary,
        "error_message": assignment.error_message,
        "duration_ms": duration,
    }
    agent_id = assignment.assigned_to_id
    action = ActivityAction.task_completed if status is TaskStatus.COMPLETED else ActivityAction.task_failed
    ctx.record(
        IssueActivity(
            mission_id=mission.id, actor_type=ActorType.agent, actor_id=agent_id, action=action, details=task.title
        )
    )
    told = assignment.result_summary or assignment.error_message
    if told:
        ctx.record(IssueComment(mission_id=mission.id, author_type=ActorType.agent, author_id=agent_id, body=told))
    return await _moved(ctx, mission, task, status, **changes)


async def _dispatched(ctx: Context, mission: Mission, task: MissionTask, tasks: list[MissionTask]) -> MissionTask:
    """A task that nothing holds back goes to its agent, or fails for want of one."""
    agent = await ctx.select(Agent, col(Agent.id) == (task.assigned_agent_id or mission.lead_agent_id)).first()
    fault = NO_AGENT if agent is None else None if await _is_connected(ctx, mission, agent) else NOT_CONNECTED
    if fault is None and agent is not None and await is_paused(ctx, agent.id, mission.id):
        fault = PAUSED
    if agent is None or fault is not None:
        return await _moved(ctx, mission, task, TaskStatus.FAILED, error_message=fault)
    assignment = await _assign(ctx, mission, agent, await brief_of(ctx, mission, task, tasks))
    return await _moved(
        ctx, mission, task, TaskStatus.IN_PROGRESS, assignment_id=assignment.id, assigned_agent_id=agent.id
    )


async def _is_connected(ctx: Context, mission: Mission, agent: Agent) -> bool:
    """Agents of another crew work for it over an active connection."""
    if agent.crew_id is None or agent.crew_id == mission.crew_id:
        return True
    there, back = (mission.crew_id, agent.crew_id), (agent.crew_id, mission.crew_id)
    ends = (col(CrewConnection.from_crew_id).in_(there), col(CrewConnection.to_crew_id).in_(there))
    active = await ctx.select(CrewConnection, col(CrewConnection.status) == ConnectionStatus.active, *ends).all()
    directions = {(each.from_crew_id, each.to_crew_id): each.direction for each in active}
    return there in directions or directions.get(back) is ConnectionDirection.bidirectional


async def _assign(ctx: Context, mission: Mission, agent: Agent, prompt: str) -> Assignment:
    """An assignment from the lead, and the run that carries it out."""
    await hold_starts(ctx, agent.id)
    assignment = Assignment(
        id=f"m_{secrets.token_hex(12)}",
        chat_id=mission.id,
        assigned_by_id=mission.lead_agent_id,
        assigned_to_id=agent.id,
        task=prompt,
        status=AssignmentStatus.RUNNING,
        started_at=NOW,
    )
    await ctx.insert(assignment)
    data = {
        "cli_adapter": agent.cli_adapter,
        "crew_id": agent.crew_id,
        "agent_slug": agent.slug,
        "mission_id": mission.id,
        "tags": ["mission"],
    }
    run = Run(
        agent_id=agent.id,
        assignment_id=assignment.id,
        triggered_by=mission.lead_agent_id,
        trigger_type=TRIGGER,
        prompt=prompt,
        data=data,
    )
    await start_run(ctx, run, conflict={})
    ctx.ring(Topic.queue)
    return assignment


async def _moved(ctx: Context, mission: Mission, task: MissionTask, to: TaskStatus, **changes: Any) -> MissionTask:
    ctx.emit(TaskStatusChanged(mission_id=mission.id, id=task.id, status=to))
    ctx.emit(TaskUpdated(id=task.id, mission_id=mission.id, status=to))
    return await ctx.move(TASK_BY_ENGINE, task, to, **changes)


# ---- without tasks ---------------------------------------------------------------------------------------------------


async def _plan(ctx: Context, mission: Mission) -> None:
    """The lead is asked once a start. What it does itself, or has others do, is one group of assignments; when all have
    ended, so has the mission.
    """
    group = (
        col(Assignment.chat_id) == mission.id,
        col(Assignment.created_at) >= (mission.started_at or mission.created_at),
    )
    assignments = await ctx.select(Assignment, *group).all()
    if not assignments:
        lead = await ctx.select(Agent, col(Agent.id) == mission.lead_agent_id).first()
        if lead is not None and lead.agent_role is AgentRole.LEAD and lead.lead_mode is not LeadMode.passive:
            await _assign(ctx, mission, lead, planning_of(mission))
        return
    if all(each.status in ENDED for each in assignments):
        well = any(each.status is AssignmentStatus.COMPLETED for each in assignments)
        await _end(ctx, mission, MissionStatus.REVIEW if well else MissionStatus.FAILED)


# ---- the end ---------------------------------------------------------------------------------------------------------


async def _settled(ctx: Context, mission: Mission, tasks: list[MissionTask]) -> None:
    states = {task.status for task in tasks}
    if states <= {*TASK_ENDED}:
        await _end(ctx, mission, MissionStatus.FAILED if TaskStatus.FAILED in states else MissionStatus.REVIEW)
    elif not states & {TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.AWAITING_APPROVAL}:
        await _end(ctx, mission, MissionStatus.FAILED)  # what is left waits for a task that has failed


async def _end(ctx: Context, mission: Mission, status: MissionStatus) -> None:
    await ctx.move(ISSUE_STATES, mission, status, completed_at=NOW)
    ctx.emit(MissionStatusChanged(id=mission.id, status=status, title=mission.title))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=status, title=mission.title))
    if status is MissionStatus.REVIEW and mission.mission_type is MissionType.issue:
        await _put_up_for_review(ctx, mission)


async def _put_up_for_review(ctx: Context, mission: Mission) -> None:
    """A message in the inbox of managers, once an issue (contract: extras.inbox_sources)."""
    await put(
        ctx,
        InboxKind.message,
        f"issue_review_{mission.id}",
        target_role=Role.MANAGER,
        title=cut(f"{mission.identifier} ready for review", LINE * 3),
        body_md=mission.title,
        sender_type=SenderType.system,
        sender_name="Mission engine",
        payload={
            "mission_id": mission.id,
            "issue_identifier": mission.identifier,
            "new_status": MissionStatus.REVIEW,
        },
    )
