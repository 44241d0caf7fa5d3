"""The end of a task's assignment: the task is completed, held for a decision, retried, or failed (contract:
missions.behaviour.completion_of_a_task, retries).
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, cast, func, select
from sqlmodel import col

from models.actors import ActorType
from models.resources.costs import ModelCall
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.issues import ActivityAction, IssueActivity, IssueComment
from models.work.missions import TASK_BY_ENGINE, Assignment, AssignmentStatus, Mission, MissionTask, TaskStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import Context
from resolvers.rules.escalation import EscalationConfig, parse_escalation_config
from resolvers.rules.handoff import CONFIDENCE, Handoff
from resolvers.work.missions.events import ApprovalRequired, ConfidenceLow, TaskStatusChanged, TaskUpdated
from resolvers.work.missions.holding import ask
from resolvers.work.missions.plans import CLEARED_BY_A_RESTART

ENDED = (AssignmentStatus.COMPLETED, AssignmentStatus.FAILED, AssignmentStatus.CANCELLED, AssignmentStatus.TIMEOUT)
GONE_WRONG = (AssignmentStatus.FAILED, AssignmentStatus.TIMEOUT, AssignmentStatus.CANCELLED)
MICRO = 1_000_000
TASK_ENDS = (TaskStatusChanged, TaskUpdated, ApprovalRequired, ConfidenceLow, InboxItemUpdated)
"""The events of an operation that ends tasks."""


@dataclass
class Tasks:
    """The tasks of a mission whose row is locked, in their order."""

    mission: Mission
    rows: dict[str, MissionTask] = field(default_factory=dict)

    @property
    def done(self) -> set[str]:
        return {id for id, task in self.rows.items() if task.status is TaskStatus.COMPLETED}

    def ready(self) -> list[MissionTask]:
        done = self.done
        return [t for t in self.rows.values() if t.status is TaskStatus.PENDING and done.issuperset(t.depends_on)]

    async def move(self, ctx: Context, task: MissionTask, to: TaskStatus, **changes: Any) -> MissionTask:
        moved = self.rows[task.id] = await ctx.move(TASK_BY_ENGINE, task, to, **changes)
        ctx.emit(TaskStatusChanged(mission_id=self.mission.id, id=task.id, status=to))
        ctx.emit(TaskUpdated(id=task.id, mission_id=self.mission.id, status=to))
        return moved

    async def heal(self, ctx: Context) -> None:
        """Sets BLOCKED tasks without open dependencies to PENDING."""
        done = self.done
        for task in list(self.rows.values()):
            if task.status is TaskStatus.BLOCKED and done.issuperset(task.depends_on):
                await self.move(ctx, task, TaskStatus.PENDING)

    async def note(self, ctx: Context) -> None:
        """Tasks whose assignments have ended end with them."""
        open_ = {
            task.assignment_id: task
            for task in self.rows.values()
            if task.status is TaskStatus.IN_PROGRESS and task.assignment_id is not None
        }
        if not open_:
            return
        ended = (col(Assignment.id).in_(list(open_)), col(Assignment.status).in_(ENDED))
        order = (col(Assignment.finished_at), col(Assignment.id))
        for assignment in await ctx.select(Assignment, *ended).order_by(*order).all():
            await self._end(ctx, open_[assignment.id], assignment)

    async def _end(self, ctx: Context, task: MissionTask, assignment: Assignment) -> None:
        changes = await _outcome(ctx, task, assignment)
        if assignment.status in GONE_WRONG:
            await self.fail(ctx, task, changes)
        else:
            _tell(ctx, self.mission, task, assignment, ActivityAction.task_completed)
            await self._complete(ctx, task, changes, Handoff(**assignment.handoff) if assignment.handoff else None)
        if assignment.status in GONE_WRONG:
            _tell(ctx, self.mission, task, assignment, ActivityAction.task_failed)

    async def _complete(self, ctx: Context, task: MissionTask, changes: dict[str, Any], handed: Handoff | None) -> None:
        if handed is not None:
            changes |= {
                "handoff_context": handed.text,
                "confidence": handed.confidence,
                "needs_review": handed.confidence <= CONFIDENCE["low"],
            }
        rules = await _rules(ctx, self.mission)
        if is_held(rules, task, handed):
            held = await self.move(ctx, task, TaskStatus.AWAITING_APPROVAL, **changes)
            await ask(ctx, self.mission, held)
            ctx.emit(ApprovalRequired(task_id=task.id, mission_id=self.mission.id))
            return
        await self.move(ctx, task, TaskStatus.COMPLETED, **changes)
        if handed is not None and not _is_trusted(rules, handed) and handed.confidence < (rules.notify_threshold or 0):
            ctx.emit(ConfidenceLow(task_id=task.id, mission_id=self.mission.id, level="notify"))

    async def fail(self, ctx: Context, task: MissionTask, changes: dict[str, Any]) -> None:
        """It is tried again, or one that it depends on is, or it has failed."""
        again = dict.fromkeys(CLEARED_BY_A_RESTART)
        if _may_go_again(task):
            spent = {name: changes[name] for name in ("token_count", "estimated_cost") if name in changes}
            await self.move(ctx, task, TaskStatus.PENDING, iteration=_next(task), **again, **spent)
            return
        before = next((self.rows[id] for id in task.depends_on if id in self.rows and self._may_repeat(id)), None)
        if before is None:
            await self.move(ctx, task, TaskStatus.FAILED, **changes)
            return
        await self.move(ctx, before, TaskStatus.PENDING, iteration=_next(before), **again)
        await self.move(ctx, task, TaskStatus.BLOCKED, **changes)

    def _may_repeat(self, id: str) -> bool:
        task = self.rows[id]
        return task.status is TaskStatus.COMPLETED and _may_go_again(task)


def _may_go_again(task: MissionTask) -> bool:
    return (task.max_iterations or 0) > 1 and (task.iteration or 1) < (task.max_iterations or 0)


def _next(task: MissionTask) -> int:
    return (task.iteration or 1) + 1


def _is_trusted(rules: EscalationConfig, handed: Handoff) -> bool:
    return 0 < (rules.auto_approve_threshold or 0) <= handed.confidence


def is_held(rules: EscalationConfig, task: MissionTask, handed: Handoff | None) -> bool:
    """Returns true if a person decides before dependent tasks begin."""
    if handed is not None and _is_trusted(rules, handed):
        return False
    return task.approval_required or (handed is not None and handed.confidence < (rules.require_approval_below or 0))


async def _rules(ctx: Context, mission: Mission) -> EscalationConfig:
    crew = await ctx.select(Crew, col(Crew.id) == mission.crew_id, including_deleted=True).one()
    return parse_escalation_config(crew.escalation_config) if crew.escalation_config else EscalationConfig()


async def _outcome(ctx: Context, task: MissionTask, assignment: Assignment) -> dict[str, Any]:
    """The result of the assignment, and its usage added to the task's earlier usage."""
    changes: dict[str, Any] = {
        "result_summary": assignment.result_summary,
        "error_message": assignment.error_message,
        "duration_ms": None,
    }
    if assignment.started_at and assignment.finished_at:
        changes["duration_ms"] = int((assignment.finished_at - assignment.started_at).total_seconds() * 1000)
    calls, runs = ctx.table(ModelCall), ctx.table(Run)
    own = calls.c.run_id.in_(select(runs.c.id).where(runs.c.assignment_id == assignment.id))
    tokens = cast(func.sum(calls.c.input_tokens + calls.c.output_tokens), BigInteger)
    ((used, micros),) = await ctx.report(select(tokens, cast(func.sum(calls.c.cost_micros), BigInteger)).where(own))
    if used is not None:
        changes["token_count"] = (task.token_count or 0) + used
    if micros is not None:
        changes["estimated_cost"] = (task.estimated_cost or 0) + micros / MICRO
    return changes


def _tell(ctx: Context, mission: Mission, task: MissionTask, assignment: Assignment, action: ActivityAction) -> None:
    agent: dict[str, Any] = {"actor_type": ActorType.agent, "actor_id": assignment.assigned_to_id}
    ctx.record(IssueActivity(mission_id=mission.id, action=action, details=task.title, **agent))
    said = assignment.result_summary or assignment.error_message
    if said:
        by: dict[str, Any] = {"author_type": ActorType.agent, "author_id": assignment.assigned_to_id}
        ctx.record(IssueComment(mission_id=mission.id, body=said, **by))
