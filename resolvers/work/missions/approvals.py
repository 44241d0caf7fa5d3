"""A person decides on a task that is held (contract: missions.behaviour.approvals_of_tasks)."""

from enum import StrEnum

from sqlmodel import col

from models.work.missions import TASK_BY_ENGINE, ApprovalDecision, Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import NOW, Action, Code, Context, Description, Id, Input, Refusal, Subject, command
from resolvers.work.missions.driving import look_again, tasks_of
from resolvers.work.missions.events import ApprovalResolved, TaskStatusChanged, TaskUpdated
from resolvers.work.missions.holding import answered
from resolvers.work.missions.plans import downstream
from resolvers.work.missions.tasks import unblock

REJECTED = "A dependency of this task was rejected"
HELD = Subject(MissionTask, "id", of=Subject(Mission, "mission_id"), key="mission_id", called="Task")


class TaskDecision(StrEnum):
    """The decision on a task that waits for approval."""

    approve = "approve"
    reject = "reject"


class DecideTask(Input):
    """`notes` are stored with the task."""

    mission_id: Id
    id: Id
    decision: TaskDecision
    notes: Description | None = None


@command(
    "missions.tasks_decide",
    Action.CREATE,
    audit="mission_task.decided",
    subject=HELD,
    emits=(TaskStatusChanged, TaskUpdated, ApprovalResolved, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def decide_task(ctx: Context, task: MissionTask, data: DecideTask) -> MissionTask:
    """Decide on a task that is held.

    The task must be AWAITING_APPROVAL in a mission that is IN_PROGRESS. Approval completes it and unblocks its
    dependents; rejection fails it and the BLOCKED tasks that depend on it.
    """
    mission = await ctx.select(Mission, col(Mission.id) == task.mission_id).locked().one()
    if mission.status is not MissionStatus.IN_PROGRESS:
        raise Refusal(Code.CONFLICT, f"The mission must be IN_PROGRESS; it is {mission.status}")
    task = await ctx.get(MissionTask, task.id, lock=True, missing="Task not found")
    if task.status is not TaskStatus.AWAITING_APPROVAL:
        raise Refusal(Code.CONFLICT, f"The task does not wait for approval; it is {task.status}")
    approved = data.decision is TaskDecision.approve
    decided = await ctx.move(
        TASK_BY_ENGINE,
        task,
        TaskStatus.COMPLETED if approved else TaskStatus.FAILED,
        approval_status=ApprovalDecision.APPROVED if approved else ApprovalDecision.REJECTED,
        approved_by=ctx.user_id or None,
        approved_at=NOW,
        evaluation_notes=data.notes,
    )
    _tell(ctx, mission, decided.id, decided.status)
    if approved:
        await unblock(ctx, mission.id, task.id)
    else:
        await _fail(ctx, mission, task)
    await answered(ctx, task, "approved" if approved else "rejected")
    action = ApprovalDecision.APPROVED if approved else ApprovalDecision.REJECTED
    ctx.emit(ApprovalResolved(task_id=task.id, mission_id=mission.id, action=action))
    look_again(ctx, mission)
    return decided


def _tell(ctx: Context, mission: Mission, task_id: str, status: TaskStatus) -> None:
    ctx.emit(TaskStatusChanged(mission_id=mission.id, id=task_id, status=status))
    ctx.emit(TaskUpdated(id=task_id, mission_id=mission.id, status=status))


async def _fail(ctx: Context, mission: Mission, rejected: MissionTask) -> None:
    behind = downstream(await tasks_of(ctx, mission.id), [rejected.id]) - {rejected.id}
    blocked = (col(MissionTask.id).in_(behind), col(MissionTask.status) == TaskStatus.BLOCKED)
    for id in sorted(await ctx.move_all(TASK_BY_ENGINE, TaskStatus.FAILED, *blocked, error_message=REJECTED)):
        _tell(ctx, mission, id, TaskStatus.FAILED)
