"""Operations of leads on missions, over the internal API: create a plan with all its tasks, read it, start it."""

from collections import Counter
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models.base import new_id
from models.work.missions import Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.kernel import (
    Action,
    Auth,
    Code,
    ConfigText,
    Context,
    Id,
    Input,
    Int,
    Output,
    QueryScope,
    Refusal,
    Row,
    Subject,
    at_most,
    command,
    invalid,
    query,
)
from resolvers.work.missions.actions import MissionState, start
from resolvers.work.missions.driving import WORK_BEGINS
from resolvers.work.missions.events import CrewMissionCreated
from resolvers.work.missions.missions import Title, lead_in
from resolvers.work.missions.tasks import MOST_DEPENDENCIES, MOST_TASKS, AgentId, Iterations

MISSING = "Mission not found"


def _number(raw: Any) -> Any:
    """A place in the order, as text or number."""
    if isinstance(raw, str) and raw.strip().removeprefix("-").isdecimal() and len(raw) <= len("-2147483648"):
        return int(raw)
    return raw


Place = Annotated[Int, BeforeValidator(_number)]


class PlannedTask(Input):
    """`depends_on` names other tasks of the plan by their `task_order`, as text or number."""

    title: Annotated[Title, Field(min_length=1)]
    task_order: Int = 0
    description: ConfigText | None = None
    assigned_agent_id: AgentId | None = None
    depends_on: Annotated[list[Place], at_most(MOST_DEPENDENCIES)] = []
    max_iterations: Iterations | None = None


class PlanMission(Input):
    """`lead_agent_id` is any agent of the crew. A plan has at most 500 tasks."""

    workspace_id: Annotated[Id, Field(min_length=1)]
    crew_id: Annotated[Id, Field(min_length=1)]
    lead_agent_id: Annotated[Id, Field(min_length=1)]
    title: Annotated[Title, Field(min_length=1)]
    description: ConfigText | None = None
    plan: ConfigText | None = None
    workflow_template: ConfigText | None = None
    tasks: Annotated[list[PlannedTask], at_most(MOST_TASKS)] = []


class MissionPlanned(Output):
    """`tasks` has the id of each task by its `task_order`."""

    id: str
    trace_id: str
    status: MissionStatus
    tasks: dict[str, str]


class MissionOfWorkspace(Input):
    """`crew_id`, if it is sent, is the mission's."""

    id: Id
    crew_id: Id | None = None


@command("internal.missions.create", Action.NONE, audit="mission.created", auth=Auth.INTERNAL, emits=CrewMissionCreated)
async def plan_mission(ctx: Context, data: PlanMission) -> MissionPlanned:
    """Create a mission with its tasks (for agents).

    One transaction. A plan with circular dependencies is refused when it is started.
    """
    await lead_in(ctx, data.crew_id, data.lead_agent_id)
    mission = Mission(
        trace_id=f"mission-{new_id()}",
        **data.model_dump(include={"crew_id", "lead_agent_id", "title", "description", "plan", "workflow_template"}),
    )
    ids = _ids_by_place(data.tasks)
    await ctx.insert(mission)
    named = {task.task_order: id for task, id in zip(data.tasks, ids, strict=True)}
    await ctx.insert_all([_task(mission.id, task, id, named) for task, id in zip(data.tasks, ids, strict=True)])
    ctx.emit(CrewMissionCreated(crew_id=mission.crew_id, id=mission.id, title=mission.title))
    return MissionPlanned(
        id=mission.id,
        trace_id=mission.trace_id,
        status=MissionStatus.PLANNING,
        tasks={str(place): id for place, id in named.items()},
    )


def _ids_by_place(tasks: list[PlannedTask]) -> list[str]:
    """Ids for the tasks, once it is clear that each dependency names one task."""
    places = Counter(task.task_order for task in tasks)
    for task in tasks:
        for place in task.depends_on:
            if places[place] != 1:
                named = "more than one task has" if places[place] else "no task has"
                raise invalid("depends_on", f"{named} the task_order {place}")
    return [new_id() for _ in tasks]


def _task(mission_id: str, task: PlannedTask, id: str, named: dict[int, str]) -> MissionTask:
    depends_on = list(dict.fromkeys(named[place] for place in task.depends_on))
    return MissionTask(
        id=id,
        mission_id=mission_id,
        depends_on=depends_on,
        status=TaskStatus.BLOCKED if depends_on else TaskStatus.PENDING,
        **task.model_dump(exclude={"depends_on"}),
    )


@query("internal.missions.get", Action.NONE, auth=Auth.INTERNAL, errors=(Code.NOT_FOUND,))
def get_planned_mission(scope: QueryScope, data: MissionOfWorkspace) -> Row[Mission]:
    """Get a mission and its tasks (for agents)."""
    rows = scope.select(Mission).where(col(Mission.id) == data.id)
    return (rows if data.crew_id is None else rows.where(col(Mission.crew_id) == data.crew_id)).one(MISSING)


@command(
    "internal.missions.start",
    Action.NONE,
    audit="mission.started",
    auth=Auth.INTERNAL,
    subject=Subject(Mission, "id"),
    emits=WORK_BEGINS,
    errors=(Code.CONFLICT,),
)
async def start_planned_mission(ctx: Context, mission: Mission, data: MissionOfWorkspace) -> MissionState:
    """Start a mission (for agents).

    The mission must be PLANNING, without circular dependencies.
    """
    if data.crew_id and data.crew_id != mission.crew_id:
        raise Refusal(Code.NOT_FOUND, MISSING)
    return await start(ctx, mission)
