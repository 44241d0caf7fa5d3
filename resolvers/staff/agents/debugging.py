"""Diagnosis of an agent for administrators: the workers, its last run, and its last log."""

from datetime import datetime
from typing import Annotated, Any, Final

from sqlmodel import col

from models.staff.agents import Agent, AgentStatus, CliAdapter
from models.staff.runs import ChatEventType, Run, RunFrame, RunStatus
from models.workers import Worker
from resolvers.kernel import Absent, Action, Context, Id, Input, Output, Subject, procedure
from resolvers.rules.workers import alive

AGENT: Final = Subject(Agent, "agent_id")
MOST_WORKERS: Final = 100
MOST_RUNS: Final = 100
MOST_ENTRIES: Final = 50
OF_RUN: Final = {
    RunStatus.RUNNING: "running",
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "error",
    RunStatus.TIMEOUT: "error",
    RunStatus.CANCELLED: "cancelled",
}
"""The states of a run as clients know them here (contract: RunState)."""
IDLE: Final = "idle"
UNREACHABLE: Final = "unreachable"
WRONG: Final = (RunStatus.FAILED, RunStatus.TIMEOUT)


class OfDebugged(Input):
    """An agent of the workspace."""

    agent_id: Id


class DebuggedAgent(Output):
    """The stored agent."""

    id: str
    name: str
    cli_adapter: CliAdapter
    db_status: AgentStatus


class DebugEntry(Output):
    """An entry of the agent's log."""

    ts: datetime
    level: str
    agent: str
    event: ChatEventType
    content: Annotated[str | None, Absent()] = None
    tool: Annotated[str | None, Absent()] = None
    metadata: Annotated[dict[str, Any] | None, Absent()] = None


class WorkersFound(Output):
    """The number of workers, and the isolation of agents' commands on them."""

    workers: int
    runtimes: list[str]


class LatestRun(Output):
    """`id` is the id of its chat."""

    status: str
    agent_id: Annotated[str | None, Absent()] = None
    id: Annotated[str | None, Absent()] = None
    chat_id: Annotated[str | None, Absent()] = None
    started_at: Annotated[datetime | None, Absent()] = None


class ServiceEntry(Output):
    """A run began or ended."""

    time: datetime
    level: str
    msg: str
    run_id: str
    chat_id: str | None
    status: Annotated[RunStatus | None, Absent()] = None
    exit_code: Annotated[int | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None


class AgentDebug(Output):
    """`crewshipd_reachable`: true if a worker that executes runs has reported recently; `crewshipd` describes the
    workers.

    `runtime` is the agent's newest run, with `status` running, completed, error or cancelled; `idle` without
    runs, `unreachable` without a worker. `service_logs` contain start and end of the newest 100 runs, `agent_logs`
    the newest 50 entries of the agent's log; both oldest first.
    """

    agent: DebuggedAgent
    crewshipd_reachable: bool
    crewshipd: Annotated[WorkersFound | None, Absent()] = None
    runtime: LatestRun
    service_logs: list[ServiceEntry]
    agent_logs: list[DebugEntry]


@procedure("agents.debug", Action.MANAGE, subject=AGENT)
async def debug_agent(ctx: Context, agent: Agent, data: OfDebugged) -> AgentDebug:
    """Get diagnostics of an agent.

    Shows whether there are workers, the state of the newest run, and recent log lines of its runs.
    """
    workers = await ctx.select(Worker, alive()).limit(MOST_WORKERS).all()
    of_agent = ctx.select(Run, col(Run.agent_id) == agent.id).order_by(col(Run.began_at).desc(), col(Run.id).desc())
    runs = await of_agent.limit(MOST_RUNS).all()
    kinds = sorted({worker.runtime for worker in workers if worker.runtime})
    return AgentDebug(
        agent=DebuggedAgent(id=agent.id, name=agent.name, cli_adapter=agent.cli_adapter, db_status=agent.status),
        crewshipd_reachable=bool(workers),
        crewshipd=WorkersFound(workers=len(workers), runtimes=kinds) if workers else None,
        runtime=_state(agent, runs) if workers else LatestRun(status=UNREACHABLE),
        service_logs=_begun_and_ended(runs),
        agent_logs=await _log(ctx, agent),
    )


def _state(agent: Agent, runs: list[Run]) -> LatestRun:
    if not runs:
        return LatestRun(agent_id=agent.id, status=IDLE)
    run = runs[0]
    return LatestRun(
        id=run.chat_id or run.id,
        agent_id=agent.id,
        chat_id=run.chat_id,
        status=OF_RUN[run.status],
        started_at=run.began_at,
    )


def _begun_and_ended(runs: list[Run]) -> list[ServiceEntry]:
    made: list[ServiceEntry] = []
    for run in runs:
        of_run: dict[str, Any] = {"run_id": run.id, "chat_id": run.chat_id}
        if run.started_at is not None:
            made.append(ServiceEntry(time=run.started_at, level="INFO", msg="run started", **of_run))
        if run.finished_at is not None:
            of_run |= {"status": run.status, "exit_code": run.exit_code, "error": run.error_message}
            level = "ERROR" if run.status in WRONG else "INFO"
            made.append(ServiceEntry(time=run.finished_at, level=level, msg="run ended", **of_run))
    return sorted(made, key=lambda entry: entry.time)


async def _log(ctx: Context, agent: Agent) -> list[DebugEntry]:
    newest = (col(RunFrame.created_at).desc(), col(RunFrame.chat_id).desc(), col(RunFrame.seq).desc())
    frames = await ctx.select(RunFrame, col(RunFrame.agent_id) == agent.id).order_by(*newest).limit(MOST_ENTRIES).all()
    return [_entry(agent, frame) for frame in reversed(frames)]


def _entry(agent: Agent, frame: RunFrame) -> DebugEntry:
    said, metadata = frame.payload, frame.payload.get("metadata")
    return DebugEntry(
        ts=frame.created_at,
        level="info",
        agent=agent.slug,
        event=said["type"],
        content=said.get("content"),
        tool=metadata.get("tool_name") if isinstance(metadata, dict) else None,
        metadata=metadata,
    )
