"""Tasks of a mission: created and changed by hand."""

from collections.abc import Iterable
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import TASK_STATES, Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Action,
    ById,
    Code,
    ConfigText,
    Context,
    Deleted,
    Float,
    Id,
    Input,
    Int,
    Patch,
    QueryScope,
    Ref,
    Refusal,
    Row,
    Subject,
    Url,
    at_most,
    command,
    invalid,
    query,
)
from resolvers.work.missions.driving import look_again, tasks_of
from resolvers.work.missions.events import TaskCreated, TaskDeleted, TaskStatusChanged, TaskUpdated
from resolvers.work.missions.missions import Title

MOST_TASKS = 500
MOST_DEPENDENCIES = 100
MOST_ITERATIONS = 50
OPEN = (MissionStatus.PLANNING, MissionStatus.IN_PROGRESS)
NOT_BEGUN = (TaskStatus.PENDING, TaskStatus.BLOCKED)
PLANNED = ("title", "description", "depends_on")
AgentId = Annotated[Id, Field(min_length=1), Ref(Agent)]
Iterations = Annotated[Int, Field(ge=0, le=MOST_ITERATIONS)]
UNREADABLE = "must be a JSON array of ids of tasks, as text"


def _ids(text: str) -> str:
    """The text again, when it can be read."""
    ids_in(text)
    return text


def ids_in(text: str) -> list[str]:
    try:
        ids = orjson.loads(text)
    except orjson.JSONDecodeError:
        ids = ""
    ids = [] if ids is None else ids
    if not isinstance(ids, list) or len(ids) > MOST_DEPENDENCIES:
        raise PydanticCustomError("ids", UNREADABLE)
    if any(not isinstance(id, str) or "\0" in id or len(id) > bounds.ID for id in ids):
        raise PydanticCustomError("ids", UNREADABLE)
    return list(dict.fromkeys(ids))


class TasksOfMission(Input):
    """A mission of this crew."""

    crew_id: Id
    mission_id: Id


class OfTask(TasksOfMission):
    """A task of this mission of this crew."""

    id: Id


OF_CREW = Subject(Mission, "mission_id", of=Subject(Crew, "crew_id"))
TASK = Subject(MissionTask, "id", of=OF_CREW, key="mission_id", called="Task")
ANY_TASK = Subject(MissionTask, "id", called="Task")


class CreateTask(TasksOfMission):
    """`depends_on` are tasks of the mission. `max_iterations` is the maximum number of attempts."""

    title: Annotated[Title, Field(min_length=1)]
    description: ConfigText | None = None
    assigned_agent_id: AgentId | None = None
    task_order: Int = 0
    depends_on: Annotated[list[Id], at_most(MOST_DEPENDENCIES)] = []
    max_iterations: Iterations | None = None


class UpdateTask(Patch, OfTask):
    """Null counts as absent. `depends_on` is a JSON array of task ids, as text, and cannot be combined with a
    status."""

    status: TaskStatus
    title: Title
    description: ConfigText
    depends_on: Annotated[ConfigText, AfterValidator(_ids)]
    assigned_agent_id: AgentId
    result_summary: ConfigText
    error_message: Annotated[str, Field(strict=True, max_length=bounds.ERROR)]
    output_path: Url
    token_count: Int
    estimated_cost: Float
    max_iterations: Iterations


@query("missions.tasks_get", Action.READ, surfaces=GRAPHQL_ONLY, subject=ANY_TASK)
def get_task(scope: QueryScope, task: Row[MissionTask], data: ById) -> Row[MissionTask]:
    """Get a task of a mission."""
    return task


async def takes_tasks(ctx: Context, mission: Mission) -> None:
    """A guard: the state of the mission is looked at before the body is."""
    if mission.status not in OPEN:
        fault = f"Tasks can only be added in PLANNING or IN_PROGRESS; this mission is {mission.status}"
        raise Refusal(Code.BAD_REQUEST, fault)


