"""The load of agents."""

from typing import Any

from sqlalchemy import BigInteger, and_, cast, func, select

from models.staff.agents import Agent, AgentStatus
from models.work.missions import Assignment, AssignmentStatus, MissionTask, TaskStatus
from resolvers.kernel import Action, NoInput, QueryScope, Row, Rows, View, constant, interval, query

WAITING = (TaskStatus.PENDING, TaskStatus.BLOCKED)
UNFINISHED = (*WAITING, TaskStatus.IN_PROGRESS, TaskStatus.AWAITING_APPROVAL)
# spelled out: the index of queued assignments is a partial one
QUEUED: Any = constant(AssignmentStatus.QUEUED)
ZERO: Any = constant(0)
DAY_AGO = func.now() - interval(hours=24)


class CrewsStatus(View):
    """Agents by what they do. `idle`: every status but RUNNING and ERROR; `queued`: assignments that wait for a run."""

    total: int
    running: int
    error: int
    idle: int
    queued: int


class AgentLoad(View):
    """Mission tasks of one agent. Today means the last 24 hours; the budget is the sum over unfinished tasks."""

    agent_id: str
    agent_name: str
    agent_slug: str
    agent_status: AgentStatus
    active_tasks: int
    pending_tasks: int
    completed_today: int
    tokens_used_today: int
    token_budget: int


@query("agents.crews_status", Action.READ)
def crews_status(scope: QueryScope, data: NoInput) -> Row[CrewsStatus]:
    """Get agent and assignment counters.

    Counts the agents of the workspace by status, and its queued assignments.
    """
    agents, assignments = scope.table(Agent), scope.table(Assignment)
    running, error = agents.c.status == AgentStatus.RUNNING, agents.c.status == AgentStatus.ERROR
    queued = scope.scalar(select(func.count()).select_from(assignments).where(assignments.c.status == QUEUED))
    counted = select(
        func.count().label("total"),
        func.count().filter(running).label("running"),
        func.count().filter(error).label("error"),
        func.count().filter(~running, ~error).label("idle"),
        queued.label("queued"),
    ).select_from(agents)
    return scope.view(CrewsStatus, counted).one("Workspace not found")


@query("agents.load", Action.READ)
def agent_load(scope: QueryScope, data: NoInput) -> Rows[AgentLoad]:
    """List the load of agents.

    Returns mission tasks and tokens of every agent, busiest first.
    """
    agents, tasks = scope.table(Agent), scope.table(MissionTask)
    done_today = and_(tasks.c.status == TaskStatus.COMPLETED, tasks.c.completed_at >= DAY_AGO)
    loads = (
        select(
            agents.c.id.label("agent_id"),
            agents.c.name.label("agent_name"),
            agents.c.slug.label("agent_slug"),
            agents.c.status.label("agent_status"),
            func.count().filter(tasks.c.status == TaskStatus.IN_PROGRESS).label("active_tasks"),
            func.count().filter(tasks.c.status.in_(WAITING)).label("pending_tasks"),
            func.count().filter(done_today).label("completed_today"),
            cast(func.coalesce(func.sum(tasks.c.token_count).filter(done_today), ZERO), BigInteger).label(
                "tokens_used_today"
            ),
            cast(
                func.coalesce(func.sum(tasks.c.token_budget).filter(tasks.c.status.in_(UNFINISHED)), ZERO), BigInteger
            ).label("token_budget"),
        )
        .select_from(agents.outerjoin(tasks, tasks.c.assigned_agent_id == agents.c.id))
        .group_by(agents.c.id, agents.c.name, agents.c.slug, agents.c.status)
    )
    return scope.view(AgentLoad, loads).order_by("-active_tasks", "-pending_tasks", "agent_slug")
