"""Issues themselves: list, get, create, update, delete."""

from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.base import new_id
from models.machines import Machine
from models.people.workspaces import Capability
from models.staff.crews import Crew
from models.work.issues import IssueAttachment, IssueLabel
from models.work.labels import Label
from models.work.missions import (
    ISSUE_BOARD,
    ISSUE_STATES,
    AuthoredVia,
    IssueStatus,
    Mission,
    MissionStatus,
    MissionType,
)
from models.work.projects import Milestone, Project
from resolvers.attention.inbox.events import InboxItemUpdated, NotificationCreated
from resolvers.kernel import (
    GRAPHQL_ONLY,
    REST_ONLY,
    Action,
    Actor,
    ById,
    Code,
    Context,
    Deleted,
    Emptied,
    Float,
    Id,
    Input,
    Int,
    Notes,
    Page,
    Patch,
    Prompt,
    QueryScope,
    Ref,
    Refusal,
    Row,
    Rows,
    Subject,
    at_most,
    command,
    invalid,
    query,
)
from resolvers.kernel.writing.actors import actor_of, check_actor
from resolvers.people.workspaces.files import drop_bytes
from resolvers.rules.issue_fields import AssigneeType, Day, Priority
from resolvers.work.issues.changing import change_issue, differing, fits_project, no_routine, notify_assignee
from resolvers.work.issues.events import IssueCreated, IssueDeleted, IssueUpdated
from resolvers.work.issues.graph import BY_HAND, IS_ISSUE, ListIssues, listed
from resolvers.work.issues.naming import (
    IDENTIFIER,
    IDENTIFIER_TAKEN,
    ISSUE,
    ISSUE_BY_ID,
    ISSUE_IN_ANY_CASE,
    ISSUE_OF_CREW,
    LEAD,
    AsWritten,
    ByIdentifier,
    OfCrew,
    next_number,
)
from resolvers.work.triage_rules import FOR_NEW_ISSUES, applied_on_creation

MOST_LABELS = 100
Title = Annotated[str, Field(strict=True, max_length=bounds.LABEL)]
ProjectId = Annotated[Id, Ref(Project)]
MilestoneId = Annotated[Id, Ref(Milestone)]
IssueId = Annotated[Id, Ref(Mission, where=IS_ISSUE, called="Issue")]
LabelIds = Annotated[list[Id], at_most(MOST_LABELS)]
CREW = Subject(Crew, "crew_id")
DELETABLE = (MissionStatus.BACKLOG, MissionStatus.CANCELLED)


class CreateIssue(Input):
    """`assignee_id` is an agent or, if `assignee_type` is user, a member of the workspace.

    With any other type it is an arbitrary text. In GraphQL `priority` is none, low, medium, high or urgent,
    `due_date` a day such as 2030-01-31, and `assignee_type` is agent or user.
    """

    crew_id: Id
    title: Annotated[Title, Field(min_length=1)]
    description: Prompt | None = None
    priority: Priority = "none"
    assignee_type: AssigneeType | None = None
    assignee_id: Id | None = None
    due_date: Day | None = None
    project_id: ProjectId | None = None
    estimate: Int | None = None
    parent_issue_id: IssueId | None = None
    milestone_id: MilestoneId | None = None
    labels: Annotated[list[Annotated[Id, Ref(Label)]], at_most(MOST_LABELS)] = []
    routine_id: Emptied[Id] = None
    routine_inputs: Notes | None = None


class UpdateIssue(Patch, OfCrew):
    """Null clears nullable fields; an empty string also clears the project, the parent and the milestone.

    `labels` replaces all labels, ignoring labels of other workspaces; `label_ids` is an alias.
    """

    title: Title
    description: Prompt | None
    status: IssueStatus
    priority: Priority
    assignee_type: AssigneeType | None
    assignee_id: Id | None
    due_date: Day | None
    project_id: Emptied[ProjectId]
    estimate: Int | None
    parent_issue_id: Emptied[IssueId]
    milestone_id: Emptied[MilestoneId]
    sort_order: Float
    labels: LabelIds
    label_ids: LabelIds
    routine_id: Emptied[Id]
    routine_inputs: Notes


@query("issues.list", Action.READ, surfaces=REST_ONLY)
def list_issues(scope: QueryScope, data: ListIssues) -> Page[Mission]:
    """List issues.

    Newest first by default; always descending, ties by creation time.
    """
    return listed(scope, data)


@query("issues.get", Action.READ, subject=ISSUE, surfaces=REST_ONLY)
def get_issue(scope: QueryScope, issue: Row[Mission], data: ByIdentifier) -> Row[Mission]:
    """Get an issue.

    Accepts an identifier such as ENG-42.
    """
    return issue


@query("issues.find_one", Action.READ, subject=ISSUE_IN_ANY_CASE, surfaces=GRAPHQL_ONLY)
def find_issue(scope: QueryScope, issue: Row[Mission], data: AsWritten) -> Row[Mission]:
    """Get an issue.

    Accepts an identifier such as ENG-42, in any case: the exact one first, then in capitals, then in small letters.
    """
    return issue


@query("issues.get_by_id", Action.READ, subject=ISSUE_BY_ID, surfaces=GRAPHQL_ONLY)
def get_issue_by_id(scope: QueryScope, issue: Row[Mission], data: ById) -> Row[Mission]:
    """Get an issue by its id.

    `issue` finds it by its identifier.
    """
    return issue