async def depended_on(
    ctx: Context, mission_id: str, ids: Iterable[str], field: str = "depends_on"
) -> list[MissionTask]:
    """The tasks of the mission that these name, or BAD_REQUEST."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    found = await ctx.select(
        MissionTask, col(MissionTask.mission_id) == mission_id, col(MissionTask.id).in_(wanted)
    ).all()
    if len(found) != len(wanted):
        raise invalid(field, "there is no such task in this mission")
    return found


def waiting_for(tasks: Iterable[MissionTask]) -> TaskStatus:
    """The state of a task that has not begun, by its dependencies."""
    return TaskStatus.PENDING if all(task.status is TaskStatus.COMPLETED for task in tasks) else TaskStatus.BLOCKED


@command(
    "missions.tasks_create",
    Action.CREATE,
    audit="mission_task.created",
    subject=OF_CREW,
    locked=True,
    allow=takes_tasks,
    emits=(TaskCreated, TaskUpdated),
)
async def create_task(ctx: Context, mission: Mission, data: CreateTask) -> MissionTask:
    """Create a task.

    The mission must be PLANNING or IN_PROGRESS, and has at most 500 tasks. The task is BLOCKED while a
    dependency is not COMPLETED.
    """
    if await ctx.select(MissionTask, col(MissionTask.mission_id) == mission.id).count() >= MOST_TASKS:
        raise Refusal(Code.BAD_REQUEST, f"A mission has at most {MOST_TASKS} tasks")
    status = waiting_for(await depended_on(ctx, mission.id, data.depends_on))
    values = data.model_dump(exclude={"crew_id", "depends_on"})
    task = MissionTask(status=status, depends_on=list(dict.fromkeys(data.depends_on)), **values)
    ctx.emit(TaskCreated(mission_id=mission.id, id=task.id, title=task.title, status=status))
    ctx.emit(TaskUpdated(id=task.id, mission_id=mission.id, status=status))
    look_again(ctx, mission)
    return await ctx.insert(task)


@command(
    "missions.tasks_update",
    Action.CREATE,
    audit="mission_task.updated",
    subject=TASK,
    emits=(TaskStatusChanged, TaskUpdated),
    errors=(Code.CONFLICT,),
    versioned=MissionTask,
)
async def update_task(ctx: Context, task: MissionTask, data: UpdateTask) -> MissionTask:
    """Update a task.

    A new status must be reachable from the current one; COMPLETED makes BLOCKED tasks PENDING if they waited
    only for this task. Title, description and dependencies change only while the task is PENDING or BLOCKED; new
    dependencies decide which.
    """
    mission = await ctx.select(Mission, col(Mission.id) == task.mission_id).locked().one()
    task = await ctx.get(MissionTask, task.id, lock=True, missing="Task not found")
    changes = data.sent()
    status = changes.pop("status", None)
    await _planned(ctx, task, status, changes)
    if status is None:
        return await ctx.edit(task, **changes) if changes else await ctx.unchanged(MissionTask, task.id)
    updated = await ctx.move(TASK_STATES, task, status, refused=Code.BAD_REQUEST, **changes)
    if status is TaskStatus.COMPLETED:
        await unblock(ctx, mission.id, task.id)
    ctx.emit(TaskStatusChanged(mission_id=mission.id, id=task.id, status=status))
    ctx.emit(TaskUpdated(id=task.id, mission_id=mission.id, status=status))
    look_again(ctx, mission)
    return updated


@command(
    "missions.tasks_delete",
    Action.CREATE,
    audit="mission_task.deleted",
    subject=ANY_TASK,
    surfaces=GRAPHQL_ONLY,
    emits=(TaskDeleted, TaskUpdated),
    versioned=MissionTask,
)
async def delete_task(ctx: Context, task: MissionTask, data: ById) -> Deleted:
    """Delete a task.

    The mission must be PLANNING. Tasks that depend on it no longer do.
    """
    mission = await ctx.select(Mission, col(Mission.id) == task.mission_id).locked().one()
    if mission.status is not MissionStatus.PLANNING:
        fault = f"Tasks can only be deleted in PLANNING; this mission is {mission.status}"
        raise Refusal(Code.BAD_REQUEST, fault)
    left = {other.id: other for other in await tasks_of(ctx, mission.id) if other.id != task.id}
    for other in left.values():
        if task.id not in other.depends_on:
            continue
        depends_on = [id for id in other.depends_on if id != task.id]
        changes: dict[str, Any] = {"depends_on": depends_on}
        if other.status in NOT_BEGUN:
            changes["status"] = waiting_for(left[id] for id in depends_on if id in left)
        changed = await ctx.edit(other, **changes)
        ctx.emit(TaskUpdated(id=other.id, mission_id=mission.id, status=changed.status))
    await ctx.delete(MissionTask, task.id)
    ctx.emit(TaskDeleted(id=task.id, mission_id=mission.id))
    return Deleted(id=task.id)


async def _planned(ctx: Context, task: MissionTask, status: TaskStatus | None, changes: dict[str, Any]) -> None:
    """A task's description and dependencies cannot change once it has begun."""
    begun = [name for name in PLANNED if name in changes]
    if begun and task.status not in NOT_BEGUN:
        raise invalid(begun[0], f"cannot change after a task has begun; this one is {task.status}")
    if "depends_on" not in changes:
        return
    if status is not None:
        raise invalid("depends_on", "is not sent with a status")
    changes["depends_on"] = ids = ids_in(changes["depends_on"])
    if task.id in ids:
        raise invalid("depends_on", "names the task itself")
    changes["status"] = waiting_for(await depended_on(ctx, task.mission_id, ids))


async def unblock(ctx: Context, mission_id: str, done: str) -> None:
    """BLOCKED tasks that waited for this one, and for no other any more, are PENDING."""
    tasks = await ctx.select(MissionTask, col(MissionTask.mission_id) == mission_id).all()
    completed = {task.id for task in tasks if task.status is TaskStatus.COMPLETED} | {done}
    freed = [
        task.id
        for task in tasks
        if task.status is TaskStatus.BLOCKED and done in task.depends_on and completed.issuperset(task.depends_on)
    ]
    blocked = (col(MissionTask.id).in_(freed), col(MissionTask.status) == TaskStatus.BLOCKED)
    for id in sorted(await ctx.update_where(MissionTask, *blocked, status=TaskStatus.PENDING)) if freed else []:
        ctx.emit(TaskStatusChanged(mission_id=mission_id, id=id, status=TaskStatus.PENDING))
        ctx.emit(TaskUpdated(id=id, mission_id=mission_id, status=TaskStatus.PENDING))
