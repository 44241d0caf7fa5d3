"""The start and the end of runs, and the resulting states of agents (contract: agents.states, chats.behaviour 10 and
23).
"""

from dataclasses import dataclass
from typing import Any

from models.bounds import ERROR, LINE, cut
from models.people.workspaces import Membership
from models.staff.agents import AGENT_STATES, Agent, AgentStatus
from models.staff.runs import BY_WEBHOOK, RUN_STATES, Run, RunStatus
from resolvers.attention.approvals import CALL_OFF
from resolvers.kernel import Code, Context, Refusal
from resolvers.kernel.store.changes import Conflict
from resolvers.kernel.writing.reports import Lock, first_with
from resolvers.staff.runs.assignments import call_off_given, end_assignment
from resolvers.staff.runs.events import AgentStatusChanged, RunCompleted, RunFailed, RunStarted
from resolvers.staff.runs.failures import tell_of_failure
from resolvers.staff.runs.questions import end_question
from resolvers.staff.runs.routine_steps import end_routine_step

MISSING = "Run not found"
WAITS = "The agent is waiting for an approval"
OVER = "The agent's hire has expired"
GOES_WRONG = (RunStatus.FAILED, RunStatus.TIMEOUT)


@dataclass(frozen=True, slots=True)
class End:
    """The end of a run. `data` is merged over the run's own, key by key; `model`, or `data`'s, replaces the run's.

    `reply`: the final reply. `reported`: by the program that executed the run elsewhere and reports everything about
    it.
    """

    status: RunStatus
    error_message: str | None = None
    exit_code: int | None = None
    data: dict[str, Any] | None = None
    model: str | None = None
    reply: str | None = None
    reported: bool = False


def why_idle(agent: Agent) -> Refusal | None:
    """Why the agent can start no run: it is not approved yet, or has expired until a user hires it again."""
    if agent.status == AgentStatus.PENDING_REVIEW:
        return Refusal(Code.CONFLICT, WAITS, reason="pending_review", extra={"agent_id": agent.id})
    if agent.expired_at is not None:
        return Refusal(Code.CONFLICT, OVER, reason="agent_expired", extra={"agent_id": agent.id})
    return None


def check_can_work(agent: Agent) -> None:
    """CONFLICT if no run of the agent may start."""
    if (refusal := why_idle(agent)) is not None:
        raise refusal


async def hold_starts(ctx: Context, agent_id: str, *, shared: bool = True) -> None:
    """Orders the start of a run and the stopping of its agent: a stop is not `shared`, and finds all runs.

    Call it before locking chats, runs and the agent; the agent's row alone could not do it, because it is locked after
    the runs have been read.
    """
    await ctx.lock(starts_of(agent_id), shared=shared)


def starts_of(agent_id: str) -> str:
    """The name of the lock on an agent's starts, for code outside operations."""
    return f"starts of {agent_id}"


async def may_start(ctx: Context, user_id: str | None) -> bool:
    """Returns true if the user is a member, and keeps the membership until the end of the transaction: a concurrent
    removal finds the run.

    Call it before locks of chats and runs, like `hold_starts`. Runs that no user starts need no such right.
    """
    if not user_id:
        return True
    own = await first_with(ctx, Membership, user_id=user_id, lock=Lock.shared, including_hidden=True)
    return own is not None


async def start_run(ctx: Context, run: Run, *, conflict: Conflict) -> Run:
    """Stores a new run and sets its agent RUNNING, after `hold_starts`. `conflict`: the texts if its id is taken or its
    chat has a live run.

    The agent's row is locked last, after the chat's and the run's; every operation uses this order.
    """
    await ctx.insert(run, conflict=conflict)
    agent = await ctx.get(Agent, run.agent_id, lock=True)
    if agent.status != AgentStatus.RUNNING:
        await ctx.move(AGENT_STATES, agent.id, AgentStatus.RUNNING)
    ctx.emit(RunStarted(run_id=run.id, agent_id=agent.id, agent_name=agent.name, status=RunStatus.RUNNING))
    ctx.emit(AgentStatusChanged(agent_id=agent.id, agent_name=agent.name, status=AgentStatus.RUNNING))
    return run


