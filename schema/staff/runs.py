"""GraphQL: runs of agents, and statistics over them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.staff.runs import Run, RunStatus
from models.work.work_pauses import WorkPause
from resolvers.staff import agents as agent_ops
from resolvers.staff import runs as run_ops
from schema.bridge.fields import Edge, Edges, mutation, node, output, query


@node(Run)
class RunType:
    """One execution of an agent: its input, progress and outcome."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    agent_id: strawberry.ID
    agent: Edge | None
    agent_name: str = strawberry.field(description="Name of the agent, even if the agent is deleted.")
    agent_slug: str
    crew_name: str | None
    chat_id: strawberry.ID | None = strawberry.field(description="Id of the chat; kept if the chat is deleted.")
    chat: Edge | None
    assignment: Edge | None = strawberry.field(description="The assignment that the run carries out, if any.")
    triggered_by: str | None = strawberry.field(
        description="Id of the user, or name of the source, that started the run.",
    )
    trigger_type: str
    status: RunStatus
    model: str | None
    max_turns: int | None
    exit_code: int | None
    error_message: str | None
    data: JSON | None = strawberry.field(name="metadata")
    created_at: datetime
    started_at: datetime | None = strawberry.field(description="Null while the run is waiting for a worker.")
    finished_at: datetime | None
    model_calls: Edges = strawberry.field(description="Newest first.")
    budgets: Edges = strawberry.field(description="Budgets with a reservation for the run.")
    from_seq: int | None = strawberry.field(
        description="Number of the last frame of the chat before the run; null if the frames are not stored.",
    )


@node(run_ops.RunStats)
class RunStatsType:
    """Counters of the runs of a workspace."""

    running: int = strawberry.field(description="Runs that have not ended, including those waiting for a worker.")
    today: int = strawberry.field(description="Runs started since midnight UTC.")
    failed: int = strawberry.field(description="Runs that ended with FAILED or TIMEOUT since midnight UTC.")


@node(WorkPause)
class WorkPauseType:
    """Work of an agent on a mission, or issue, that was paused after several runs without progress."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    agent_id: strawberry.ID
    agent: Edge | None
    agent_name: str
    mission_id: strawberry.ID
    mission: Edge
    mission_title: str
    runs: int = strawberry.field(description="Runs in a row that failed or changed nothing.")
    last_error: str | None
    active: bool = strawberry.field(description="Whether it has not been resumed.")
    created_at: datetime
    resumed_at: datetime | None
    resumed_by_user_id: strawberry.ID | None


@output(run_ops.RunTotals)
class RunTotalsType:
    """FAILED and TIMEOUT count as failed; a CANCELLED run counts in `total` only."""

    total: int
    succeeded: int
    failed: int
    running: int


@output(run_ops.RunDuration)
class RunDurationType:
    """By nearest rank, over the runs that have ended; 0 if none has."""

    p50_ms: float
    p95_ms: float


@output(run_ops.CategoryCount, name="RunCategoryCount")
class CategoryCountType:
    """Runs of one category."""

    key: str
    total: int
    failed: int


@output(run_ops.CrewCount, name="RunCrewCount")
class CrewCountType:
    """Runs of the agents of a crew; agents without a crew are combined in one row with an empty id."""

    id: str
    name: str
    total: int
    failed: int


@output(run_ops.AgentCount, name="RunAgentCount")
class AgentCountType:
    """Runs of one agent; `crewName` is empty for an agent without a crew."""

    id: strawberry.ID
    name: str
    crew_name: str
    total: int
    failed: int


@output(run_ops.RunInsights)
class RunInsightsType:
    """Runs that started within a time window.

    Lists are ordered by number of runs, descending; crews and agents have at most eight entries.
    """

    window: str
    totals: RunTotalsType
    duration: RunDurationType
    by_trigger: list[CategoryCountType]
    by_model: list[CategoryCountType]
    by_crew: list[CrewCountType]
    top_agents: list[AgentCountType]
    truncated: bool = strawberry.field(
        description="Whether there are more runs than the newest 20,000, which are counted.",
    )


@strawberry.type
class RunQuery:
    runs = query(run_ops.list_runs, RunType)
    run = query(run_ops.get_run, RunType)
    agent_runs = query(agent_ops.list_runs_of_agent, RunType)
    work_pauses = query(run_ops.list_work_pauses, WorkPauseType)
    run_stats = query(run_ops.run_stats, RunStatsType)
    run_insights = query(run_ops.run_insights, RunInsightsType)


@strawberry.type
class RunMutation:
    resume_work = mutation(run_ops.resume_work, WorkPauseType)
