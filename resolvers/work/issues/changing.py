"""Changes of one issue: the same rules for users, boards and agents."""

from typing import Any

from sqlmodel import col

from models.actors import ActorType
from models.machines import Machine
from models.people.workspaces import Membership
from models.work.issues import IssueLabel
from models.work.labels import Label
from models.work.missions import Mission, MissionStatus
from models.work.projects import Milestone
from resolvers.attention.notifications import notify
from resolvers.kernel import Actor, Code, Context, invalid
from resolvers.kernel.writing.actors import actor_of, check_actor
from resolvers.work.issues.activity import record_changes
from resolvers.work.missions.moving import move_mission
from resolvers.work.missions.reviewing import reviewed

KINDS = (None, "", ActorType.user, ActorType.agent)
"""With another type, the id of an assignee is an arbitrary text."""


async def step(
    ctx: Context,
    machine: Machine[Mission, MissionStatus],
    issue: Mission,
    to: MissionStatus,
    by: Actor | None = None,
    **changes: Any,
) -> Mission:
    """Moves an issue to another status, and ends the review that waited for it. `by`: if not the caller."""
    moved = await move_mission(ctx, machine, issue, to, refused=Code.BAD_REQUEST, by=by, **changes)
    await reviewed(ctx, issue, to)
    return moved


def differing(issue: Mission, sent: dict[str, Any]) -> dict[str, Any]:
    """Drops the present status, which changes nothing."""
    return {name: value for name, value in sent.items() if name != "status" or value != issue.status}


async def change_issue(
    ctx: Context,
    issue: Mission,
    sent: dict[str, Any],
    machine: Machine[Mission, MissionStatus],
    by: Actor | None = None,
) -> Mission:
    """Changes what was sent. The operation declares the events of a review; one that can change the assignee also
    declares NotificationCreated. `by`: if not the caller.
    """
    sent = dict(sent)
    labels = sent.pop("labels", sent.pop("label_ids", None))
    sent.pop("label_ids", None)
    changes = await changed(ctx, issue, sent)
    status = changes.pop("status", None)
    if labels is not None:
        await replace_labels(ctx, [issue.id], labels)
    if status is not None:
        updated = await step(ctx, machine, issue, MissionStatus(status), by, **changes)
    else:
        updated = await ctx.edit(issue, **changes)
    record_changes(ctx, issue, by or actor_of(ctx), sent)
    if updated.assignee_id != issue.assignee_id:
        await notify_assignee(ctx, updated)
    return updated


async def notify_assignee(ctx: Context, issue: Mission) -> None:
    """Notifies the person that an issue was assigned to. The operation declares NotificationCreated."""
    if issue.assignee_type == ActorType.user:
        await notify(ctx, issue.assignee_id, "assigned", ("issue", issue.id), issue.title)


async def changed(ctx: Context, issue: Mission, sent: dict[str, Any]) -> dict[str, Any]:
    """The columns that change, checked against the issue as it is."""
    changes = dict(sent)
    if changes.get("parent_issue_id"):
        await _check_parent(ctx, issue, changes["parent_issue_id"])
    if "routine_id" in changes:
        no_routine(changes.pop("routine_id"))
        changes.setdefault("routine_inputs", {})
    if changes.keys() & {"assignee_type", "assignee_id"}:
        if changes.get("assignee_id") and "assignee_type" not in changes and issue.assignee_type in KINDS:
            changes["assignee_type"] = await _kind_of(ctx, changes["assignee_id"])
        # both are written, so the check holds even if another call changes one of them at this moment
        changes = {"assignee_type": issue.assignee_type, "assignee_id": issue.assignee_id} | changes
        await check_actor(ctx, "assignee_id", changes["assignee_type"], changes["assignee_id"])
    project_id = changes.get("project_id", issue.project_id)
    if changes.get("milestone_id"):
        await fits_project(ctx, changes["milestone_id"], project_id)
    elif "milestone_id" not in changes and changes.get("project_id") and project_id != issue.project_id:
        changes["milestone_id"] = None
    return changes


async def _check_parent(ctx: Context, issue: Mission, parent_id: str) -> None:
    """Refuses the issue itself and its sub-issues, at any depth."""
    if parent_id == issue.id:
        raise invalid("parent_issue_id", "is the issue itself")
    await ctx.lock(f"parents of {ctx.workspace_id}")
    above, seen = parent_id, set[str]()
    while above and above not in seen:
        seen.add(above)
        found = await ctx.select(Mission, col(Mission.id) == above).first()
        above = (found.parent_issue_id or "") if found is not None else ""
        if above == issue.id:
            raise invalid("parent_issue_id", "is a sub-issue of the issue")


async def _kind_of(ctx: Context, id: str) -> str:
    """A member comes first."""
    is_member = await ctx.select(Membership, col(Membership.user_id) == id).exists()
    return (ActorType.user if is_member else ActorType.agent).value


async def fits_project(ctx: Context, milestone_id: str | None, project_id: str | None) -> None:
    """Checks that the milestone belongs to the issue's project, if it has one."""
    if milestone_id is None or project_id is None:
        return
    if not await ctx.select(
        Milestone, col(Milestone.id) == milestone_id, col(Milestone.project_id) == project_id
    ).exists():
        raise invalid("milestone_id", "is a milestone of another project")


async def known_labels(ctx: Context, label_ids: list[str]) -> list[str]:
    """The ids among these that are labels of the workspace."""
    return [label.id for label in await ctx.select(Label, col(Label.id).in_(label_ids)).all()] if label_ids else []


async def replace_labels(ctx: Context, issue_ids: list[str], label_ids: list[str]) -> None:
    """Unknown labels are left out."""
    known = await known_labels(ctx, label_ids)
    await ctx.delete_where(IssueLabel, col(IssueLabel.mission_id).in_(issue_ids))
    await ctx.insert_all([IssueLabel(mission_id=issue, label_id=label) for issue in issue_ids for label in known])


def no_routine(id: Any) -> None:
    """Refuses every id, because no issue starts a routine yet."""
    if id:
        raise invalid("routine_id", "there is no such routine in this workspace")