async def end_run(ctx: Context, run_id: str, end: End) -> Run:
    """Ends a run and settles its agent. The first end wins: a run that has ended is returned unchanged, without
    events.
    """
    run = await ctx.get(Run, run_id, lock=True, missing=MISSING)
    return run if run.status != RunStatus.RUNNING else await end_locked(ctx, run, end)


async def end_locked(ctx: Context, run: Run, end: End) -> Run:
    """The same for a live run that this call has locked."""
    ended = await close_run(ctx, run, end)
    agent = await _settle(ctx, run.agent_id, end.status)
    announce_end(ctx, ended, agent)
    if ended.status in GOES_WRONG:
        await tell_of_failure(ctx, ended, agent)
    ctx.emit(AgentStatusChanged(agent_id=agent.id, agent_name=agent.name, status=agent.status))
    return ended


async def close_run(ctx: Context, run: Run, end: End) -> Run:
    """Ends only the run itself, for callers that settle the agent and emit the events."""
    exit_code, of_webhook = end.exit_code, run.trigger_type == BY_WEBHOOK and not end.reported
    if exit_code is None and of_webhook:
        exit_code = int(end.status != RunStatus.COMPLETED)  # unwatched: the exit code is its result (contract)
    ended = await ctx.move(
        RUN_STATES,
        run.id,
        end.status,
        error_message=None if end.error_message is None else cut(end.error_message, ERROR),
        exit_code=exit_code,
        # a webhook's sender gets only its own content back (contract: webhooks.trigger)
        data={**(run.data or {}), **end.data} if end.data and not of_webhook else run.data,
        model=end.model or model_in(end.data) or run.model,
    )
    await _follow(ctx, ended, end.reply)
    return ended


async def _follow(ctx: Context, run: Run, reply: str | None) -> None:
    if run.waits_for is not None:
        ctx.enqueue(CALL_OFF, run_id=run.id)
    await end_assignment(ctx, run, reply)
    await end_question(ctx, run, reply)
    await end_routine_step(ctx, run, reply)
    call_off_given(ctx, run)


async def follow_end(ctx: Context, run: Run) -> None:
    """Carries out the consequences of an end that left out the agent. Declare RUN_ENDS."""
    await _follow(ctx, run, None)
    agent = await _settle(ctx, run.agent_id, run.status)
    announce_end(ctx, run, agent)
    ctx.emit(AgentStatusChanged(agent_id=agent.id, agent_name=agent.name, status=agent.status))


def model_in(metadata: dict[str, Any] | None) -> str | None:
    """The model that a run's metadata names."""
    model = (metadata or {}).get("model")
    return cut(model, LINE) if isinstance(model, str) and model else None


def announce_end(ctx: Context, run: Run, agent: Agent) -> None:
    event = RunCompleted if run.status == RunStatus.COMPLETED else RunFailed
    ctx.emit(event(run_id=run.id, agent_id=agent.id, agent_name=agent.name, agent_slug=agent.slug, status=run.status))


async def _settle(ctx: Context, agent_id: str, ended: RunStatus) -> Agent:
    """The agent after one of its runs: RUNNING while others are live, ERROR after a failure, otherwise IDLE.

    An agent that was stopped, or waits for a review, stays so. A deleted agent is unchanged.
    """
    agent = await first_with(ctx, Agent, id=agent_id, lock=Lock.update, including_deleted=True)
    if agent is None:
        raise Refusal(Code.NOT_FOUND, "Agent not found")
    if agent.status != AgentStatus.RUNNING or agent.deleted_at is not None:
        return agent
    if await first_with(ctx, Run, agent_id=agent_id, status=RunStatus.RUNNING) is not None:
        return agent
    return await ctx.move(AGENT_STATES, agent_id, AgentStatus.ERROR if ended in GOES_WRONG else AgentStatus.IDLE)
