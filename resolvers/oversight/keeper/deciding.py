"""What becomes of a verdict: the log, the journal, the inbox where people are to look, and whoever listens."""

from typing import Any, Final

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import DESCRIPTION, LINE, cut
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.oversight.keeper import KEEPER_STATES, KeeperDecision, KeeperRequest, KeeperRequestType, shortened
from models.people.workspaces import Role
from resolvers.attention.inbox.putting import put
from resolvers.kernel import Context
from resolvers.oversight.keeper.events import KeeperAccessDecided, KeeperExecutionDecided
from resolvers.oversight.keeper.opening import OpenedRequest
from resolvers.oversight.keeper.verdicts import Verdict
from resolvers.rules.redaction import Redactor

KEEPER: Final = "keeper"
SENDERS: Final = {
    KEEPER: "Keeper",
    "keeper_skill_review": "Skill Curator",
    "keeper_behavior": "Behavior Monitor",
    "keeper_memory_health": "Memory Health",
    "keeper_negative_learning": "Negative Learning",
}


async def decide(ctx: Context, opened: OpenedRequest, verdict: Verdict, exit_code: int | None = None) -> KeeperRequest:
    """The request is PENDING no more. The operation declares the event of its type, and InboxItemUpdated."""
    kept = Redactor()
    request = await ctx.move(
        KEEPER_STATES,
        opened.request_id,
        verdict.decision,
        reason=cut(verdict.reason, DESCRIPTION),
        risk_score=verdict.risk,
        exit_code=exit_code,
        prompt=None if verdict.prompt is None else shortened(kept.redact(verdict.prompt)),
        answer=None if verdict.answer is None else shortened(kept.redact(verdict.answer)),
    )
    _announce(ctx, request, opened)
    if request.request_type is KeeperRequestType.access:
        ctx.record(_decided(request, opened))
        if verdict.decision is KeeperDecision.ESCALATE:
            await _escalate(ctx, request, opened)
    return request


def _announce(ctx: Context, request: KeeperRequest, opened: OpenedRequest) -> None:
    told: dict[str, Any] = {
        "request_id": request.id,
        "request_type": request.request_type.value,
        "agent_name": opened.agent_name,
        "credential_name": opened.credential_name,
        "intent": request.intent,
        "decision": request.decision,
        "reason": request.reason,
        "risk_score": request.risk_score,
        "decided_at": request.decided_at,
    }
    if request.request_type is KeeperRequestType.access:
        ctx.emit(KeeperAccessDecided(**told))
    else:
        ran = {} if request.exit_code is None else {"exit_code": request.exit_code}
        ctx.emit(KeeperExecutionDecided(**told, command=request.command or "", **ran))


def _decided(request: KeeperRequest, opened: OpenedRequest) -> JournalEntry:
    decision = request.decision
    return JournalEntry(
        entry_type="keeper.decision",
        severity=Severity.warn if decision is KeeperDecision.DENY else Severity.notice,
        actor_type=JournalActor.keeper,
        actor_id=KEEPER,
        crew_id=request.crew_id,
        agent_id=request.agent_id,
        summary=f"keeper {decision} credential {opened.credential_name} for {opened.agent_name}"
        f" (risk {request.risk_score})",
        payload={
            "request_id": request.id, "credential_id": request.credential_id,
            "credential_name": opened.credential_name, "security_level": opened.level,
            "decision": decision, "reason": request.reason, "risk_score": request.risk_score,
        },
        refs={"keeper_request_id": request.id, "credential_id": request.credential_id},
    )  # fmt: skip


async def _escalate(ctx: Context, request: KeeperRequest, opened: OpenedRequest) -> None:
    asked = f"{opened.agent_name} requested {opened.credential_name}"
    await tell_people(
        ctx,
        KEEPER,
        request.id,
        title=f"Keeper escalation: {asked} (risk {request.risk_score})",
        body=request.reason or "",
        priority=InboxPriority.high,
        blocking=True,
        payload={
            "request_id": request.id, "request_type": request.request_type, "agent_id": request.agent_id,
            "agent_name": opened.agent_name, "credential_id": request.credential_id,
            "credential_name": opened.credential_name, "security_level": opened.level, "intent": request.intent,
            "reason": request.reason, "risk_score": request.risk_score,
        },
    )  # fmt: skip


async def tell_people(
    ctx: Context,
    sender: str,
    source_id: str,
    *,
    title: str,
    body: str,
    priority: InboxPriority,
    blocking: bool,
    payload: dict[str, Any],
) -> None:
    """An item for managers. The operation declares InboxItemUpdated."""
    await put(
        ctx,
        InboxKind.escalation,
        source_id,
        target_role=Role.MANAGER,
        title=cut(title, LINE * 3),
        body_md=cut(body, DESCRIPTION),
        sender_type=SenderType.system,
        sender_id=sender,
        sender_name=SENDERS[sender],
        priority=priority,
        blocking=blocking,
        payload=payload,
    )
