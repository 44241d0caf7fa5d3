"""Many issues changed at once."""

from typing import Annotated, Any

from pydantic import Field, PrivateAttr, WithJsonSchema, WrapValidator
from sqlalchemy import case
from sqlmodel import col

from models.work.issues import ActivityAction
from models.work.missions import ISSUE_STATES, IssueStatus, Mission, MissionStatus
from models.work.projects import Project
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    NOW,
    Action,
    Context,
    Id,
    Input,
    Output,
    Patch,
    Ref,
    at_most,
    command,
    extend,
    written,
)
from resolvers.kernel.writing.actors import actor_of, check_actor
from resolvers.rules.issue_fields import AssigneeType, Priority
from resolvers.work.issues.changing import replace_labels
from resolvers.work.issues.events import IssuesBulkUpdated
from resolvers.work.issues.graph import IS_ISSUE, ISSUE_ROWS
from resolvers.work.issues.issues import LabelIds
from resolvers.work.missions.moving import record
from resolvers.work.missions.reviewing import reviewed

MOST_ISSUES = 100
ARROW = " -> "
NOWHERE = ""


STATUS = f"One of {', '.join(IssueStatus)}; any other skips every issue."


def _known(status: Any, validate: Any) -> Any:
    """An unknown status skips every issue (contract: issues.bulk)."""
    return NOWHERE if isinstance(status, str) and status not in {*IssueStatus} else validate(status)


class IssueUpdates(Patch):
    """Fields to change in every issue; null counts as absent, and an empty `project_id` removes the project."""

    status: Annotated[IssueStatus, WrapValidator(_known), WithJsonSchema({"type": "string", "description": STATUS})]
    priority: Priority
    assignee_type: AssigneeType
    assignee_id: Id
    project_id: Annotated[Id, Ref(Project, or_empty=True)]
    labels: LabelIds


class BulkUpdate(Input):
    """`ids` are ids, not identifiers. Unknown ids and issues that cannot move to the new status are skipped."""

    ids: Annotated[list[Id], Field(min_length=1), at_most(MOST_ISSUES)]
    updates: IssueUpdates = Field(default_factory=lambda: IssueUpdates.model_validate({}))


class BulkUpdated(Output):
    """The number of issues updated."""

    updated: int
    _missing: list[str] = PrivateAttr(default_factory=list)

    @property
    def not_found(self) -> list[str]:
        """The ids that name no issue; an issue that cannot move to the status is not among them."""
        return self._missing


extend(BulkUpdated, issues=written(ISSUE_ROWS, several=True, order_by=col(Mission.id)))


@command("issues.bulk", Action.CREATE, audit="issue.updated", emits=(IssuesBulkUpdated, InboxItemUpdated))
async def bulk_update(ctx: Context, data: BulkUpdate) -> BulkUpdated:
    """Update issues in bulk.

    At most 100 issues. Returns the number of issues updated; an issue sent twice counts twice.
    """
    sent = data.updates.sent()
    labels = sent.pop("labels", None)
    if not sent and labels is None:
        return BulkUpdated(updated=0)
    await check_actor(ctx, "assignee_id", sent.get("assignee_type"), sent.get("assignee_id"))
    issues = (
        await ctx.select(Mission, col(Mission.id).in_(list(dict.fromkeys(data.ids))), *IS_ISSUE)
        .order_by(col(Mission.id))
        .locked()
        .all()
    )
    missing = list(dict.fromkeys(data.ids).keys() - {issue.id for issue in issues})
    if "assignee_type" in sent and "assignee_id" not in sent:
        for id in {issue.assignee_id for issue in issues}:
            await check_actor(ctx, "assignee_id", sent["assignee_type"], id)
    if "status" in sent:
        issues = [issue for issue in issues if _leads(issue, sent["status"])]
    ids = [issue.id for issue in issues]
    if not ids:
        return _updated(0, missing)
    if sent:
        await ctx.update_where(Mission, col(Mission.id).in_(ids), **_changes(sent))
    if labels is not None:
        await replace_labels(ctx, ids, labels)
    for issue in issues if "status" in sent else ():
        await reviewed(ctx, issue, MissionStatus(sent["status"]))
        record(
            ctx, issue.id, actor_of(ctx), ActivityAction.status_changed, f"{issue.status}{ARROW}{sent['status']} (bulk)"
        )
    for issue in issues:
        ctx.changed(Mission, issue.id, sent, issue.__dict__, sent)
        ctx.audit("ISSUE", issue.id, identifier=issue.identifier, title=issue.title)
    updated = sum(data.ids.count(id) for id in ids)
    ctx.emit(IssuesBulkUpdated(count=str(updated)))
    return _updated(updated, missing)


def _updated(number: int, missing: list[str]) -> BulkUpdated:
    made = BulkUpdated(updated=number)
    made._missing += sorted(missing)
    return made


def _leads(issue: Mission, status: IssueStatus) -> bool:
    return status != NOWHERE and MissionStatus(status) in ISSUE_STATES.moves[issue.status]


def _changes(sent: dict[str, Any]) -> dict[str, Any]:
    changes = dict(sent)
    if "project_id" in sent:
        project_id = changes["project_id"] = sent["project_id"] or None
        if project_id:  # milestones of another project go
            changes["milestone_id"] = case(
                (col(Mission.project_id) == project_id, col(Mission.milestone_id)), else_=None
            )
    stamps = ISSUE_STATES.stamped(MissionStatus(sent["status"])) if "status" in sent else []
    return changes | dict.fromkeys(stamps, NOW)
