"""An agent waits for the answer to its question, over the internal API."""

import asyncio
import contextlib
import time
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models.staff.assignments import Escalation, EscalationStatus, EscalationType
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    NO_SURFACE,
    NOW,
    Absent,
    Action,
    Auth,
    Code,
    Context,
    Entity,
    Output,
    Topic,
    command,
    instance,
    procedure,
)
from resolvers.kernel.store.bus import bus
from resolvers.staff.assignments.events import ChatEscalationExpired, EscalationExpired
from resolvers.staff.escalations.deciding import GOES_ON, UNANSWERED, WITHDRAWN, ByEscalation, expire
from resolvers.staff.escalations.raising import WAITS

LOOK, PAUSE = 5.0, 0.25
ESCALATION: Final = Entity(Escalation, "escalation_id")
MISSING: Final = "Escalation not found"


class WaitStatus(StrEnum):
    """The end of a wait. UNANSWERED: the question stays open for people, and the agent continues."""

    RESOLVED = "RESOLVED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    UNANSWERED = "UNANSWERED"


class EscalationAnswer(Output):
    """The answer, with the value that was provided for a CREDENTIAL. Without an answer, `warning` says how to
    continue.
    """

    status: WaitStatus
    resolution: str = Field(default="", repr=False)
    action: str = ""
    redirect_to: Annotated[str | None, Absent()] = None
    warning: Annotated[str | None, Absent()] = None
    agent_action: Annotated[str | None, Absent()] = None
    still_open: Annotated[bool | None, Absent()] = None


class EscalationWait(Output):
    """The answer, or the seconds in which one may come."""

    answer: EscalationAnswer | None = None
    seconds_left: float = 0


@command(
    "escalations.look",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=ESCALATION,
    emits=(ChatEscalationExpired, EscalationExpired, InboxItemUpdated),
    errors=(Code.NOT_FOUND,),
    surfaces=NO_SURFACE,
    secret=True,
)
async def look_for_answer(ctx: Context, data: ByEscalation) -> EscalationWait:
    """Record that an agent gave up at its deadline.

    Returns the answer if there is one, otherwise the time until the deadline.
    """
    row = await ctx.get(Escalation, data.escalation_id, missing=MISSING)
    if row.status is not EscalationStatus.PENDING:
        return EscalationWait(answer=await _answer(row))
    now = await ctx.now()
    left = ((row.deadline_at or row.created_at + timedelta(seconds=WAITS)) - now).total_seconds()
    if left > 0 and row.agent_gave_up_at is None:
        return EscalationWait(seconds_left=left)
    row = await ctx.get(Escalation, data.escalation_id, lock=True, missing=MISSING)
    if row.status is not EscalationStatus.PENDING:
        return EscalationWait(answer=await _answer(row))
    if row.answer_deadline_at is not None and row.answer_deadline_at <= now:
        await expire(ctx, row)
        return EscalationWait(answer=_without(WaitStatus.EXPIRED))
    if row.agent_gave_up_at is None:
        await ctx.update_where(Escalation, col(Escalation.id) == row.id, agent_gave_up_at=NOW)
    return EscalationWait(answer=_without(WaitStatus.UNANSWERED))


@procedure(
    "internal.escalations.wait",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=ESCALATION,
    errors=(Code.NOT_FOUND,),
    late=True,
)
async def wait_for_answer(ctx: Context, data: ByEscalation) -> EscalationAnswer:
    """Get the answer to an escalation (for agents).

    Answers at once if it was decided, otherwise when it is, or at its `deadline_at`, after up to 300 seconds. Without
    an answer the agent continues with a warning, and must not assume approval.
    """
    rung = asyncio.Event()
    silence = bus.on(Topic.events, lambda key: rung.set())
    try:
        while True:
            rung.clear()
            state, asked = await _look(ctx, data), time.monotonic()
            if state.answer is not None:
                return state.answer
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK, state.seconds_left)):
                    await rung.wait()
            await asyncio.sleep(max(0.0, PAUSE - (time.monotonic() - asked)))
    finally:
        silence()


async def _look(ctx: Context, data: ByEscalation) -> EscalationWait:
    answer = await look_for_answer(ctx.caller, data.model_dump(), place=ctx.request.place)
    return EscalationWait(**orjson.loads(answer.body or b"{}"))


async def _answer(row: Escalation) -> EscalationAnswer:
    if row.status is not EscalationStatus.RESOLVED:
        return _without(WaitStatus(row.status.value))
    resolution = row.resolution or ""
    if row.type is EscalationType.CREDENTIAL and row.handed_over is not None:
        opened = await instance.vault.open(row.handed_over, table=Escalation, column="handed_over", row_id=row.id)
        resolution = opened.reveal()
    return EscalationAnswer(
        status=WaitStatus.RESOLVED, resolution=resolution, action=row.action, redirect_to=row.redirect_to or ""
    )


def _without(status: WaitStatus) -> EscalationAnswer:
    return EscalationAnswer(
        status=status,
        warning=WITHDRAWN if status is WaitStatus.CANCELLED else UNANSWERED,
        agent_action=GOES_ON,
        still_open=status is WaitStatus.UNANSWERED,
    )
