"""Runs of agents that are steps of routines: the end of a run is recorded with its step, and the routine continues."""

from hashlib import sha256
from typing import Any, Final

from sqlmodel import col

from models.bounds import ERROR, cut
from models.staff.runs import Run, RunStatus
from models.work.routine_runs import LARGEST_OUTPUT, RoutineRunStep, RoutineStepState
from resolvers.kernel import Context, Id, Input, job

TRIGGER: Final = "ROUTINE"
TRIAL: Final = "ROUTINE_TRIAL"
"""Runs for a step that is executed by itself; the reply is kept with the run."""
ANSWER: Final = "answer"
LONGEST_ANSWER: Final = 200_000
FAILED: Final = "the agent's run failed"


class RoutineRunOfStep(Input):
    routine_run_id: Id


STEP_ENDED = job("routine_steps.ended", RoutineRunOfStep, unique="{routine_run_id}")
"""A routine continues after the run of an agent."""


def agent_run_id(routine_run_id: str, path: str, attempt: int) -> str:
    """The id of the run for one attempt at a step: no other run can take its place."""
    return f"{routine_run_id}-{sha256(f'{path}:{attempt}'.encode()).hexdigest()[:16]}"


async def end_routine_step(ctx: Context, run: Run, reply: str | None) -> None:
    """With the run's own end."""
    if run.trigger_type == TRIAL and reply:
        kept = (run.data or {}) | {ANSWER: cut(reply.replace("\0", ""), LONGEST_ANSWER)}
        await ctx.update(Run, run.id, data=kept)
        return
    if run.trigger_type != TRIGGER or run.data is None:
        return
    routine_run_id, path, attempt = (run.data.get(key) for key in ("routine_run_id", "step", "attempt"))
    if not (isinstance(routine_run_id, str) and isinstance(path, str) and isinstance(attempt, int)):
        return
    if run.id != agent_run_id(routine_run_id, path, attempt):
        return
    same = (col(RoutineRunStep.routine_run_id) == routine_run_id, col(RoutineRunStep.path) == path)
    step = await ctx.select(RoutineRunStep, *same).locked().first()
    if step is None or step.state is not RoutineStepState.parked or step.attempt != attempt:
        return
    if run.status is RunStatus.COMPLETED:
        outcome: dict[str, Any] = {"output": cut((reply or "").replace("\0", ""), LARGEST_OUTPUT)}
    else:
        outcome = {"error": cut(run.error_message or FAILED, ERROR)}
    await ctx.update(RoutineRunStep, step.id, **outcome)
    ctx.enqueue(STEP_ENDED, routine_run_id=step.routine_run_id)
