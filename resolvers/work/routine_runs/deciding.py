"""Decisions about runs: cancel one, decide what it waits for, send it a signal."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import Field

from models.bounds import LINE
from models.work.routine_runs import LONGEST_SIGNAL, NOTE, RoutineRun, RoutineRunStatus, Waitpoint
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    ENDS,
    REST_ONLY,
    Absent,
    Action,
    Auth,
    Bool,
    ById,
    Code,
    Context,
    Id,
    Input,
    Output,
    Refusal,
    Text,
    command,
    invalid,
    within,
)
from resolvers.work.routine_runs import advancing
from resolvers.work.routine_runs.events import RoutineApprovalDecided, RoutineRunFailed
from resolvers.work.routine_runs.graph import RUN

DECIDED = "This approval was already decided, timed out, or does not exist"
"""contract: waitpoints.approve, one answer for all"""
NOBODY_WAITS = "The run does not wait for this event"
MOST_WAITS = 10_000
"""contract: signals.send"""
EventType = Annotated[str, Field(strict=True, min_length=1, max_length=LINE)]
SignalPayload = Annotated[str, Field(strict=True, max_length=LONGEST_SIGNAL)]


class DecideWaitpoint(Input):
    """`token`: the approval's token, or its id. `approved` of false, the default, is a denial."""

    token: Id
    approved: Bool = False
    comment: Annotated[str, Field(strict=True, max_length=NOTE)] = ""


class CompleteWaitpoint(Input):
    """`token`: the approval's. `payload` is stored with the decision: text, or at most 2,000 characters of JSON."""

    token: Text = Field(min_length=1, repr=False)
    approved: Bool = True
    payload: Annotated[Any, within(NOTE), ENDS] = None


class WaitpointDecided(Output):
    """The decision; the run continues in the background."""

    ok: bool = True
    approved: bool


class SignalRoutineRun(ById):
    """`payload` becomes the output of the step that waits."""

    event_type: EventType
    payload: SignalPayload = ""


class RoutineRunSignalled(Output):
    """The oldest wait of the run for the event took it."""

    ok: bool = True
    delivered: bool = True


class SendSignal(Input):
    """`payload` becomes the output of each step that waits for the event."""

    event_type: EventType
    payload: SignalPayload = ""


class SignalSent(Output):
    """The number of waits that took the event, and their runs; `truncated` is true if there may be more."""

    ok: bool = True
    delivered: int
    run_ids: list[str]
    truncated: Annotated[bool | None, Absent()] = None


class RoutineRunCancelled(Output):
    """The run ends; `parked` is true if it waited, and has ended already."""

    run_id: str
    cancel_requested: bool = True
    cancel_requested_at: datetime
    parked: Annotated[bool | None, Absent()] = None


@command(
    "routines.cancel_run",
    Action.MANAGE,
    subject=RUN,
    audit="routine_run.cancelled",
    emits=(RoutineRunFailed, InboxItemUpdated),
)
async def cancel_routine_run(ctx: Context, run: RoutineRun, data: ById) -> RoutineRunCancelled:
    """Cancel a run of a routine.

    A run that waits, or has not begun, ends at once; a running one ends at its next step. A run that has ended is not
    found.
    """
    waited = run.status in (RoutineRunStatus.waiting, RoutineRunStatus.queued)
    at = await advancing.cancel(ctx, run.id)
    if at is None:
        raise Refusal(Code.NOT_FOUND, RUN.missing)
    return RoutineRunCancelled(run_id=run.id, cancel_requested_at=at, parked=waited or None)


@command(
    "waitpoints.approve",
    Action.CREATE,
    audit="waitpoint.decided",
    emits=(RoutineApprovalDecided, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def decide_waitpoint(ctx: Context, data: DecideWaitpoint) -> WaitpointDecided:
    """Approve or deny what a run waits for.

    After an approval the run continues from the waiting step; after a denial it fails.
    """
    if not await advancing.decide(ctx, data.token, approved=data.approved, comment=data.comment):
        raise Refusal(Code.CONFLICT, DECIDED)
    return WaitpointDecided(approved=data.approved)


@command(
    "waitpoints.complete",
    Action.NONE,
    audit="waitpoint.decided",
    auth=Auth.NONE,
    emits=(RoutineApprovalDecided, InboxItemUpdated),
    errors=(Code.CONFLICT,),
    surfaces=REST_ONLY,
)
async def complete_waitpoint(ctx: Context, data: CompleteWaitpoint) -> WaitpointDecided:
    """Decide what a run waits for, by the token of the approval.

    Without signing in: who has the token decides. The answer is the same for a token that is unknown and for an
    approval that is decided, timed out or cancelled.
    """
    place = await ctx.place_by_secret(Waitpoint.token, data.token)
    if place is None:
        raise Refusal(Code.CONFLICT, DECIDED)
    await ctx.enter(place)
    if not await advancing.decide(ctx, data.token, approved=data.approved, comment=_written(data.payload)):
        raise Refusal(Code.CONFLICT, DECIDED)
    return WaitpointDecided(approved=data.approved)


def _written(payload: Any) -> str:
    text = "" if payload is None else payload if isinstance(payload, str) else orjson.dumps(payload).decode()
    if len(text) > NOTE:
        raise invalid("payload", f"must have at most {NOTE} characters")
    return text


@command("routine_runs.signal", Action.CREATE, subject=RUN, audit="routine_run.signalled")
async def signal_routine_run(ctx: Context, run: RoutineRun, data: SignalRoutineRun) -> RoutineRunSignalled:
    """Send an event to a run that waits for it.

    The event is stored before the run continues. Without a wait for it in the run, it is not found.
    """
    if not await advancing.signal(ctx, run.id, data.event_type, data.payload):
        raise Refusal(Code.NOT_FOUND, NOBODY_WAITS)
    ctx.audit("ROUTINE_RUN", run.id, event_type=data.event_type)
    return RoutineRunSignalled()


@command("signals.send", Action.CREATE, audit="signal.sent")
async def send_signal(ctx: Context, data: SendSignal) -> SignalSent:
    """Send an event to all runs that wait for it.

    At most 10,000 waits of the workspace take it, each once. It is no error if no run waits.
    """
    runs = await advancing.signal_all(ctx, data.event_type, data.payload, most=MOST_WAITS)
    if runs:
        ctx.audit("WORKSPACE", ctx.workspace_id, event_type=data.event_type, delivered=len(runs))
    truncated = True if len(runs) == MOST_WAITS else None
    return SignalSent(delivered=len(runs), run_ids=sorted(set(runs)), truncated=truncated)
