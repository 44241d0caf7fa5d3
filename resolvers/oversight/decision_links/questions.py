"""Questions that a link can decide: their text, whether they are open, and the operation that decides."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import col

from models.attention.approvals import Approval, ApprovalStatus
from models.attention.inbox import InboxItem, InboxKind
from models.oversight.decision_links import DecisionKind
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationAction, EscalationStatus, EscalationType
from models.work.missions import Mission, MissionTask, TaskStatus
from resolvers.attention.approvals import decide_approval
from resolvers.attention.approvals.deciding import DecideApproval
from resolvers.kernel import Context
from resolvers.staff.escalations import ResolveEscalation, resolve_escalation
from resolvers.work.missions.approvals import DecideTask, TaskDecision, decide_task
from resolvers.work.missions.holding import source_of

FOR_SECRETS = EscalationType.CREDENTIAL
"""Questions that ask for a secret are answered only where secrets are entered."""


class Decision(StrEnum):
    """Yes or no."""

    approve = "approve"
    reject = "reject"


@dataclass(frozen=True, slots=True)
class LinkQuestion:
    """`outcome` is the decision, None while it is open; `until` is its own deadline, if it has one."""

    kind: DecisionKind
    subject_id: str
    source_id: str
    title: str
    text: str
    agent_id: str | None
    outcome: str | None
    until: datetime | None = None
    tool: str | None = None
    arguments: dict[str, Any] | None = None


Find = Callable[[Context, str, str], Awaitable[LinkQuestion | None]]
Decide = Callable[[Context, LinkQuestion, Decision, str], Awaitable[Any]]


# ---- a call of a tool ------------------------------------------------------------------------------------------------


async def _approval(ctx: Context, id: str, source_id: str) -> LinkQuestion | None:
    row = await ctx.select(Approval, col(Approval.id) == id).first()
    if row is None:
        return None
    outcome = None if row.status is ApprovalStatus.pending else row.status.value
    given = row.payload or {}
    arguments = given.get("args")
    return LinkQuestion(
        DecisionKind.approval, row.id, source_id, row.reason, "", row.agent_id or None, outcome, row.timeout_at,
        row.tool, arguments if isinstance(arguments, dict) else None,
    )  # fmt: skip


async def _decide_approval(ctx: Context, question: LinkQuestion, decision: Decision, comment: str) -> None:
    approved = decision is Decision.approve
    status = ApprovalStatus.approved if approved else ApprovalStatus.denied
    asked = {"id": question.subject_id, "status": status.value, "comment": comment}
    await decide_approval.within(ctx, DecideApproval.model_validate(asked))


# ---- a task that is held ---------------------------------------------------------------------------------------------


async def _task(ctx: Context, id: str, source_id: str) -> LinkQuestion | None:
    row = await ctx.select(MissionTask, col(MissionTask.id) == id).first()
    mission = None if row is None else await ctx.select(Mission, col(Mission.id) == row.mission_id).first()
    if row is None or mission is None:
        return None
    held = row.status is TaskStatus.AWAITING_APPROVAL and source_of(row) == source_id
    text = row.handoff_context or row.result_summary or mission.title
    title = f"{row.title} waits for approval"
    return LinkQuestion(
        DecisionKind.mission_task, row.id, source_id, title, text, row.assigned_agent_id,
        None if held else row.status.value.lower(),
    )  # fmt: skip


async def _decide_task(ctx: Context, question: LinkQuestion, decision: Decision, comment: str) -> None:
    task = await ctx.get(MissionTask, question.subject_id)
    chosen = TaskDecision.approve if decision is Decision.approve else TaskDecision.reject
    asked = DecideTask(mission_id=task.mission_id, id=task.id, decision=chosen, notes=comment or None)
    await decide_task.within(ctx, task, asked)


# ---- what an agent asks people ---------------------------------------------------------------------------------------


async def _escalation(ctx: Context, id: str, source_id: str) -> LinkQuestion | None:
    row = await ctx.select(Escalation, col(Escalation.id) == id).first()
    if row is None or row.type is FOR_SECRETS:
        return None
    outcome = None if row.status is EscalationStatus.PENDING else row.status.value.lower()
    text = "\n\n".join(part for part in (row.context, row.data) if part)
    return LinkQuestion(DecisionKind.escalation, row.id, source_id, row.reason, text, row.from_agent_id, outcome)


async def _decide_escalation(ctx: Context, question: LinkQuestion, decision: Decision, comment: str) -> None:
    escalation = await ctx.get(Escalation, question.subject_id, lock=True)
    action = EscalationAction.approve if decision is Decision.approve else EscalationAction.reject
    said = comment or ("Approved" if decision is Decision.approve else "Rejected")
    asked = ResolveEscalation(escalation_id=escalation.id, resolution=said, action=action)
    await resolve_escalation.within(ctx, escalation, asked)


@dataclass(frozen=True, slots=True)
class QuestionKind:
    """`operation` makes the decision for every caller: its gate, audit action and events apply."""

    operation: Any
    find: Find
    decide: Decide


KINDS: dict[DecisionKind, QuestionKind] = {
    DecisionKind.approval: QuestionKind(decide_approval, _approval, _decide_approval),
    DecisionKind.mission_task: QuestionKind(decide_task, _task, _decide_task),
    DecisionKind.escalation: QuestionKind(resolve_escalation, _escalation, _decide_escalation),
}


async def find_question(ctx: Context, kind: DecisionKind, subject_id: str, source_id: str) -> LinkQuestion | None:
    """None if it is gone, or if a link cannot decide it."""
    return await KINDS[kind].find(ctx, subject_id, source_id)


async def question_of(ctx: Context, item: InboxItem) -> LinkQuestion | None:
    """The question of an inbox item; None if a link cannot decide it."""
    payload = item.payload or {}
    if item.kind is InboxKind.escalation:
        return await find_question(ctx, DecisionKind.escalation, item.source_id, item.source_id)
    if item.kind is InboxKind.waitpoint and payload.get("approval_id") == item.source_id:
        return await find_question(ctx, DecisionKind.approval, item.source_id, item.source_id)
    if item.kind is InboxKind.waitpoint and isinstance(task := payload.get("task_id"), str):
        return await find_question(ctx, DecisionKind.mission_task, task, item.source_id)
    return None


async def name_of_agent(ctx: Context, question: LinkQuestion) -> str | None:
    if question.agent_id is None:
        return None
    agent = await ctx.select(Agent, col(Agent.id) == question.agent_id, including_deleted=True).first()
    return None if agent is None else agent.name
