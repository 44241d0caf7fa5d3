"""A step of the type `agent_run` by itself: the agent works in a run of its own, and the caller waits for it."""

import asyncio
import contextlib
import time
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlalchemy import func, select

from models.bounds import CONFIG
from models.resources.costs import ModelCall
from models.staff.runs import Run, RunStatus
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import (
    NO_SURFACE,
    AcrossWorkspaces,
    Action,
    Code,
    Context,
    Id,
    Input,
    Output,
    Text,
    Topic,
    across_workspaces,
    command,
)
from resolvers.kernel.store.bus import bus
from resolvers.staff.runs.cancelling import NEVER_RAN, ask_to_cancel, waits
from resolvers.staff.runs.events import RUN_ENDS, RUN_STARTS
from resolvers.staff.runs.lifecycle import end_run, hold_starts, start_run
from resolvers.staff.runs.routine_steps import ANSWER, FAILED, TRIAL
from resolvers.work.routine_runs.agents import agent_of
from resolvers.work.routine_runs.starting import check_active
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

LONGEST: Final = 300.0
"""Seconds that a caller waits for an agent."""
LOOK: Final = 5.0
TOO_LATE: Final = "the agent did not answer in time"


class AgentToTry(ByRoutineSlug):
    step_id: Text
    step_type: Text
    agent_slug: Text
    prompt: Annotated[str, Field(strict=True, min_length=1, max_length=CONFIG)]


class AgentTried(Output):
    """The run of the agent."""

    run_id: str


class TrialOfAgent(Input):
    run_id: Id


@command(
    "routines.step_ask",
    Action.CREATE,
    subject=ROUTINE,
    audit="routine.step_executed",
    emits=RUN_STARTS,
    errors=(Code.CONFLICT,),
    surfaces=NO_SURFACE,
)
async def ask_agent(ctx: Context, routine: SavedRoutine, data: AgentToTry) -> AgentTried:
    """Start the agent of a step that is executed by itself."""
    check_active(routine)
    agent = await agent_of(ctx, routine, data.agent_slug)
    await hold_starts(ctx, agent.id)
    known: dict[str, Any] = {"cli_adapter": agent.cli_adapter, "crew_id": agent.crew_id, "agent_slug": agent.slug}
    run = Run(
        agent_id=agent.id,
        triggered_by=ctx.user_id or None,
        trigger_type=TRIAL,
        prompt=data.prompt,
        data=known | {"tags": ["routine"], "routine": routine.slug, "step": data.step_id},
    )
    await start_run(ctx, run, conflict={})
    ctx.audit("ROUTINE", routine.id, step_id=data.step_id, step_type=data.step_type, run_id=run.id)
    ctx.ring(Topic.queue)
    return AgentTried(run_id=run.id)


@command("routines.step_withdraw", Action.CREATE, emits=RUN_ENDS, errors=(Code.NOT_FOUND,), surfaces=NO_SURFACE)
async def withdraw_agent(ctx: Context, data: TrialOfAgent) -> AgentTried:
    """Stop the agent of a step for which no caller waits."""
    run = await ctx.get(Run, data.run_id, lock=True)
    if run.trigger_type == TRIAL and waits(run):
        await end_run(ctx, run.id, NEVER_RAN)
    elif run.trigger_type == TRIAL and run.status is RunStatus.RUNNING:
        await ask_to_cancel(ctx, run.id)
    return AgentTried(run_id=run.id)


async def answer_of(ctx: Context, named: dict[str, str], prompt: str, step: Any) -> dict[str, Any]:
    """The parts of the outcome that an agent gives, or its `error`."""
    place = ctx.request.place
    asked = named | {"agent_slug": step.agent_slug, "prompt": prompt}
    made = await ask_agent(ctx.caller, asked, place=place)
    run_id = orjson.loads(made.body or b"{}")["run_id"]
    seconds = min(float(step.timeout_seconds), LONGEST) if step.timeout_seconds > 0 else LONGEST
    ended = False
    try:
        state = await _ended(ctx.workspace_id or "", run_id, seconds)
        ended = state["status"] != RunStatus.RUNNING
    finally:
        if not ended:  # the time is over, or the caller has gone
            await asyncio.shield(withdraw_agent(ctx.caller, {"run_id": run_id}, place=place))
    told = {"rendered_prompt": prompt, "model": state["model"] or "", "adapter": state["cli_adapter"] or ""}
    told |= {"cost_usd": float(state["cost"] or 0) / 1_000_000, "output": state["answer"] or ""}
    told |= {"tokens_in": int(state["tokens_in"] or 0), "tokens_out": int(state["tokens_out"] or 0)}
    if not ended:
        return told | {"error": TOO_LATE}
    return told if state["status"] == RunStatus.COMPLETED else told | {"error": state["error_message"] or FAILED}


async def _ended(workspace_id: str, id: str, seconds: float) -> Any:
    """The run after its end, or after so many seconds."""
    until, rung = time.monotonic() + seconds, asyncio.Event()
    silence = bus.on(Topic.events, lambda key: rung.set())

    async def look(rows: AcrossWorkspaces) -> Any:
        here = rows.within(workspace_id)
        run, calls = here.table(Run), here.table(ModelCall)
        of_run = calls.c.run_id == run.c.id
        sums = {"cost": "cost_micros", "tokens_in": "input_tokens", "tokens_out": "output_tokens"}
        spent = [
            select(func.sum(calls.c[column])).where(of_run).scalar_subquery().label(name)
            for name, column in sums.items()
        ]
        said = [run.c.data[name].astext.label(name) for name in (ANSWER, "cli_adapter")]
        shown = [run.c.status, run.c.error_message, run.c.model, *said, *spent]
        return (await here.report(select(*shown).where(run.c.id == id)))[0]

    try:
        while True:
            rung.clear()
            state = await across_workspaces(look)
            left = until - time.monotonic()
            if state["status"] != RunStatus.RUNNING or left <= 0:
                return state
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK, left)):
                    await rung.wait()
            await asyncio.sleep(0.1)
    finally:
        silence()
