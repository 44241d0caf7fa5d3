"""Queued runs, which the API calls pending: list them, and cancel one."""

from typing import Annotated, Final

from pydantic import Field
from sqlmodel import col

from models.work.routine_runs import RoutineRun, RoutineRunStatus
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Id,
    Input,
    NoInput,
    Output,
    QueryScope,
    Refusal,
    Rows,
    command,
    constant,
    query,
)
from resolvers.work.routine_runs.advancing import cancel
from resolvers.work.routine_runs.events import RoutineRunFailed
from resolvers.work.routine_runs.queueing import PENDING_PREFIX, run_id_of

MOST_PENDING: Final = 100
"""contract: routines.pending"""
NOT_PENDING: Final = "No such run is pending"
FIRST = (col(RoutineRun.fire_at), col(RoutineRun.id))


class CancelPendingRoutineRun(Input):
    """`pending_id`: from the list of pending runs, or from the answer of a deferred start."""

    pending_id: Annotated[Id, Field(min_length=1)]


class PendingRoutineRunCancelled(Output):
    """The run never begins; `cancelled` is the id as it was sent."""

    ok: bool = True
    cancelled: str


@query("routines.pending", Action.READ, tickets=False)
def list_pending_routine_runs(scope: QueryScope, data: NoInput) -> Rows[RoutineRun]:
    """List runs that have not begun.

    They wait for their time, or for a place of their concurrency key. At most 100, those that begin first.
    """
    queued = col(RoutineRun.status) == constant(RoutineRunStatus.queued)
    return scope.select(RoutineRun).where(queued).order_by(*FIRST).limit(MOST_PENDING)


@command(
    "routines.pending_cancel",
    Action.CREATE,
    audit="routine_run.cancelled",
    emits=RoutineRunFailed,
    errors=(Code.NOT_FOUND,),
)
async def cancel_pending_routine_run(ctx: Context, data: CancelPendingRoutineRun) -> PendingRoutineRunCancelled:
    """Cancel a run that has not begun.

    A run that has begun is not found here, and neither is one that was cancelled.
    """
    id = run_id_of(data.pending_id) if data.pending_id.startswith(PENDING_PREFIX) else data.pending_id
    queued = (col(RoutineRun.id) == id, col(RoutineRun.status) == RoutineRunStatus.queued)
    if await ctx.select(RoutineRun, *queued).locked().first() is None or await cancel(ctx, id) is None:
        raise Refusal(Code.NOT_FOUND, NOT_PENDING)
    return PendingRoutineRunCancelled(cancelled=data.pending_id)
