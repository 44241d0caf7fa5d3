"""Operations of agents on issues, over the internal API. The workspace is in body or query; a token may be bound to
one.
"""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models.actors import ActorType
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.issues import IssueComment, IssueLabel
from models.work.missions import ISSUE_STATES, AuthoredVia, IssueStatus, Mission
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    Action,
    Actor,
    Auth,
    Code,
    Context,
    Id,
    Input,
    Output,
    Page,
    Prompt,
    QueryScope,
    Ref,
    Row,
    Text,
    command,
    invalid,
    query,
)
from resolvers.kernel.writing.actors import actor_of, check_actor
from resolvers.work.issues.changing import change_issue, differing, known_labels
from resolvers.work.issues.comments import CommentText, comment_of
from resolvers.work.issues.events import IssueCreatedByService, IssueUpdated
from resolvers.work.issues.graph import ListIssues
from resolvers.work.issues.issues import LabelIds, Title, list_issues, new_issue
from resolvers.work.issues.naming import IDENTIFIER_TAKEN, ISSUE, ByIdentifier
from resolvers.work.triage_rules import FOR_NEW_ISSUES

AgentId = Annotated[Id, Field(min_length=1), Ref(Agent)]
WorkspaceId = Annotated[Id, Field(min_length=1)]


class CreateAgentIssue(Input):
    """`author_agent_id` is an agent of the crew; without it the issue has no creator. Unknown labels are ignored."""

    workspace_id: WorkspaceId
    crew_id: Annotated[Id, Field(min_length=1)]
    title: Annotated[Title, Field(min_length=1)]
    description: Prompt | None = None
    priority: Text = "none"
    assignee_type: Text | None = None
    assignee_id: Id | None = None
    author_agent_id: Id | None = None
    labels: LabelIds = []


class AgentIssueCreated(Output):
    id: str
    identifier: str
    status: IssueStatus = IssueStatus.BACKLOG


class UpdateAgentIssue(ByIdentifier):
    """`agent_id` is the acting agent; without it the system acts, which does not comment. Sending the current status
    has no effect.
    """

    workspace_id: WorkspaceId
    status: IssueStatus | None = None
    priority: Text | None = None
    comment: CommentText | None = None
    agent_id: AgentId | None = None


class AgentIssueUpdated(Output):
    status: str = "ok"


class CreateAgentComment(ByIdentifier):
    workspace_id: WorkspaceId
    agent_id: AgentId
    body: CommentText


@query("internal.issues.list", Action.NONE, auth=Auth.INTERNAL)
def list_agent_issues(scope: QueryScope, data: ListIssues) -> Page[Mission]:
    """List issues (for agents).

    Lists the workspace's issues, newest first by default.
    """
    return list_issues.within(scope, data)


@query("internal.issues.get", Action.NONE, auth=Auth.INTERNAL, subject=ISSUE)
def get_agent_issue(scope: QueryScope, issue: Row[Mission], data: ByIdentifier) -> Row[Mission]:
    """Get an issue (for agents)."""
    return issue


@command(
    "internal.issues.create",
    Action.NONE,
    audit="issue.created",
    auth=Auth.INTERNAL,
    again=IDENTIFIER_TAKEN,
    asks=FOR_NEW_ISSUES,
    emits=IssueCreatedByService,
    errors=(Code.NOT_FOUND,),
)
async def create_agent_issue(ctx: Context, data: CreateAgentIssue) -> AgentIssueCreated:
    """Create an issue (for agents).

    Adds the issue to the backlog of a crew that has a LEAD.
    """
    crew = await ctx.get(Crew, data.crew_id)
    author = await _author(ctx, crew, data.author_agent_id)
    await check_actor(ctx, "assignee_id", data.assignee_type, data.assignee_id)
    values = data.model_dump(include={"title", "description", "priority", "assignee_type", "assignee_id"})
    known = await known_labels(ctx, data.labels)
    issue = await new_issue(ctx, crew, author, AuthoredVia.agent_tool_call, **values)
    ctx.record(*[IssueLabel(mission_id=issue.id, label_id=label) for label in known])
    ctx.emit(IssueCreatedByService(id=issue.id, identifier=issue.identifier, title=issue.title))
    await ctx.flush()
    return AgentIssueCreated(id=issue.id, identifier=issue.identifier or "")


async def _author(ctx: Context, crew: Crew, agent_id: str | None) -> Actor | None:
    if agent_id is None:
        return None
    if not await ctx.select(Agent, col(Agent.id) == agent_id, col(Agent.crew_id) == crew.id).exists():
        raise invalid("author_agent_id", "there is no such agent in the crew")
    return Actor(ActorType.agent, agent_id)


@command(
    "internal.issues.update",
    Action.NONE,
    audit="issue.updated",
    auth=Auth.INTERNAL,
    subject=ISSUE,
    emits=(IssueUpdated, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def update_agent_issue(ctx: Context, issue: Mission, data: UpdateAgentIssue) -> AgentIssueUpdated:
    """Update an issue (for agents).

    Changes the status or the priority, or adds a comment.
    """
    if data.comment is not None and data.agent_id is None:
        raise invalid("agent_id", "comments here belong to an agent")
    actor = actor_of(ctx) if data.agent_id is None else Actor(ActorType.agent, data.agent_id)
    sent = {name: value for name, value in (("status", data.status), ("priority", data.priority)) if value is not None}
    sent = differing(issue, sent)
    if sent:
        await change_issue(ctx, issue, sent, ISSUE_STATES, actor)
    if data.comment is not None:
        ctx.record(comment_of(issue.id, actor, data.comment))
    ctx.emit(IssueUpdated(id=issue.id, identifier=issue.identifier or ""))
    return AgentIssueUpdated()


@command(
    "internal.issues.comments_create",
    Action.NONE,
    audit="issue_comment.created",
    auth=Auth.INTERNAL,
    subject=ISSUE,
    emits=IssueUpdated,
)
async def create_agent_comment(ctx: Context, issue: Mission, data: CreateAgentComment) -> IssueComment:
    """Add a comment to an issue (for agents)."""
    ctx.emit(IssueUpdated(id=issue.id, identifier=issue.identifier or ""))
    return await ctx.insert(comment_of(issue.id, Actor(ActorType.agent, data.agent_id), data.body))
