"""Users resolve or cancel escalations; the service expires those that are not answered in time."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import func
from sqlmodel import col

from models.attention.inbox import InboxKind
from models.bounds import DESCRIPTION
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.resources.credentials import Credential, CredentialEventType, CredentialStatus
from models.staff.agents import Agent
from models.staff.assignments import (
    ESCALATION_STATES,
    HANDED_OVER,
    Escalation,
    EscalationAction,
    EscalationStatus,
    EscalationType,
)
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.kernel import (
    NOW,
    Absent,
    AcrossWorkspaces,
    Action,
    Code,
    ConfigText,
    Context,
    Id,
    Input,
    NoInput,
    Output,
    Refusal,
    Subject,
    Text,
    clock,
    command,
    constant,
    instance,
    invalid,
    job,
)
from resolvers.kernel.store.across import waiting
from resolvers.resources.credentials.vault import tell, unbind
from resolvers.rules.security_levels import CRITICAL
from resolvers.staff.assignments.events import (
    ChatEscalationCancelled,
    ChatEscalationExpired,
    ChatEscalationResolved,
    EscalationCancelled,
    EscalationExpired,
    EscalationResolved,
)
from resolvers.staff.escalations.graph import SYSTEM, expiry_of
from resolvers.staff.escalations.raising import agent_of_crew

ENDED: Final = {
    EscalationStatus.RESOLVED: "The escalation is already resolved",
    EscalationStatus.CANCELLED: "The escalation was cancelled: the question was withdrawn before it was decided",
    EscalationStatus.EXPIRED: "The escalation has expired: it was not answered in time",
}
NOT_ALONE: Final = (
    "A second approver is required: you made the agent that asks for this credential, and its security level is"
    " critical (critical credential tier)"
)
LATE_ANSWER: Final = "The agent continued without an answer. The decision is recorded."
GOES_ON: Final = "continued_with_warning"
WITHDRAWN: Final = (
    "The question was withdrawn before it was decided. Continue without an answer, and assume no approval."
)
UNANSWERED: Final = "The question was not answered in time. Continue without an answer, and assume no approval."
RESOLVER: Final = "user"
"""The resolver of an escalation on the wire (contract: Escalation). The inbox names the person."""
MOST_SWEPT: Final = 500
MOST_DUE: Final = 1_000
OVERDUE: Final = (
    col(Escalation.status) == constant(EscalationStatus.PENDING),
    col(Escalation.answer_deadline_at) <= func.now(),
)
ESCALATION: Final = Subject(Escalation, "escalation_id")


class ByEscalation(Input):
    escalation_id: Id


class ResolveEscalation(ByEscalation):
    """`redirect_to` is the slug of another agent of the crew: required for `redirect`, ignored for other actions."""

    resolution: Annotated[ConfigText, Field(min_length=1)]
    action: EscalationAction = EscalationAction.approve
    redirect_to: Text | None = None


class EscalationOutcome(Output):
    """The decision. `agent_still_waiting`: the agent gets the answer now. If it has continued without one, since
    `agent_gave_up_at`, `note` says so.
    """

    id: str
    status: EscalationStatus
    action: EscalationAction
    agent_still_waiting: bool
    agent_gave_up_at: Annotated[datetime | None, Absent()] = None
    note: Annotated[str | None, Absent()] = None


class CancelEscalation(ByEscalation):
    """`reason`: stored with the escalation, and sent to its chat."""

    reason: Annotated[str, Field(strict=True, max_length=DESCRIPTION)] = ""


class EscalationWithdrawn(Output):
    """The cancelled escalation."""

    id: str
    status: EscalationStatus = EscalationStatus.CANCELLED


class EscalationsSwept(Output):
    """The number of escalations that have expired now."""

    expired: int


class OfEscalation(Input):
    escalation_id: Id


EXPIRE = clock("escalations.expire", every=timedelta(seconds=60), when=waiting(Escalation, *OVERDUE))
END = job(
    "escalations.end",
    OfEscalation,
    unique="{escalation_id}",
    emits=(ChatEscalationExpired, EscalationExpired, InboxItemUpdated),
)
"""No answer was given in time."""


@command(
    "escalations.resolve",
    Action.CREATE,
    audit="escalation.resolved",
    subject=ESCALATION,
    locked=True,
    emits=(ChatEscalationResolved, EscalationResolved, InboxItemUpdated),
    errors=(Code.CONFLICT, Code.FORBIDDEN),
    writes_on_refusal=True,
)
async def resolve_escalation(ctx: Context, escalation: Escalation, data: ResolveEscalation) -> EscalationOutcome:
    """Resolve an escalation.

    Works once; later decisions are refused. A value provided for a CREDENTIAL is encrypted and never returned. A
    critical credential cannot be decided by the user who made the asking agent. An answer after the agent has continued
    is recorded.
    """
    redirect_to = None
    if data.action is EscalationAction.redirect:
        if not data.redirect_to:
            raise invalid("redirect_to", "is required to redirect")
        redirect_to = (await agent_of_crew(ctx, escalation.crew_id, data.redirect_to, "redirect_to")).slug
    now = await ctx.now()
    _check_open(escalation, now)
    agent = await _asking(ctx, escalation)
    await _check_approver(ctx, escalation, agent, data.action)
    handed_over = escalation.type is EscalationType.CREDENTIAL
    if escalation.credential_id is not None:
        await _decide_credential(ctx, escalation.credential_id, data.action)
    said: dict[str, Any] = {"resolution": data.resolution}
    if handed_over:
        said = {
            "handed_over": await instance.vault.seal(
                data.resolution,
                table=Escalation,
                column="handed_over",
                row_id=escalation.id,
                workspace_id=ctx.workspace_id,
            )
        }
    row = await ctx.move(
        ESCALATION_STATES,
        escalation,
        EscalationStatus.RESOLVED,
        action=data.action,
        redirect_to=redirect_to,
        resolved_by=RESOLVER,
        **said,
    )
    shown = HANDED_OVER if handed_over else data.resolution
    if row.chat_id:
        ctx.emit(ChatEscalationResolved(chat_id=row.chat_id, id=row.id, resolution=shown, action=data.action))
    ctx.emit(EscalationResolved(id=row.id, crew_id=row.crew_id, from_slug=agent.slug, action=data.action))
    await settle(ctx, InboxKind.escalation, row.id, data.action)
    waits = row.agent_gave_up_at is None and row.deadline_at is not None and row.deadline_at > now
    note = LATE_ANSWER if row.agent_gave_up_at is not None else None
    return EscalationOutcome(
        id=row.id,
        status=row.status,
        action=row.action,
        agent_still_waiting=waits,
        agent_gave_up_at=row.agent_gave_up_at,
        note=note,
    )


@command(
    "escalations.cancel",
    Action.CREATE,
    audit="escalation.cancelled",
    subject=ESCALATION,
    locked=True,
    emits=(ChatEscalationCancelled, EscalationCancelled, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def cancel_escalation(ctx: Context, escalation: Escalation, data: CancelEscalation) -> EscalationWithdrawn:
    """Cancel an escalation that is pending.

    The agent continues without an answer. A credential that waits for this approval is rejected and deleted.
    """
    _check_open(escalation, await ctx.now())
    agent = await _asking(ctx, escalation)
    if escalation.credential_id is not None:
        await _decide_credential(ctx, escalation.credential_id, EscalationAction.reject)
    resolution = f"cancelled: {data.reason}" if data.reason else "cancelled by operator"
    row = await ctx.move(
        ESCALATION_STATES, escalation, EscalationStatus.CANCELLED, resolution=resolution, resolved_by=RESOLVER
    )
    if row.chat_id:
        told = {"id": row.id, "reason": data.reason}
        ctx.emit(ChatEscalationCancelled(chat_id=row.chat_id, status=EscalationStatus.CANCELLED, **told))
    ctx.emit(EscalationCancelled(id=row.id, crew_id=row.crew_id, from_slug=agent.slug))
    await settle(ctx, InboxKind.escalation, row.id, "cancelled")
    return EscalationWithdrawn(id=row.id)


@command(
    "escalations.sweep",
    Action.MANAGE,
    audit="escalations.swept",
    emits=(ChatEscalationExpired, EscalationExpired, InboxItemUpdated),
)
async def sweep_escalations(ctx: Context, data: NoInput) -> EscalationsSwept:
    """Finish escalations whose time for answers has ended.

    At most 500, which expire. The service does the same every 60 seconds.
    """
    due = ctx.select(Escalation, *OVERDUE).order_by(col(Escalation.answer_deadline_at), col(Escalation.id))
    overdue = await due.limit(MOST_SWEPT).locked().all()
    for escalation in overdue:
        await expire(ctx, escalation)
    if overdue:
        ctx.audit("ESCALATIONS", None, expired=len(overdue))
    return EscalationsSwept(expired=len(overdue))


async def enqueue_overdue(rows: AcrossWorkspaces) -> None:
    """A job for each escalation whose time is over."""
    due = await rows.everywhere.select(
        Escalation, *OVERDUE, order_by=col(Escalation.answer_deadline_at), limit=MOST_DUE
    )
    for row in due:
        rows.enqueue(END, row["workspace_id"], escalation_id=row["id"])


async def end(ctx: Context, escalation_id: str) -> None:
    """Expires the escalation unless it was decided meanwhile."""
    row = await ctx.select(Escalation, col(Escalation.id) == escalation_id, *OVERDUE).locked().first()
    if row is not None:
        await expire(ctx, row)


async def expire(ctx: Context, escalation: Escalation) -> None:
    """Ends a locked escalation. The operation declares the events of expiry."""
    if escalation.credential_id is not None:
        await _decide_credential(ctx, escalation.credential_id, EscalationAction.reject, by=SYSTEM)
    until = escalation.answer_deadline_at or await ctx.now()
    row = await ctx.move(
        ESCALATION_STATES, escalation, EscalationStatus.EXPIRED, resolution=expiry_of(until), resolved_by=SYSTEM
    )
    if row.chat_id:
        told = {"id": row.id, "warning": UNANSWERED}
        ctx.emit(ChatEscalationExpired(chat_id=row.chat_id, status=EscalationStatus.EXPIRED, **told))
    ctx.emit(EscalationExpired(id=row.id, crew_id=row.crew_id, status=EscalationStatus.EXPIRED))
    await settle(ctx, InboxKind.escalation, row.id, "expired")


def _check_open(escalation: Escalation, now: datetime) -> None:
    status, until = escalation.status, escalation.answer_deadline_at
    if status is EscalationStatus.PENDING and until is not None and until <= now:
        status = EscalationStatus.EXPIRED
    if status is not EscalationStatus.PENDING:
        raise Refusal(Code.CONFLICT, ENDED[status])


async def _asking(ctx: Context, escalation: Escalation) -> Agent:
    return await ctx.select(Agent, col(Agent.id) == escalation.from_agent_id, including_deleted=True).one()


async def _check_approver(ctx: Context, escalation: Escalation, agent: Agent, action: EscalationAction) -> None:
    """Refuses a decision on a critical credential by the user who made the asking agent, and records the attempt."""
    if escalation.type is not EscalationType.CREDENTIAL or escalation.credential_id is None:
        return
    if not ctx.user_id or agent.created_by_user_id != ctx.user_id:
        return
    same = (col(Credential.id) == escalation.credential_id, col(Credential.security_level) == CRITICAL)
    if not await ctx.select(Credential, *same, including_deleted=True, including_hidden=True).exists():
        return
    ctx.record(
        JournalEntry(
            entry_type="keeper.decision",
            severity=Severity.error,
            actor_type=JournalActor.user,
            actor_id=ctx.user_id,
            crew_id=escalation.crew_id,
            agent_id=agent.id,
            summary=f"{agent.slug}: a second approver is required",
            payload={
                "rule": "segregation_of_duties",
                "action": action,
                "escalation_type": escalation.type,
                "forced_by": "critical credential tier",
                "from_slug": agent.slug,
                "initiator_user_id": ctx.user_id,
            },
            refs={"escalation_id": escalation.id, "credential_id": escalation.credential_id},
        )
    )
    raise Refusal(Code.FORBIDDEN, NOT_ALONE, commit=True)


async def _decide_credential(ctx: Context, id: str, action: EscalationAction, *, by: str | None = None) -> None:
    """A credential that a user has decided on meanwhile is unchanged."""
    mine = (col(Credential.id) == id, col(Credential.status) == CredentialStatus.PENDING_APPROVAL)
    decider = by or ctx.user_id
    if action is EscalationAction.approve:
        # it stays the agent's (contract: created_by_actor_type)
        if await ctx.update_where(Credential, *mine, status=CredentialStatus.ACTIVE):
            tell(ctx, id, CredentialEventType.APPROVED, approved_by=decider)
    elif action is EscalationAction.reject and await ctx.update_where(
        Credential, *mine, status=CredentialStatus.REJECTED, deleted_at=NOW
    ):
        await unbind(ctx, id)
        tell(ctx, id, CredentialEventType.REJECTED, rejected_by=decider)
