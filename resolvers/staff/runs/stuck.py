"""Runs become stuck by time alone: a clock finds them, and an event announces each."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func
from sqlmodel import col

from models.staff.runs import Run, RunStatus
from resolvers.attention.inbox.needs import STUCK, is_stuck
from resolvers.kernel import NOW, AcrossWorkspaces, Context, clock, constant, job
from resolvers.kernel.store.across import waiting
from resolvers.staff.runs.events import RunStuck, RunTaken
from resolvers.staff.runs.passing_on import RunToPassOn

MOST = 1_000
"""Runs of one tick."""
NEW: tuple[Any, ...] = (*is_stuck(Run), col(Run.stuck_at).is_(None))
TAKEN: tuple[Any, ...] = (
    col(Run.status) == constant(RunStatus.RUNNING),
    col(Run.stuck_at).is_not(None),
    col(Run.leased_until) >= func.now() - STUCK,
)
LOOK = clock("runs.stuck", every=timedelta(seconds=30), when=f"{waiting(Run, *NEW)} OR {waiting(Run, *TAKEN)}")
NOTE = job("runs.note_stuck", RunToPassOn, unique="{run_id}", emits=(RunStuck, RunTaken))


async def enqueue_stuck(rows: AcrossWorkspaces) -> None:
    """A job for each run that has become stuck, or is executed again."""
    for conditions in (NEW, TAKEN):
        for row in await rows.everywhere.select(Run, *conditions, limit=MOST):
            rows.enqueue(NOTE, row["workspace_id"], run_id=row["id"])


async def note_stuck(ctx: Context, run_id: str) -> None:
    """Notes and announces the change, unless the run has ended or changed back meanwhile."""
    this = col(Run.id) == run_id
    for conditions, since, event in ((NEW, NOW, RunStuck), (TAKEN, None, RunTaken)):
        if await ctx.update_where(Run, this, *conditions, stuck_at=since):
            run = await ctx.get(Run, run_id)
            ctx.emit(event(run_id=run.id, agent_id=run.agent_id))
            return
