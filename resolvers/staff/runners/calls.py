"""Operations of workers: send a call to a runner, and follow it.

A call that no process has begun waits for one; a call whose process stops answering is lost, because it may have done
part of its work.
"""

import hashlib
from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, Field
from sqlalchemy import func, or_, select
from sqlmodel import col

from models.bounds import LINE
from models.sealed import Sealed
from models.staff.agents import Agent
from models.staff.runners import MOST_REQUEST, Runner, RunnerCall, RunnerCallState
from models.staff.runs import Run
from resolvers.kernel import (
    NO_SURFACE,
    AcrossWorkspaces,
    Action,
    Code,
    Context,
    Id,
    Input,
    Output,
    Refusal,
    Topic,
    across_workspaces,
    command,
    constant,
    forbidden,
    instance,
)

CALL_LEASE: Final = timedelta(seconds=30)
MOST_CONTENT: Final = 100_000
MOST_QUEUED: Final = 100
NOT_ALLOWED: Final = "The agent's runner is no longer in use for this agent"
FULL: Final = f"{MOST_QUEUED} calls wait for the agent's runner already"
GONE: Final = "The agent's runner was revoked or changed during a call, which may have done part of its work"
LOST: Final = "The agent's runner stopped answering during a call, which may have done part of its work"
WAITING: Final = frozenset({RunnerCallState.QUEUED, RunnerCallState.TAKEN})


class GivenToCall(BaseModel):
    credential_id: str
    type: str
    variable: str
    value: str = Field(repr=False)


class AskedTool(BaseModel):
    """A call as it is stored. `given`: credentials of the run, whose values the run redacts; they are checked again
    when a runner takes the call.
    """

    agent_id: str
    agent_slug: str
    crew_id: str | None
    profile: str
    restricted: bool
    tool: str
    arguments: dict[str, Any] = Field(repr=False)
    given: list[GivenToCall] = Field(default_factory=list, repr=False)


class ToolOutcome(Input):
    """The result of a call."""

    content: Annotated[str, Field(strict=True, max_length=MOST_CONTENT)]
    is_error: Annotated[bool, Field(strict=True)] = False


class SendCall(Input):
    """`step` names the call in its run: sent again, the same call is answered."""

    run_id: Id
    step: Annotated[str, Field(max_length=LINE)]
    runner_id: Id
    agent_id: Id
    asked: Annotated[str, Field(max_length=MOST_REQUEST, repr=False)]


class CallSent(Output):
    call_id: str


def call_of(run_id: str, step: str) -> str:
    return f"rc_{hashlib.sha256(f'{run_id}/{step}'.encode()).hexdigest()[:32]}"


@command("runners.send", Action.UPDATE, errors=(Code.FORBIDDEN, Code.CONFLICT, Code.NOT_FOUND), surfaces=NO_SURFACE)
async def send_call(ctx: Context, data: SendCall) -> CallSent:
    """Send a call to a runner.

    For the worker that executes the run. Once for each call, however often it is sent.
    """
    id = call_of(data.run_id, data.step)
    await ctx.lock(f"call {id}")
    if await ctx.select(RunnerCall, col(RunnerCall.id) == id).exists():
        return CallSent(call_id=id)
    await ctx.get(Run, data.run_id)
    agent = await ctx.get(Agent, data.agent_id)
    whose = or_(col(Runner.agent_id) == agent.id, col(Runner.crew_id) == (agent.crew_id or ""))
    usable = (col(Runner.id) == data.runner_id, col(Runner.in_use), whose)
    runner = await ctx.select(Runner, *usable).shared().first()
    if runner is None:
        raise forbidden(NOT_ALLOWED)
    queued = (col(RunnerCall.runner_id) == runner.id, col(RunnerCall.state) == RunnerCallState.QUEUED)
    if await ctx.select(RunnerCall, *queued).count() >= MOST_QUEUED:
        raise Refusal(Code.CONFLICT, FULL)
    sealed = await instance.vault.seal(
        data.asked, table=RunnerCall, column="request", row_id=id, workspace_id=ctx.workspace_id
    )
    await ctx.insert(RunnerCall(id=id, runner_id=runner.id, run_id=data.run_id, agent_id=agent.id, request=sealed))
    ctx.ring(Topic.runners, runner.id)
    return CallSent(call_id=id)


