"""Operations of the runtime: ask for consent to a tool call, once per call, and read the outcome."""

import hashlib

import orjson
from pydantic import Field
from sqlmodel import col

from models.attention.approvals import Approval, ApprovalKind, ApprovalMode, ApprovalOutcome, ApprovalStatus
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.staff.agents import Agent
from models.staff.runs import Run
from resolvers.attention.approvals.deciding import ToolName, call_off, request_approval
from resolvers.attention.approvals.events import ApprovalCancelledEvent, ApprovalCreatedEvent
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import Action, ById, Code, Context, Id, Input, Notes, Output, Text, command, job, procedure
from resolvers.rules.consent import OUTCOMES, tuned


class AskForApproval(Input):
    """`call` names the call within its run: asked again, the same approval is answered."""

    run_id: Id
    call: Text
    kind: ApprovalKind
    reason: Text
    mode: ApprovalMode
    tool: ToolName
    arguments: Notes = Field(default_factory=dict)


class ApprovalAsked(Output):
    """The approval, and whether the call waits for it."""

    approval_id: str
    waits: bool


class OutcomeOfApproval(Output):
    """The outcome of an approval."""

    status: ApprovalStatus
    comment: str


class ApprovalsOfRun(Input):
    run_id: Id


CALL_OFF = job(
    "approvals.call_off", ApprovalsOfRun, unique="{run_id}", emits=(ApprovalCancelledEvent, InboxItemUpdated)
)
"""Cancels pending approvals of a run that has ended."""


def approval_of(run_id: str, call: str) -> str:
    return f"ap_{hashlib.sha256(f'{run_id}/{call}'.encode()).hexdigest()[:16]}"


@command(
    "approvals.ask",
    Action.UPDATE,
    emits=(ApprovalCreatedEvent, InboxItemUpdated),
    errors=(Code.NOT_FOUND,),
    surfaces=frozenset(),
)
async def ask(ctx: Context, data: AskForApproval) -> ApprovalAsked:
    """Request consent to a call of a tool.

    For the worker that executes the run. Once for each call, however often it is asked.
    """
    id = approval_of(data.run_id, data.call)
    await ctx.lock(f"approval {id}")
    known = await ctx.select(Approval, col(Approval.id) == id).first()
    if known is not None:
        return ApprovalAsked(approval_id=known.id, waits=known.mode is ApprovalMode.sync)
    run = await ctx.get(Run, data.run_id)
    agent = await ctx.select(Agent, col(Agent.id) == run.agent_id, including_deleted=True).one()
    arguments = hashlib.sha256(orjson.dumps(data.arguments, option=orjson.OPT_SORT_KEYS)).hexdigest()
    mode = await _tuned(ctx, data, arguments, agent)
    approval = await request_approval(
        ctx,
        data.kind,
        data.reason,
        id=id,
        run_id=run.id,
        crew_id=agent.crew_id or "",
        agent_id=agent.id,
        requested_by=agent.id,
        tool=data.tool,
        arguments=arguments,
        mode=mode,
        payload={"tool": data.tool, "args": data.arguments},
    )
    return ApprovalAsked(approval_id=approval.id, waits=mode is ApprovalMode.sync)


async def _tuned(ctx: Context, data: AskForApproval, arguments: str, agent: Agent) -> ApprovalMode:
    """The mode that earlier decisions on the same call give it."""
    same = (col(ApprovalOutcome.tool) == data.tool, col(ApprovalOutcome.arguments) == arguments)
    newest = (col(ApprovalOutcome.created_at).desc(), col(ApprovalOutcome.id).desc())
    earlier = await ctx.select(ApprovalOutcome, *same).order_by(*newest).limit(OUTCOMES).all()
    mode = tuned(data.mode, [outcome.approved for outcome in earlier])
    if mode is not data.mode:
        ctx.record(
            JournalEntry(
                entry_type="keeper.rule_auto_tuned",
                severity=Severity.notice,
                actor_type=JournalActor.system,
                actor_id="approvals",
                crew_id=agent.crew_id,
                agent_id=agent.id,
                summary=f"{data.tool}: {data.mode} became {mode} because of earlier decisions",
                payload={"tool": data.tool, "from": data.mode, "to": mode, "decisions": len(earlier)},
            )
        )
    return mode


@procedure("approvals.outcome", Action.READ, errors=(Code.NOT_FOUND,), surfaces=frozenset())
async def outcome(ctx: Context, data: ById) -> OutcomeOfApproval:
    """Get what became of an approval.

    For the worker that executes the run.
    """
    approval = await ctx.get(Approval, data.id)
    return OutcomeOfApproval(status=approval.status, comment=approval.comment)


async def call_off_of(ctx: Context, run_id: str) -> None:
    """Cancels the pending approvals of a run."""
    pending = (col(Approval.run_id) == run_id, col(Approval.status) == ApprovalStatus.pending)
    for approval in await ctx.select(Approval, *pending).all():
        await call_off(ctx, approval.id, "The run has ended")
