"""Tasks that are held for a person: managers are asked in the inbox, until one has decided or none needs to.

An hour's approval of a call of a tool is something else (contract: extras.approvals_gate): a held task has no deadline
but its mission's.
"""

from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import DESCRIPTION, LINE, cut
from models.people.workspaces import Role
from models.work.missions import Mission, MissionTask, TaskStatus
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import Context


async def ask(ctx: Context, mission: Mission, task: MissionTask) -> None:
    """Asks each time that the task is held. The operation declares InboxItemUpdated, as for the others here."""
    await put(
        ctx,
        InboxKind.waitpoint,
        source_of(task),
        subject=task,
        target_role=Role.MANAGER,
        title=cut(f"{task.title} waits for approval", LINE * 3),
        body_md=cut(task.handoff_context or task.result_summary or mission.title, DESCRIPTION),
        sender_type=SenderType.agent,
        sender_id=task.assigned_agent_id,
        priority=InboxPriority.high,
        blocking=True,
        payload={
            "mission_id": mission.id,
            "task_id": task.id,
            "crew_id": mission.crew_id,
            "confidence": task.confidence,
        },
    )


async def answered(ctx: Context, task: MissionTask, action: str) -> None:
    await settle(ctx, InboxKind.waitpoint, source_of(task), action)


async def take_back(ctx: Context, mission_id: str) -> None:
    """Resolves the inbox items of held tasks when their mission has ended."""
    held = (col(MissionTask.mission_id) == mission_id, col(MissionTask.status) == TaskStatus.AWAITING_APPROVAL)
    for task in await ctx.select(MissionTask, *held).order_by(col(MissionTask.id)).all():
        await answered(ctx, task, "cancelled")


def source_of(task: MissionTask) -> str:
    """Names the one time that the task is held."""
    return f"mission_task_{task.id}_{task.assignment_id}"
