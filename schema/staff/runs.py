"""GraphQL: runs of agents, and statistics over them."""

from datetime import datetime
from typing import Annotated

import strawberry

from models.staff.run_spans import RunSpan
from models.staff.runs import Run
from models.work.work_pauses import WorkPause
from resolvers.staff import agents as agent_ops
from resolvers.staff import chats as chat_ops
from resolvers.staff import runs as run_ops
from schema.bridge.fields import Edge, mutation, node, output, query
from schema.live import followed

output(run_ops.RunDuration, fields={"p50_ms": float, "p95_ms": float})
output(run_ops.CategoryCount, name="RunCategoryCount")
output(
    run_ops.CrewCount,
    name="RunCrewCount",
    fields={"id": Annotated[str, strawberry.field(deprecation_reason="Numbers differ between windows. Use `crewId`.")]},
    properties={"crew_id": str},
)
output(
    run_ops.AgentCount,
    name="RunAgentCount",
    fields={"id": strawberry.field(deprecation_reason="Numbers differ between windows. Use `agentId`.")},
    properties={"agent_id": strawberry.ID},
)
output(
    run_ops.RunInsights,
    fields={"truncated": "True if the window has more runs than the newest 20,000, which are counted."},
)


@node(Run)
class RunType:
    """One execution of an agent: its input, progress and outcome."""

    fields = """
        id workspace_id agent_id agent agent_name agent_slug crew_name chat_id chat assignment triggered_by trigger_type
        status model max_turns exit_code error_message data created_at started_at finished_at model_calls budgets
        from_seq input state waits_for_approval waiting_since waited_ms duration_ms usage parent_id parent children
        retry_of original spans message log cli_version api_key_source permission_mode session_id mcp_server_errors
        mcp_server_error_count mcp_server_errors_truncated permission_denials permission_denials_truncated
    """
    cli_version = strawberry.field(description="The version of the coding agent, if it named one.")
    api_key_source = strawberry.field(description="Where the coding agent found its key, in its words.")
    permission_mode = strawberry.field(description="The coding agent's mode of permissions, in its words.")
    session_id = strawberry.field(description="The coding agent's name for its session.")
    mcp_server_errors = strawberry.field(description="MCP servers that could not be reached: `name` and `status`.")
    permission_denials = strawberry.field(description="Calls that were not permitted: `tool_name` and `tool_use_id`.")
    agent_name = strawberry.field(description="Name of the agent, even if the agent is deleted.")
    chat_id = strawberry.field(description="Id of the chat; kept if the chat is deleted.")
    assignment = strawberry.field(description="The assignment that the run executes, if any.")
    triggered_by = strawberry.field(
        description="Id of the user, or name of the source, that started the run.",
    )
    data = strawberry.field(name="metadata")
    started_at = strawberry.field(description="Null while the run is waiting for a worker.")
    model_calls = strawberry.field(description="Newest first.")
    budgets = strawberry.field(description="Budgets with a reservation for the run.")
    from_seq = strawberry.field(
        description="Number of the last frame of the chat before the run; null if the frames are not stored.",
    )
    input = strawberry.field(description="The input; requires the scope `chats:read`.")
    state = strawberry.field(description="As `status`, and whether a run that has not ended is queued or waiting.")
    waits_for_approval = strawberry.field(name="waitsFor", description="The approval that the run waits for, if any.")
    waiting_since: datetime | None = strawberry.field(name="waitsSince")
    waited_ms = strawberry.field(description="Milliseconds that the run has waited for approvals.")
    duration_ms = strawberry.field(description="Milliseconds from start to end; null until the run ends.")
    usage = strawberry.field(description="Sums of the model calls; null for callers who may not read costs.")
    parent_id: strawberry.ID | None
    parent = strawberry.field(description="The run whose agent asked for this one.")
    children = strawberry.field(description="Runs that this run's agent asked for.")
    retry_of: strawberry.ID | None
    original = strawberry.field(description="The run that this one repeats.")
    log = strawberry.field(description="The output of the agent in a chat. Runs without a chat have spans only.")
    message = strawberry.field(description="The message of a user that started the run.")


@node(RunSpan, name="Span")
class SpanType:
    """A piece of a run. `input` and `output` are redacted and truncated; spans are kept as long as frames."""

    fields = """
        id run_id run parent_id kind name status begins ends duration_ms summary input output model_call_id
        model_call approval_id approval
    """
    parent_id = strawberry.field(description="The tool call that made this one, such as a subagent's.")
    name = strawberry.field(description="The tool, the model, or the trigger of the run.")
    begins: datetime = strawberry.field(name="startedAt", description="With milliseconds.")
    ends: datetime | None = strawberry.field(name="finishedAt", description="With milliseconds.")
    summary = strawberry.field(description="The first line of the output, or the error of the run.")
    input = strawberry.field(description="The arguments of a tool call.")
    output = strawberry.field(description="The result of a tool call, or the text of the agent.")


@node(run_ops.RunInput)
class RunInputType:
    """The input of a run."""

    prompt: str = strawberry.field(description="The message, or the text of the task, schedule or webhook.")


@node(run_ops.RunStats)
class RunStatsType:
    """Counters of the runs of a workspace."""

    running: int = strawberry.field(description="Runs that have not ended, including those waiting for a worker.")
    today: int = strawberry.field(description="Runs started since midnight UTC.")
    failed: int = strawberry.field(description="Runs that ended with FAILED or TIMEOUT since midnight UTC.")


@node(WorkPause)
class WorkPauseType:
    """Paused work of an agent on a mission or issue, after several runs without progress."""

    fields = """
        id workspace_id agent_id agent agent_name mission_id mission mission_title runs last_error active created_at
        resumed_at resumed_by_user_id
    """
    mission: Edge
    runs = strawberry.field(description="Runs in a row that failed or changed nothing.")
    active = strawberry.field(description="True until it is resumed.")


@strawberry.type
class RunQuery:
    runs = query(run_ops.list_runs, RunType)
    find_runs = query(run_ops.find_runs, RunType)
    run = query(run_ops.get_run, RunType)
    agent_runs = query(agent_ops.list_runs_of_agent, RunType)
    work_pauses = query(run_ops.list_work_pauses, WorkPauseType)
    run_stats = query(run_ops.run_stats, RunStatsType)
    run_insights = query(run_ops.run_insights)
    agent_readiness = query(run_ops.agent_readiness)


@strawberry.type
class RunMutation:
    resume_work = mutation(run_ops.resume_work, WorkPauseType)
    cancel_run = mutation(run_ops.cancel_run, RunType)
    retry_run = mutation(chat_ops.retry_run, RunType)


@strawberry.type
class RunSubscription:
    run_events = followed(
        run_ops.RUN_EVENTS,
        SpanType,
        "RunEvent",
        "Spans of a run as they begin and end. The span of the kind RUN ends with the run.",
    )
