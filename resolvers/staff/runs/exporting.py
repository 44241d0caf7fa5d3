"""Finished runs as traces of OpenTelemetry: what is exported, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlmodel import col

from models.resources.costs import ModelCall
from models.staff.agents import Agent
from models.staff.run_spans import RunSpan
from models.staff.runs import MOST_ANCESTORS, Run
from resolvers.kernel import AcrossWorkspaces, Context, Id, Input, clock, job
from resolvers.kernel.background.followers import follow, news
from resolvers.staff.runs.events import RunCompleted, RunFailed

MOST_SPANS: Final = 5_000
"""The most spans of a run that are exported, the first ones."""
AT_ONCE: Final = 100
"""The spans of a request."""
FOLLOWER: Final = "trace_export"


class OfRun(Input):
    run_id: Id


EXPORT = job("runs.export_trace", OfRun, unique="{run_id}", attempts=8)
"""Sends the trace of a finished run to the collector."""
FOLLOW = clock("runs.follow_ends", every=timedelta(seconds=1), when=news(FOLLOWER))
"""Ends of runs are looked for in the outbox, where a collector is configured."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A run with its spans, in the order in which they began, and the model calls that these name."""

    run: Run
    agent: Agent | None
    root: Run
    spans: Sequence[RunSpan]
    calls: Sequence[ModelCall]


async def enqueue_exports(rows: AcrossWorkspaces) -> bool:
    """Enqueues an export for each run that has ended. Returns whether there may be more."""
    ended, more = await follow(rows, FOLLOWER, None, types=[RunCompleted.type_, RunFailed.type_])
    for event in ended:
        rows.enqueue(EXPORT, event["workspace_id"], run_id=event["payload"]["run_id"])
    return more


async def traced(ctx: Context, data: OfRun, after: int) -> Traced | None:
    """The next portion of spans, after one by number: each may have texts. None where the run is gone."""
    run = await ctx.select(Run, col(Run.id) == data.run_id).first()
    if run is None:
        return None
    agent = await ctx.select(Agent, col(Agent.id) == run.agent_id, including_deleted=True).first()
    own = (col(RunSpan.run_id) == run.id, col(RunSpan.created_at) == run.created_at, col(RunSpan.seq) > after)
    spans = await ctx.select(RunSpan, *own).order_by(col(RunSpan.seq)).limit(AT_ONCE).all()
    calls = await ctx.select(ModelCall, col(ModelCall.run_id) == run.id).limit(MOST_SPANS).all()
    return Traced(run, agent, await _root(ctx, run), spans, calls)


async def _root(ctx: Context, run: Run) -> Run:
    """The run that no other one has asked for: runs below it are in its trace."""
    for _ in range(MOST_ANCESTORS):
        parent = run.parent_id and await ctx.select(Run, col(Run.id) == run.parent_id).first()
        if not parent:
            break
        run = parent
    return run
