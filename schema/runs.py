"""GraphQL: runs of agents, and statistics over them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.runs import Run, RunStatus
from resolvers import agents as agent_ops
from resolvers import runs as run_ops
from schema.bridge import Edge, node, output, query

strawberry.enum(RunStatus)


@node(Run)
class RunType:
    """One piece of work of an agent: what was asked, how far it is, and how it ended."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    agent_id: strawberry.ID
    agent: Edge | None
    agent_name: str = strawberry.field(description="Of a deleted agent, too.")
    agent_slug: str
    crew_name: str | None
    chat_id: strawberry.ID | None = strawberry.field(description="A run outlives its chat.")
    chat: Edge | None
    triggered_by: str | None = strawberry.field(description="The id of a user, or the name of what started it.")
    trigger_type: str
    status: RunStatus
    model: str | None
    max_turns: int | None
    exit_code: int | None
    error_message: str | None
    data: JSON | None = strawberry.field(name="metadata")
    created_at: datetime
    started_at: datetime | None = strawberry.field(description="Null while it waits for a worker.")
    finished_at: datetime | None
    from_seq: int | None = strawberry.field(description="The number of the chat's last frame before those of the run; null where none are kept.")


@node(run_ops.RunStats)
class RunStatsType:
    """Runs of the workspace in three numbers."""

    running: int = strawberry.field(description="Started, or waiting for a worker, and not ended.")
    today: int = strawberry.field(description="Started since midnight UTC.")
    failed: int = strawberry.field(description="FAILED or TIMEOUT since midnight UTC.")


@output(run_ops.RunTotals)
class RunTotalsType:
    """FAILED and TIMEOUT are failed; a CANCELLED run counts in `total` alone."""

    total: int
    succeeded: int
    failed: int
    running: int


@output(run_ops.RunDuration)
class RunDurationType:
    """By nearest rank, of the runs that have ended; 0 when none has."""

    p50_ms: float
    p95_ms: float


@output(run_ops.CategoryCount, name="RunCategoryCount")
class CategoryCountType:
    """Runs of one kind."""

    key: str
    total: int
    failed: int


@output(run_ops.CrewCount, name="RunCrewCount")
class CrewCountType:
    """Runs of the agents of a crew; agents without one are one row, with an empty id."""

    id: str
    name: str
    total: int
    failed: int


@output(run_ops.AgentCount, name="RunAgentCount")
class AgentCountType:
    """Runs of one agent; `crewName` is empty without a crew."""

    id: strawberry.ID
    name: str
    crew_name: str
    total: int
    failed: int


@output(run_ops.RunInsights)
class RunInsightsType:
    """Runs that began within a window of time. Busiest first; crews and agents are eight at most."""

    window: str
    totals: RunTotalsType
    duration: RunDurationType
    by_trigger: list[CategoryCountType]
    by_model: list[CategoryCountType]
    by_crew: list[CrewCountType]
    top_agents: list[AgentCountType]
    truncated: bool = strawberry.field(description="There are more than the 20,000 newest that are counted.")


@strawberry.type
class RunQuery:
    runs = query(run_ops.list_runs, RunType)
    run = query(run_ops.get_run, RunType)
    agent_runs = query(agent_ops.list_runs_of_agent, RunType)
    run_stats = query(run_ops.run_stats, RunStatsType)
    run_insights = query(run_ops.run_insights, RunInsightsType)
