"""Operations of users on approvals: list, decide, cancel. A decision resumes the waiting run."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from sqlalchemy import func, select
from sqlmodel import col

from models.attention.approvals import (
    APPROVAL_STATES,
    Approval,
    ApprovalKind,
    ApprovalMode,
    ApprovalOutcome,
    ApprovalStatus,
)
from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.base import alias_of
from models.bounds import DESCRIPTION, LINE, cut
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.people.workspaces import Role, Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import NEVER, Run
from resolvers.attention.approvals.events import (
    ApprovalCancelledEvent,
    ApprovalCreatedEvent,
    ApprovalDecidedEvent,
    ApprovalTimedOutEvent,
)
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    NOW,
    TRIMMED,
    AcrossWorkspaces,
    Action,
    ById,
    Code,
    Context,
    Filter,
    Id,
    Input,
    Output,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Subject,
    Text,
    Topic,
    clock,
    command,
    constant,
    extend,
    graph,
    job,
    many,
    one,
    precise,
    query,
    viewer_can,
)
from resolvers.kernel.store.across import waiting
from resolvers.kernel.writing.actors import actor_of

APPROVAL = Subject(Approval, "id")
NEWEST_FIRST = (col(Approval.created_at).desc(), col(Approval.id).desc())
DECIDED = "The approval is no longer pending"
LIFE = timedelta(hours=1)
MOST_DUE = 1_000
Comment = Annotated[str, Field(strict=True, max_length=DESCRIPTION)]
ToolName = Annotated[str, TRIMMED, Field(strict=True, min_length=1, max_length=LINE)]


def _status(raw: Any) -> Any:
    return ApprovalStatus.pending.value if raw is None else None if raw in ("all", "") else raw


class ListApprovals(Paging):
    """`status` is one status, by default pending; `all` matches every status, unknown values match nothing."""

    page_default: ClassVar[int] = 50
    page_maximum: ClassVar[int] = 200
    cut_to_default: ClassVar[bool] = True  # contract: approvals.list

    status: Annotated[Text | None, BeforeValidator(_status), Filter(Approval.status, leads=True)] = (
        ApprovalStatus.pending.value
    )


class PageOfApprovals(Paging):
    """A page of approvals, oldest first."""


class ApprovalVerdict(StrEnum):
    """The decision on a tool call."""

    approved = "approved"
    denied = "denied"


class AnswerApproval(ById):
    """`comment`: sent to the agent with the verdict."""

    verdict: ApprovalVerdict
    comment: Comment = ""


class DecideApproval(ById):
    """`comment`: sent to the agent with the decision."""

    status: Literal["approved", "denied"]
    comment: Comment = ""


class CancelApproval(ById):
    """`reason`: sent to the requester."""

    reason: Comment = ""


class ResetAutoTuning(Input):
    """The tool whose decisions are deleted."""

    tool: ToolName


class ApprovalDecided(Output):
    """The decision, and the user who made it."""

    status: ApprovalStatus
    decided_by: str


class ApprovalCancelled(Output):
    """The cancelled request, and the user who cancelled it."""

    status: Literal["cancelled"] = "cancelled"
    cancelled_by: str


class AutoTuningReset(Output):
    """The number of deleted decisions."""

    tool: str
    rows_deleted: int
    workspace_id: str


class OfApproval(Input):
    approval_id: Id


TIME_OUT = job(
    "approvals.time_out", OfApproval, unique="{approval_id}", emits=(ApprovalTimedOutEvent, InboxItemUpdated)
)
"""No decision was made in time."""
OVERDUE = (col(Approval.status) == constant(ApprovalStatus.pending), col(Approval.timeout_at) <= func.now())
EXPIRE = clock("approvals.expire", every=timedelta(seconds=30), when=waiting(Approval, *OVERDUE))


def _in_chat(approval: Any, chat: Any) -> Any:
    """The chat of the approval's run."""
    runs = alias_of(Run)
    same = (runs.c.workspace_id == approval["workspace_id"], runs.c.id == approval["run_id"])
    found = select(runs.c.chat_id).where(*same).correlate(approval["id"].table, chat["id"].table)
    return chat["id"] == found.scalar_subquery()