@query("issues.get_in_crew", Action.READ, subject=ISSUE_OF_CREW)
def get_issue_in_crew(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Row[Mission]:
    """Get an issue of a crew.

    Accepts an identifier such as ENG-42.
    """
    return issue


@query("issues.subtasks", Action.READ, subject=ISSUE_OF_CREW)
def list_sub_issues(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Rows[Mission]:
    """List sub-issues of an issue.

    Includes sub-issues in other crews. Sorted by `sort_order`; ties by creation time.
    """
    return scope.children(issue, Mission, "parent_issue_id").where(*IS_ISSUE).order_by(*BY_HAND)


async def new_issue(ctx: Context, crew: Crew, creator: Actor | None, via: AuthoredVia, **values: Any) -> Mission:
    """An issue in the crew's backlog, with the crew's next number, and the values of a triage rule for new issues."""
    values = await applied_on_creation(ctx, {"crew_id": crew.id, **values})
    issue = Mission(
        lead_agent_id=LEAD,
        mission_type=MissionType.issue,
        trace_id=f"issue-{new_id()}",
        status=MissionStatus.BACKLOG,
        number=Crew.issue_counter,
        identifier=IDENTIFIER,
        created_by_type=creator and creator.type,
        created_by_id=creator and creator.id,
        authored_via=via,
        **values,
    )
    return await ctx.insert(issue, change=await next_number(ctx, crew))


@command(
    "issues.create",
    Action.CREATE,
    audit="issue.created",
    or_capability=Capability.issue_create,
    subject=CREW,
    again=IDENTIFIER_TAKEN,
    asks=FOR_NEW_ISSUES,
    emits=(IssueCreated, NotificationCreated),
)
async def create_issue(ctx: Context, crew: Crew, data: CreateIssue) -> Mission:
    """Create an issue.

    Adds the issue to the backlog of a crew, which must have a LEAD, with the crew's next number.
    """
    values = data.model_dump(exclude={"crew_id", "labels", "routine_id", "routine_inputs"})
    if data.routine_inputs and not data.routine_id:
        raise invalid("routine_inputs", "requires a routine_id")
    no_routine(data.routine_id)
    await check_actor(ctx, "assignee_id", data.assignee_type, data.assignee_id)
    await fits_project(ctx, data.milestone_id, data.project_id)
    issue = await new_issue(ctx, crew, actor_of(ctx), AuthoredVia.user_api, **values)
    await ctx.insert_all([IssueLabel(mission_id=issue.id, label_id=label) for label in dict.fromkeys(data.labels)])
    ctx.emit(IssueCreated(id=issue.id))
    await notify_assignee(ctx, issue)
    return issue


@command(
    "issues.update",
    Action.CREATE,
    audit="issue.updated",
    subject=ISSUE_OF_CREW,
    emits=(IssueUpdated, NotificationCreated, InboxItemUpdated),
    errors=(Code.CONFLICT,),
    versioned=Mission,
    surfaces=REST_ONLY,
)
async def update_issue(ctx: Context, issue: Mission, data: UpdateIssue) -> Mission:
    """Update an issue.

    A new status must be reachable from the current one; DONE, CANCELLED and DUPLICATE set `completed_at`. An
    `assignee_id` without a type is a member or, failing that, an agent.

    Moving an issue to another project clears the milestone, unless one is sent. The status IN_PROGRESS does not start
    work: use `start`.
    """
    return await _changed(ctx, issue, data.something(), ISSUE_STATES)


@command(
    "issues.edit",
    Action.CREATE,
    audit="issue.updated",
    subject=ISSUE_OF_CREW,
    emits=(IssueUpdated, NotificationCreated, InboxItemUpdated),
    errors=(Code.CONFLICT,),
    versioned=Mission,
    surfaces=GRAPHQL_ONLY,
)
async def edit_issue(ctx: Context, issue: Mission, data: UpdateIssue) -> Mission:
    """Update an issue.

    A new status must be one of `nextStatuses`; the present one changes nothing. DONE, CANCELLED and DUPLICATE set
    `completedAt`. An `assigneeId` without a type is a member or, failing that, an agent.

    Moving an issue to another project clears the milestone, unless one is sent. The status IN_PROGRESS does not start
    work: use `startIssue`. Use `moveIssue` for the place on a board.
    """
    sent = differing(issue, data.something())
    return await _changed(ctx, issue, sent, ISSUE_BOARD) if sent else await ctx.unchanged(Mission, issue.id)


async def _changed(
    ctx: Context, issue: Mission, sent: dict[str, Any], machine: Machine[Mission, MissionStatus]
) -> Mission:
    updated = await change_issue(ctx, issue, sent, machine)
    ctx.emit(IssueUpdated(id=issue.id))
    return updated


@command(
    "issues.delete",
    Action.CREATE,
    audit="issue.deleted",
    subject=ISSUE_OF_CREW,
    locked=True,
    emits=IssueDeleted,
    versioned=Mission,
)
async def delete_issue(ctx: Context, issue: Mission, data: OfCrew) -> Deleted:
    """Delete an issue.

    The issue must be in BACKLOG or CANCELLED. Deletes everything attached to it; sub-issues are kept, and the
    number is not reused.
    """
    if issue.status not in DELETABLE:
        raise Refusal(
            Code.BAD_REQUEST, f"Only issues in BACKLOG or CANCELLED can be deleted; this one is {issue.status}"
        )
    await drop_bytes(ctx, col(IssueAttachment.mission_id) == issue.id)
    await ctx.delete(Mission, issue.id)
    ctx.emit(IssueDeleted(identifier=issue.identifier or ""))
    return Deleted(id=issue.id)
