"""Inbox items for managers at the end of a mission: an issue is ready for review, or the work has failed. They are
resolved by the review, or when the work continues.
"""

from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import DESCRIPTION, LINE, cut
from models.people.workspaces import Role
from models.work.missions import Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.attention.inbox.putting import is_settled, put, settle
from resolvers.kernel import Context

ENGINE = "Mission engine"
VERDICTS = {
    MissionStatus.DONE: "approved",
    MissionStatus.CANCELLED: "cancelled",
    MissionStatus.DUPLICATE: "cancelled",
}
SENT_BACK = "rejected"
MOST_NAMED = 5


async def put_up_for_review(ctx: Context, mission: Mission) -> None:
    """A message in the inbox of managers (contract: extras.inbox_sources); one an issue, which a review settles and the
    next one opens again. The operation declares InboxItemUpdated, as for the others here.
    """
    await put(
        ctx,
        InboxKind.message,
        _review_of(mission),
        subject=mission,
        anew=await is_settled(ctx, InboxKind.message, _review_of(mission)),
        target_role=Role.MANAGER,
        title=cut(f"{mission.identifier} ready for review", LINE * 3),
        body_md=mission.title,
        sender_type=SenderType.system,
        sender_name=ENGINE,
        payload={
            "mission_id": mission.id,
            "issue_identifier": mission.identifier,
            "new_status": MissionStatus.REVIEW,
        },
    )


async def reviewed(ctx: Context, issue: Mission, now: MissionStatus) -> None:
    """`issue` is the row before it became `now`: moving it out of REVIEW is the decision."""
    if issue.status is MissionStatus.REVIEW and now is not MissionStatus.REVIEW:
        await settle(ctx, InboxKind.message, _review_of(issue), VERDICTS.get(now, SENT_BACK))


async def tell_of_failure(ctx: Context, mission: Mission) -> None:
    """Each time that it is started and fails."""
    failed = (col(MissionTask.mission_id) == mission.id, col(MissionTask.status) == TaskStatus.FAILED)
    tasks = await ctx.select(MissionTask, *failed).order_by(col(MissionTask.task_order)).limit(MOST_NAMED).all()
    lines = [f"- {task.title}: {cut(task.error_message or 'failed', LINE * 3)}" for task in tasks]
    await put(
        ctx,
        InboxKind.failed_run,
        _failure_of(mission),
        subject=mission,
        target_role=Role.MANAGER,
        title=cut(f"{mission.identifier or mission.title} failed", LINE * 3),
        body_md=cut("\n".join([mission.title, "", *lines]), DESCRIPTION),
        sender_type=SenderType.system,
        sender_name=ENGINE,
        priority=InboxPriority.high,
        payload={"mission_id": mission.id, "crew_id": mission.crew_id, "issue_identifier": mission.identifier},
    )


async def taken_up_again(ctx: Context, mission: Mission) -> None:
    """`mission` as it was when it had failed."""
    await settle(ctx, InboxKind.failed_run, _failure_of(mission), "retried")


def _review_of(mission: Mission) -> str:
    return f"issue_review_{mission.id}"


def _failure_of(mission: Mission) -> str:
    started = mission.started_at or mission.created_at
    return f"mission_failed_{mission.id}_{int(started.timestamp() * 1000)}"