graph(
    Approval,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    agent=one(Agent, "agent_id"),
    crew=one(Crew, "crew_id"),
    viewer_can=viewer_can(Approval, dict.fromkeys(("approvals.decide", "approvals.answer", "approvals.cancel"))),
    run=one(Run, "run_id"),
    chat=one(Chat, on=_in_chat),
    decided_at_ms=precise("decided_at"),
)
extend(
    Chat,
    pending_approvals=many(
        Approval,
        on=lambda chat, approval: _in_chat(approval, chat),
        where=(col(Approval.status) == constant(ApprovalStatus.pending),),
        order_by=(col(Approval.created_at), col(Approval.id)),
        input=PageOfApprovals,
    ),
)


for owner, key in ((Workspace, "workspace_id"), (Crew, "crew_id"), (Agent, "agent_id")):
    extend(owner, approvals=many(Approval, key, order_by=NEWEST_FIRST, input=ListApprovals))


@query("approvals.list", Action.READ, tickets=False)
def list_approvals(scope: QueryScope, data: ListApprovals) -> Page[Approval]:
    """List approvals.

    Pending ones by default; newest first, ties by id, descending.
    """
    return scope.select(Approval).matching(data).order_by(*NEWEST_FIRST).page(data)


@query("approvals.get", Action.READ, subject=APPROVAL, tickets=False)
def get_approval(scope: QueryScope, approval: Row[Approval], data: ById) -> Row[Approval]:
    """Get an approval."""
    return approval


