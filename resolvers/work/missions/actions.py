"""Operations on a whole mission: start, restart, resume, clone."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models.base import new_id
from models.bounds import LABEL, cut
from models.work.missions import MISSION_ACTIONS, Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    GRAPHQL_ONLY,
    MOST_LISTED,
    NOW,
    Action,
    Code,
    Context,
    Id,
    Input,
    Output,
    Refusal,
    Subject,
    at_most,
    command,
    extend,
    written,
)
from resolvers.work.missions.calling_off import WORK_IS_CALLED_OFF, call_off
from resolvers.work.missions.driving import WORK_BEGINS, begin_work, tasks_of
from resolvers.work.missions.events import MissionCloned, MissionStarted, MissionUpdated, TaskUpdated
from resolvers.work.missions.missions import MISSION, InCrew, chat_of
from resolvers.work.missions.moving import move_mission
from resolvers.work.missions.plans import CLEARED_BY_A_RESTART, NEXT_ITERATION, downstream, fault_in, set_anew
from resolvers.work.missions.reviewing import taken_up_again
from resolvers.work.missions.tasks import depended_on

RESTARTABLE = (MissionStatus.COMPLETED, MissionStatus.FAILED, MissionStatus.CANCELLED)
STUCK = (TaskStatus.FAILED, TaskStatus.AWAITING_APPROVAL)


class MissionState(Output):
    """The state of a mission."""

    id: str
    status: MissionStatus


extend(MissionState, mission=written(Mission, "id"))


class MissionResumed(Output):
    """An active mission. `reset_tasks` is the number of tasks that start over."""

    id: str
    status: MissionStatus
    reset_tasks: int


async def start(ctx: Context, mission: Mission) -> MissionState:
    """A mission that is PLANNING is worked on from here on. Of two starts at once one is a CONFLICT."""
    if mission.status is not MissionStatus.PLANNING:
        raise Refusal(Code.BAD_REQUEST, f"Only missions in PLANNING can be started; this one is {mission.status}")
    to = MissionStatus.IN_PROGRESS
    await move_mission(ctx, MISSION_ACTIONS, mission, to, refused=Code.BAD_REQUEST, started_at=NOW)
    _check(await tasks_of(ctx, mission.id))
    await begin_work(ctx, mission)
    return MissionState(id=mission.id, status=MissionStatus.IN_PROGRESS)


def _check(tasks: list[MissionTask]) -> None:
    fault = fault_in(tasks)
    if fault is not None:
        raise Refusal(Code.BAD_REQUEST, fault)


@command(
    "missions.start",
    Action.CREATE,
    audit="mission.started",
    subject=MISSION,
    emits=(MissionStarted, *WORK_BEGINS),
    errors=(Code.CONFLICT,),
)
async def start_mission(ctx: Context, mission: Mission, data: InCrew) -> MissionState:
    """Start a mission.

    The mission must be PLANNING, without circular dependencies. Without tasks, the lead plans.
    """
    state = await start(ctx, mission)
    ctx.emit(MissionStarted(id=mission.id, status=MissionStatus.IN_PROGRESS))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=MissionStatus.IN_PROGRESS))
    return state


async def _begin_anew(ctx: Context, tasks: list[MissionTask], anew: set[str]) -> dict[str, TaskStatus]:
    """Returns the new state of each task."""
    states = dict[str, TaskStatus]()
    for status, ids in set_anew(tasks, anew).items():
        cleared: dict[str, Any] = dict.fromkeys(CLEARED_BY_A_RESTART)
        if ids:
            await ctx.update_where(
                MissionTask, col(MissionTask.id).in_(ids), status=status, iteration=NEXT_ITERATION, **cleared
            )
        states |= dict.fromkeys(ids, status)
    return {task.id: states[task.id] for task in tasks if task.id in states}


@command(
    "missions.restart",
    Action.CREATE,
    audit="mission.restarted",
    subject=MISSION,
    emits=(MissionUpdated, *WORK_IS_CALLED_OFF),
    errors=(Code.CONFLICT,),
)
async def restart_mission(ctx: Context, mission: Mission, data: InCrew) -> MissionState:
    """Restart a mission.

    Returns a COMPLETED, FAILED or CANCELLED mission to PLANNING; nothing runs until it is started. Tasks that
    are not COMPLETED start over.
    """
    return await _restart(ctx, mission, set())


async def _restart(ctx: Context, mission: Mission, begun_anew: set[str]) -> MissionState:
    """Tasks that are not COMPLETED start over, and these with all their dependents."""
    if mission.status not in RESTARTABLE:
        raise Refusal(Code.CONFLICT, f"Only ended missions can be restarted; this one is {mission.status}")
    planning = MissionStatus.PLANNING
    await move_mission(ctx, MISSION_ACTIONS, mission, planning, completed_at=None, started_at=None)
    await taken_up_again(ctx, mission)
    await call_off(ctx, mission.id)
    tasks = await tasks_of(ctx, mission.id)
    unfinished = {task.id for task in tasks if task.status is not TaskStatus.COMPLETED}
    await _begin_anew(ctx, tasks, unfinished | downstream(tasks, begun_anew))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=planning))
    return MissionState(id=mission.id, status=planning)


class RestartMissionFrom(Input):
    """A mission, and the tasks of it that start over."""

    id: Id
    task_ids: Annotated[list[Id], Field(min_length=1), at_most(MOST_LISTED)]


@command(
    "missions.restart_from",
    Action.CREATE,
    audit="mission.restarted",
    subject=Subject(Mission, "id"),
    surfaces=GRAPHQL_ONLY,
    emits=(MissionUpdated, TaskUpdated, *WORK_IS_CALLED_OFF),
    errors=(Code.CONFLICT,),
)
async def restart_mission_from(ctx: Context, mission: Mission, data: RestartMissionFrom) -> MissionState:
    """Restart a mission from tasks.

    Returns a COMPLETED, FAILED or CANCELLED mission to PLANNING; nothing runs until it is started. The tasks, all
    tasks that depend on them, and tasks that are not COMPLETED start over.
    """
    tasks = await depended_on(ctx, mission.id, data.task_ids, "task_ids")
    return await _restart(ctx, mission, {task.id for task in tasks})


@command(
    "missions.resume",
    Action.CREATE,
    audit="mission.resumed",
    subject=MISSION,
    emits=(*WORK_BEGINS, TaskUpdated, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def resume_mission(ctx: Context, mission: Mission, data: InCrew) -> MissionResumed:
    """Resume a mission.

    A FAILED mission continues at once: tasks that are FAILED or wait for approval start again, with all tasks that
    depend on them.
    """
    if mission.status is not MissionStatus.FAILED:
        raise Refusal(Code.CONFLICT, f"Only FAILED missions can be resumed; this one is {mission.status}")
    claimed = await move_mission(ctx, MISSION_ACTIONS, mission, MissionStatus.RESUMING, said=True)
    tasks = await tasks_of(ctx, mission.id)
    stuck = [task.id for task in tasks if task.status in STUCK]
    if not stuck:
        raise Refusal(Code.BAD_REQUEST, "No task of the mission has failed or waits for approval")
    _check(tasks)
    states = await _begin_anew(ctx, tasks, downstream(tasks, stuck))
    changes: dict[str, Any] = {"completed_at": None, "started_at": NOW}
    await move_mission(ctx, MISSION_ACTIONS, claimed, MissionStatus.IN_PROGRESS, since=mission.status, **changes)
    await taken_up_again(ctx, mission)
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=MissionStatus.IN_PROGRESS))
    for id, status in states.items():
        ctx.emit(TaskUpdated(id=id, mission_id=mission.id, status=status))
    await begin_work(ctx, mission)
    return MissionResumed(id=mission.id, status=MissionStatus.IN_PROGRESS, reset_tasks=len(states))


@command("missions.clone", Action.CREATE, audit="mission.cloned", subject=MISSION, emits=MissionCloned)
async def clone_mission(ctx: Context, mission: Mission, data: InCrew) -> MissionState:
    """Clone a mission.

    The mission can be in any state. The copy is PLANNING and has the tasks without their results; cloning an
    issue creates a mission.
    """
    copy = Mission(
        trace_id=f"mission-{new_id()}",
        crew_id=mission.crew_id,
        lead_agent_id=mission.lead_agent_id,
        title=f"{cut(mission.title, LABEL - len(' (copy)'))} (copy)",
        description=mission.description,
        workflow_template=mission.workflow_template,
    )
    await ctx.insert(chat_of(ctx, copy, f"{mission.title} (clone)"))
    await ctx.insert(copy)
    await ctx.insert_all(copies(await tasks_of(ctx, mission.id), copy.id, await ctx.now()))
    ctx.emit(MissionCloned(id=copy.id, crew_id=copy.crew_id, status=MissionStatus.PLANNING))
    return MissionState(id=copy.id, status=MissionStatus.PLANNING)


def copies(tasks: list[MissionTask], mission_id: str, at: datetime) -> list[MissionTask]:
    """The tasks for another mission, in their order, without results; dependencies on unknown tasks are left out."""
    ids = {task.id: new_id() for task in tasks}
    made = []
    for number, task in enumerate(tasks):
        depends_on = [ids[id] for id in task.depends_on if id in ids]
        made.append(
            MissionTask(
                id=ids[task.id],
                mission_id=mission_id,
                assigned_agent_id=task.assigned_agent_id,
                title=task.title,
                description=task.description,
                task_order=task.task_order,
                max_iterations=task.max_iterations,
                depends_on=depends_on,
                created_at=at + number * timedelta(microseconds=1),
                status=TaskStatus.BLOCKED if depends_on else TaskStatus.PENDING,
            )
        )
    return made
