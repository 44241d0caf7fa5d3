"""Recurring issues themselves: list, create, update, delete, and what can be read from them."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from models import bounds
from models.people.auth import User
from models.people.workspaces import Workspace
from models.staff.crews import Crew
from models.work.projects import Milestone, Project
from models.work.recurring_issues import LONGEST_CRON, RecurringIssue
from resolvers.kernel import (
    EVERYONE,
    Action,
    Bool,
    ById,
    Context,
    Deleted,
    Emptied,
    Filter,
    Id,
    Input,
    Patch,
    Prompt,
    QueryScope,
    Ref,
    Rows,
    Subject,
    actor,
    command,
    extend,
    graph,
    instance,
    many,
    one,
    query,
)
from resolvers.kernel.reader import Derived, closed
from resolvers.kernel.writing.actors import check_actor
from resolvers.rules.issue_fields import AssigneeType, IssuePriority, Priority
from resolvers.work.issues.changing import fits_project
from resolvers.work.issues.issues import MilestoneId, ProjectId
from resolvers.work.recurring_issues.events import RecurringIssueCreated, RecurringIssueDeleted, RecurringIssueUpdated
from resolvers.work.recurring_issues.schedules import first_of

Title = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
CrewId = Annotated[Id, Field(min_length=1), Ref(Crew)]
Cron = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_CRON)]
ZoneName = Annotated[str, Field(strict=True, max_length=bounds.NAME)]
NEWEST_FIRST = (col(RecurringIssue.created_at).desc(), col(RecurringIssue.id).desc())
RECURRING = Subject(RecurringIssue, "id", called="Recurring issue")


class ListRecurringIssues(Input):
    crew_id: Annotated[Id | None, Filter(RecurringIssue.crew_id, leads=True)] = None


class CreateRecurringIssue(Input):
    """`cron_expression` has five fields, of numbers or names: minute, hour, day of month, month and day of week.
    They apply in `time_zone`, a name such as Europe/Berlin; by default UTC.

    `assignee_id` is an agent or, if `assignee_type` is user, a member of the workspace. `labels_json` is a JSON
    array of label ids, as text; ids that are unknown when an issue is created are ignored.
    """

    crew_id: CrewId
    title: Title
    cron_expression: Cron
    time_zone: Emptied[ZoneName] = None
    description: Prompt | None = None
    priority: Priority = "none"
    project_id: Emptied[ProjectId] = None
    milestone_id: Emptied[MilestoneId] = None
    assignee_type: AssigneeType | None = None
    assignee_id: Id | None = None
    labels_json: Prompt | None = None


class UpdateRecurringIssue(Patch, ById):
    """Null clears nullable fields; an empty string clears the project, the milestone and the time zone as well."""

    crew_id: CrewId
    title: Title
    cron_expression: Cron
    time_zone: Emptied[ZoneName]
    description: Prompt | None
    priority: Priority
    project_id: Emptied[ProjectId]
    milestone_id: Emptied[MilestoneId]
    assignee_type: AssigneeType | None
    assignee_id: Id | None
    labels_json: Prompt | None
    enabled: Bool


@query("recurring_issues.list", Action.READ)
def list_recurring_issues(scope: QueryScope, data: ListRecurringIssues) -> Rows[RecurringIssue]:
    """List recurring issues.

    Newest first.
    """
    return scope.select(RecurringIssue).matching(data).order_by(*NEWEST_FIRST)


@command("recurring_issues.create", Action.CREATE, audit="recurring_issue.created", emits=RecurringIssueCreated)
async def create_recurring_issue(ctx: Context, data: CreateRecurringIssue) -> RecurringIssue:
    """Create a recurring issue.

    The recurring issue is enabled. Issues are created in the name of the caller; issues missed while the service
    was down are created once afterwards. Times follow daylight saving: a skipped time runs one hour later, a
    repeated time runs once.
    """
    recurring = RecurringIssue(created_by=ctx.user_id, **data.model_dump())
    recurring.next_run = first_of(data.cron_expression, data.time_zone, instance.clock.now())
    await check_actor(ctx, "assignee_id", data.assignee_type, data.assignee_id)
    await fits_project(ctx, data.milestone_id, data.project_id)
    ctx.emit(RecurringIssueCreated(id=recurring.id))
    return await ctx.insert(recurring)


@command(
    "recurring_issues.update",
    Action.CREATE,
    audit="recurring_issue.updated",
    subject=RECURRING,
    locked=True,
    emits=RecurringIssueUpdated,
    versioned=RecurringIssue,
)
async def update_recurring_issue(ctx: Context, recurring: RecurringIssue, data: UpdateRecurringIssue) -> RecurringIssue:
    """Update a recurring issue.

    A new schedule sets the next time. Enabling it after its time has passed creates an issue at once.
    """
    ctx.emit(RecurringIssueUpdated(id=recurring.id))
    return await ctx.edit(recurring, **await _changed(ctx, recurring, data.something()))


async def _changed(ctx: Context, recurring: RecurringIssue, sent: dict[str, Any]) -> dict[str, Any]:
    """The columns that change, checked against the row as it is."""
    changes = dict(sent)
    if changes.keys() & {"cron_expression", "time_zone"}:
        cron = changes.get("cron_expression", recurring.cron_expression)
        zone_name = changes.get("time_zone", recurring.time_zone)
        changes["next_run"] = first_of(cron, zone_name, instance.clock.now())
    if changes.keys() & {"assignee_type", "assignee_id"}:
        kind = changes.get("assignee_type", recurring.assignee_type)
        await check_actor(ctx, "assignee_id", kind, changes.get("assignee_id", recurring.assignee_id))
    project_id = changes.get("project_id", recurring.project_id)
    if changes.get("milestone_id"):
        await fits_project(ctx, changes["milestone_id"], project_id)
    elif "milestone_id" not in changes and changes.get("project_id") and project_id != recurring.project_id:
        changes["milestone_id"] = None  # it is of the project that was
    return changes


@command(
    "recurring_issues.delete",
    Action.MANAGE,
    audit="recurring_issue.deleted",
    subject=RECURRING,
    emits=RecurringIssueDeleted,
    versioned=RecurringIssue,
)
async def delete_recurring_issue(ctx: Context, recurring: RecurringIssue, data: ById) -> Deleted:
    """Delete a recurring issue.

    Existing issues are kept.
    """
    await ctx.delete(RecurringIssue, recurring.id)
    ctx.emit(RecurringIssueDeleted(id=recurring.id))
    return Deleted(id=recurring.id)


def _crew_name(row: Any, scope: Any) -> Any:
    """The name of a live crew only (contract: RecurringIssue)."""
    crew, own = scope.beside(Crew, row)
    return scope.scalar(select(crew.c.name).where(crew.c.id == row.crew_id, *own))


graph(
    RecurringIssue,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    priority_level=closed(IssuePriority, "priority"),
    crew=one(Crew, "crew_id"),
    crew_name=Derived(str, _crew_name, Crew),
    project=one(Project, "project_id"),
    milestone=one(Milestone, "milestone_id"),
    assignee=actor("assignee_type", "assignee_id"),
    creator=one(User, "created_by"),
)
for owner, key in ((Workspace, "workspace_id"), (Crew, "crew_id"), (Project, "project_id")):
    extend(owner, recurring_issues=many(RecurringIssue, key, order_by=NEWEST_FIRST))