@command(
    "approvals.decide",
    Action.MANAGE,
    audit="approval.decided",
    emits=(ApprovalDecidedEvent, InboxItemUpdated),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def decide_approval(ctx: Context, data: DecideApproval) -> ApprovalDecided:
    """Decide an approval.

    The waiting run continues or its call is refused. Works once; later decisions are refused.
    """
    approval = await _decided(ctx, data.id, ApprovalStatus(data.status), data.comment)
    return ApprovalDecided(status=approval.status, decided_by=ctx.user_id)


@command(
    "approvals.answer",
    Action.MANAGE,
    audit="approval.decided",
    emits=(ApprovalDecidedEvent, InboxItemUpdated),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    surfaces=GRAPHQL_ONLY,
)
async def answer_approval(ctx: Context, data: AnswerApproval) -> Approval:
    """Decide an approval by a verdict.

    The waiting run continues or its call is refused. Works once; later verdicts are refused.
    """
    return await _decided(ctx, data.id, ApprovalStatus(data.verdict.value), data.comment)


async def _decided(ctx: Context, id: str, status: ApprovalStatus, comment: str) -> Approval:
    approval = await _ended(ctx, id, status, decided_by=ctx.user_id, comment=comment)
    if approval.tool is not None:
        ctx.record(
            ApprovalOutcome(
                tool=approval.tool, arguments=approval.arguments, approved=status is ApprovalStatus.approved
            )
        )
    ctx.audit("APPROVAL", approval.id, status=status, comment=comment)
    told = "approval.granted" if status is ApprovalStatus.approved else "approval.denied"
    _tell(ctx, approval, told, f"{approval.reason}: {status}")
    ctx.emit(ApprovalDecidedEvent(id=approval.id))
    await settle(ctx, InboxKind.waitpoint, approval.id, "approved" if status is ApprovalStatus.approved else "rejected")
    return approval


@command(
    "approvals.cancel",
    Action.MANAGE,
    audit="approval.cancelled",
    emits=(ApprovalCancelledEvent, InboxItemUpdated),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def cancel_approval(ctx: Context, data: CancelApproval) -> ApprovalCancelled:
    """Cancel an approval that is pending.

    The waiting call is refused.
    """
    await call_off(ctx, data.id, data.reason)
    ctx.audit("APPROVAL", data.id, reason=data.reason)
    return ApprovalCancelled(cancelled_by=ctx.user_id)


@command("approvals.reset_auto_tuning", Action.MANAGE, audit="approval_tuning.reset")
async def reset_auto_tuning(ctx: Context, data: ResetAutoTuning) -> AutoTuningReset:
    """Delete the remembered decisions about a tool.

    They do not apply to later calls of the tool.
    """
    deleted = await ctx.delete_where(ApprovalOutcome, col(ApprovalOutcome.tool) == data.tool)
    ctx.audit("APPROVAL_TUNING", None, tool=data.tool, deleted=deleted)
    actor = actor_of(ctx)
    ctx.record(
        JournalEntry(
            entry_type="approval.auto_tuning_reset",
            severity=Severity.notice,
            actor_type=JournalActor(actor.type.value),
            actor_id=actor.id,
            summary=f"{data.tool}: {deleted} decisions deleted",
            payload={"tool": data.tool, "rows_deleted": deleted},
        )
    )
    return AutoTuningReset(tool=data.tool, rows_deleted=deleted, workspace_id=ctx.workspace_id or "")


async def request_approval(ctx: Context, kind: ApprovalKind, reason: str, **values: Any) -> Approval:
    """Asks those who manage the workspace, for an hour. The operation declares ApprovalCreatedEvent and
    InboxItemUpdated.
    """
    approval = Approval(kind=kind, reason=cut(reason, DESCRIPTION), **({"timeout_at": await ctx.now() + LIFE} | values))
    approval = await ctx.insert(approval)
    _tell(ctx, approval, "approval.requested", approval.reason)
    ctx.emit(ApprovalCreatedEvent(id=approval.id))
    await put(
        ctx,
        InboxKind.waitpoint,
        approval.id,
        subject=approval,
        target_role=Role.ADMIN,
        title=cut(approval.reason, LINE * 3),
        sender_type=SenderType.agent,
        sender_id=approval.agent_id or None,
        priority=InboxPriority.high,
        blocking=approval.mode is ApprovalMode.sync,
        payload={"approval_id": approval.id, "kind": approval.kind, "tool": approval.tool},
    )
    return approval


async def call_off(ctx: Context, id: str, reason: str) -> None:
    """Cancels a pending approval. The operation declares ApprovalCancelledEvent and InboxItemUpdated."""
    approval = await _ended(ctx, id, ApprovalStatus.cancelled, comment=reason)
    _tell(ctx, approval, "approval.cancelled", f"{approval.reason}: cancelled")
    ctx.emit(ApprovalCancelledEvent(id=approval.id))
    await settle(ctx, InboxKind.waitpoint, approval.id, "cancelled")


async def enqueue_overdue(rows: AcrossWorkspaces) -> None:
    """A job for each approval whose time is over."""
    for row in await rows.everywhere.select(Approval, *OVERDUE, order_by=col(Approval.timeout_at), limit=MOST_DUE):
        rows.enqueue(TIME_OUT, row["workspace_id"], approval_id=row["id"])


async def time_out(ctx: Context, approval_id: str) -> None:
    """Times the approval out unless a user has decided it meanwhile."""
    overdue = (col(Approval.id) == approval_id, col(Approval.timeout_at) <= func.now())
    if not await ctx.move_all(APPROVAL_STATES, ApprovalStatus.timeout, *overdue):
        return
    approval = await ctx.get(Approval, approval_id)
    await _go_on(ctx, approval_id)
    _tell(ctx, approval, "approval.timeout", f"{approval.reason}: no decision", Severity.warn)
    ctx.emit(ApprovalTimedOutEvent(id=approval.id))
    await settle(ctx, InboxKind.waitpoint, approval.id, "dismissed")


async def _ended(ctx: Context, id: str, status: ApprovalStatus, **values: Any) -> Approval:
    """Moved from pending by one statement: of two at once, one is refused."""
    if await ctx.move_all(APPROVAL_STATES, status, col(Approval.id) == id, **values):
        await _go_on(ctx, id)
        return await ctx.get(Approval, id)
    await ctx.get(Approval, id, missing=APPROVAL.missing)
    raise Refusal(Code.CONFLICT, DECIDED)


async def _go_on(ctx: Context, id: str) -> None:
    """The run that waits is there for any worker again. It is locked behind the approval, as by whom it waits."""
    waiting = (col(Run.waits_for) == id, col(Run.leased_until) == NEVER)
    if await ctx.update_where(Run, *waiting, including_hidden=True, waits_for=None, leased_until=NOW):
        ctx.ring(Topic.queue)


def _tell(
    ctx: Context, approval: Approval, entry_type: str, summary: str, severity: Severity = Severity.notice
) -> None:
    actor = actor_of(ctx)
    ctx.record(
        JournalEntry(
            entry_type=entry_type,
            severity=severity,
            actor_type=JournalActor(actor.type.value),
            actor_id=actor.id,
            crew_id=approval.crew_id or None,
            agent_id=approval.agent_id or None,
            mission_id=approval.mission_id or None,
            summary=summary,
            payload={"approval_id": approval.id, "kind": approval.kind, "comment": approval.comment},
            refs={"approval_id": approval.id},
        )
    )