class CallProgress(BaseModel):
    """The state of a call for its worker. `output` is the piece number `seq`, if there is a new one. `failed`: why it
    has no outcome. `waits`: seconds without a connected runner.
    """

    seq: int = 0
    output: str = Field(default="", repr=False)
    outcome: ToolOutcome | None = Field(default=None, repr=False)
    failed: str = ""
    waits: float = 0.0


async def follow_call(workspace_id: str, call_id: str, seen: int) -> CallProgress:
    """The progress beyond the piece number `seen`. A lease that has ended is settled here: by the clock of the
    database, so every reader finds the same. A text is read when it is needed: most looks find nothing new.
    """

    async def look(rows: AcrossWorkspaces) -> Any:
        here = rows.within(workspace_id)
        call, runner = here.table(RunnerCall), here.table(Runner, "id", "connected_until", "seen_at")
        shown = [call.c[name] for name in ("state", "seq")]
        ended = (call.c.leased_until < func.now()).label("ended")
        away = func.now() - func.greatest(runner.c.connected_until, call.c.created_at)
        joined = call.join(runner, runner.c.id == call.c.runner_id)
        report = select(*shown, ended, func.extract("epoch", away).label("away")).select_from(joined)
        found = await here.report(report.where(call.c.id == call_id))
        if not found:
            return None
        lapsed = (col(RunnerCall.id) == call_id, col(RunnerCall.leased_until) < func.now())
        if found[0]["ended"] and found[0]["state"] == RunnerCallState.RUNNING:
            running = col(RunnerCall.state) == constant(RunnerCallState.RUNNING)
            await here.update_where(RunnerCall, *lapsed, running, state=RunnerCallState.LOST)
        elif found[0]["ended"] and found[0]["state"] == RunnerCallState.TAKEN:
            taken = col(RunnerCall.state) == constant(RunnerCallState.TAKEN)
            await here.update_where(RunnerCall, *lapsed, taken, state=RunnerCallState.QUEUED)
        column = call.c.shown if found[0]["seq"] > seen else call.c.outcome
        if column is call.c.outcome and found[0]["state"] != RunnerCallState.ENDED:
            return found[0], column.name, None
        texts = await here.report(select(column).where(call.c.id == call_id))
        return (found[0], column.name, texts[0][0]) if texts else None

    found = await across_workspaces(look)
    if found is None:
        return CallProgress(failed=GONE)
    row, column, sealed = found
    if sealed is not None:
        text = await _opened(sealed, call_id, column)
        if column == "shown":
            return CallProgress(seq=row["seq"], output=text)
        return CallProgress(seq=seen, outcome=ToolOutcome(**orjson.loads(text)))
    if row["state"] == RunnerCallState.LOST or (row["state"] == RunnerCallState.RUNNING and row["ended"]):
        return CallProgress(seq=seen, failed=LOST)
    waits = max(float(row["away"]), 0.0) if row["state"] in WAITING else 0.0
    return CallProgress(seq=seen, waits=waits)


async def _opened(value: bytes, call_id: str, column: str) -> str:
    return (await instance.vault.open(Sealed(value), table=RunnerCall, column=column, row_id=call_id)).reveal()


async def piece_shown(workspace_id: str, call_id: str, seq: int) -> None:
    """The runner may send the next piece of output."""

    async def note(rows: AcrossWorkspaces) -> None:
        earlier = (col(RunnerCall.id) == call_id, col(RunnerCall.taken) < seq)
        await rows.within(workspace_id).update_where(RunnerCall, *earlier, taken=seq)

    await across_workspaces(note)


async def withdraw_call(workspace_id: str, call_id: str) -> bool:
    """Removes a call that no runner has begun; returns whether it was."""

    async def withdraw(rows: AcrossWorkspaces) -> bool:
        waiting = col(RunnerCall.state).in_(sorted(WAITING))
        return bool(await rows.within(workspace_id).take(RunnerCall, col(RunnerCall.id) == call_id, waiting))

    return await across_workspaces(withdraw)


async def forget_call(workspace_id: str, call_id: str) -> None:
    """Removes an ended call, whose outcome the run has stored."""

    async def forget(rows: AcrossWorkspaces) -> None:
        await rows.within(workspace_id).take(RunnerCall, col(RunnerCall.id) == call_id)

    await across_workspaces(forget)
