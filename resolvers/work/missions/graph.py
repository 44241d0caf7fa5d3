"""The access to missions and their tasks, and their edges."""

from typing import Annotated, Any, ClassVar

from sqlalchemy import Text as SQLText
from sqlalchemy import cast, func, select
from sqlmodel import col

from models.base import alias_of
from models.people.auth import User
from models.people.workspaces import Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Assignment, Mission, MissionTask, TaskStatus
from resolvers.kernel import (
    EVERYONE,
    Action,
    Filter,
    Paging,
    Text,
    View,
    constant,
    derived,
    extend,
    graph,
    many,
    named,
    of_parent,
    one,
    sums_up,
    viewer_can,
)

NEWEST_FIRST = (col(Mission.created_at).desc(), col(Mission.id).desc())
IN_ORDER = (col(MissionTask.task_order), col(MissionTask.created_at), col(MissionTask.id))
SHOWN = tuple(status for status in TaskStatus if status is not TaskStatus.CANCELLED)


class FilterMissions(Paging):
    """`status` is one status; unknown values match nothing."""

    page_default: ClassVar[int] = 20

    status: Annotated[Text | None, Filter(Mission.status, leads=True)] = None


class PageOfTasks(Paging):
    """A page of tasks; a mission has at most 500."""

    page_maximum: ClassVar[int] = 500


class PageOfAssignments(Paging):
    """A page of assignments."""


class PageOfRuns(Paging):
    """A page of runs that execute the assignment; usually one."""

    page_default: ClassVar[int] = 5


class PageOfWork(Paging):
    """A page of runs of agents on a mission's tasks and plan."""

    page_default: ClassVar[int] = 20


class TaskStats(View):
    """Tasks of a mission by status. A cancelled task counts in `total` only."""

    total: int
    pending: int
    blocked: int
    in_progress: int
    completed: int
    failed: int
    skipped: int
    awaiting_approval: int


def _counted(row: Any, scope: Any) -> Any:
    task, own = scope.beside(MissionTask, row)
    numbers = [func.count().filter(task.c.status == constant(status)).label(status.lower()) for status in SHOWN]
    made = select(func.count().label("total"), *numbers)
    return made.select_from(task).where(task.c.mission_id == row["id"], *own)


def _works_on(row: Any, run: Any) -> Any:
    """The runs of the assignments in the mission's chat."""
    given = alias_of(Assignment)
    own = [given.c.workspace_id == row["workspace_id"], given.c.chat_id == row["id"]]
    found = select(given.c.id).where(*own, given.c.id == run["assignment_id"])
    return found.correlate(row["id"].table, run["id"].table).exists()


def _as_json_text(row: Any, scope: Any) -> Any:
    text = cast(row["depends_on"], SQLText)
    return func.replace(text, constant(", "), constant(","), type_=SQLText())


graph(
    Mission,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    crew_name=of_parent(Crew, "crew_id", "name"),
    viewer_can=viewer_can(Mission),
    crew_slug=of_parent(Crew, "crew_id", "slug"),
    pauser=one(User, "paused_by"),
    lead_agent=one(Agent, "lead_agent_id"),
    **named("lead_agent", Agent, "lead_agent_id"),
    tasks=many(MissionTask, "mission_id", order_by=IN_ORDER, input=PageOfTasks),
    task_stats=sums_up(TaskStats, _counted),
    task_stats_if_any=sums_up(TaskStats, lambda row, scope: _counted(row, scope).having(func.count() > 0)),
    assignments=many(
        Assignment, "chat_id", order_by=(col(Assignment.created_at), col(Assignment.id)), input=PageOfAssignments
    ),
    runs=many(Run, on=_works_on, order_by=(col(Run.began_at).desc(), col(Run.id).desc()), input=PageOfWork),
)
graph(TaskStats, gate=Action.READ, scope="issues:read", visible=EVERYONE)
graph(
    MissionTask,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    mission=one(Mission, "mission_id"),
    agent=one(Agent, "assigned_agent_id"),
    **named("agent", Agent, "assigned_agent_id"),
    assignment=one(Assignment, "assignment_id"),
    depends_on_text=derived(str, _as_json_text),
)
graph(
    Assignment,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    agent=one(Agent, "assigned_to_id"),
    agent_name=of_parent(Agent, "assigned_to_id", "name"),
    mission=one(Mission, "chat_id"),
    mission_task=one(MissionTask, on=lambda row, other: other["assignment_id"] == row["id"]),
    runs=many(Run, "assignment_id", order_by=(col(Run.began_at).desc(), col(Run.id).desc()), input=PageOfRuns),
)
extend(Run, assignment=one(Assignment, "assignment_id"))
for owner, key in ((Workspace, "workspace_id"), (Crew, "crew_id")):
    extend(owner, missions=many(Mission, key, order_by=NEWEST_FIRST, input=FilterMissions))
extend(
    Agent,
    led_missions=many(Mission, "lead_agent_id", order_by=NEWEST_FIRST, input=FilterMissions),
    mission_tasks=many(
        MissionTask,
        "assigned_agent_id",
        order_by=(col(MissionTask.created_at).desc(), col(MissionTask.id).desc()),
        input=PageOfTasks,
    ),
)
