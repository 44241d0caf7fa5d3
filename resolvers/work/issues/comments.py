"""Comments on an issue."""

from typing import Annotated

from pydantic import Field

from models import bounds
from models.actors import ActorType
from models.work.issues import IssueComment
from models.work.missions import Mission
from resolvers.attention.inbox.events import NotificationCreated
from resolvers.attention.notifications import notify
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Action,
    Actor,
    Context,
    Deleted,
    Id,
    Input,
    QueryScope,
    Row,
    Rows,
    Subject,
    command,
    query,
)
from resolvers.kernel.admission.row_rules import Allowed, ByRole, ByUser, Is
from resolvers.kernel.ground.policy import ADMINS
from resolvers.kernel.writing.actors import actor_of
from resolvers.work.issues.events import IssueUpdated
from resolvers.work.issues.graph import OLDEST_FIRST
from resolvers.work.issues.naming import ISSUE_OF_CREW, OfCrew

CommentText = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.PROMPT)]


class CreateComment(OfCrew):
    """A comment of the caller on an issue."""

    body: CommentText


def comment_of(issue_id: str, author: Actor, body: str) -> IssueComment:
    return IssueComment(mission_id=issue_id, author_type=author.type, author_id=author.id, body=body)


@query("issues.comments_list", Action.READ, subject=ISSUE_OF_CREW)
def list_comments(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Rows[IssueComment]:
    """List comments on an issue.

    Oldest first.
    """
    return scope.children(issue, IssueComment, "mission_id").order_by(*OLDEST_FIRST)


class ByComment(Input):
    """A comment on an issue."""

    id: Id


class UpdateComment(ByComment):
    """The new text of the caller's comment."""

    body: CommentText


COMMENT = Subject(IssueComment, "id", called="Comment")
IS_AUTHOR = Is(IssueComment.author_type, ActorType.user) & ByUser(IssueComment.author_id)
is_author = Allowed(IS_AUTHOR, "Only its author can edit a comment")
may_delete = Allowed(ByRole(ADMINS) | IS_AUTHOR, "Only its author or an ADMIN can delete a comment")


@command(
    "issues.comments_update",
    Action.CREATE,
    audit="issue_comment.updated",
    subject=COMMENT,
    allow=is_author,
    emits=IssueUpdated,
    surfaces=GRAPHQL_ONLY,
)
async def update_comment(ctx: Context, comment: IssueComment, data: UpdateComment) -> IssueComment:
    """Update a comment on an issue.

    Only its author can edit it.
    """
    ctx.emit(IssueUpdated(id=comment.mission_id))
    return await ctx.edit(comment, body=data.body)


@command(
    "issues.comments_delete",
    Action.CREATE,
    audit="issue_comment.deleted",
    subject=COMMENT,
    allow=may_delete,
    emits=IssueUpdated,
    surfaces=GRAPHQL_ONLY,
)
async def delete_comment(ctx: Context, comment: IssueComment, data: ByComment) -> Deleted:
    """Delete a comment on an issue.

    Its author and administrators can delete it.
    """
    await ctx.delete(IssueComment, comment.id)
    ctx.emit(IssueUpdated(id=comment.mission_id))
    return Deleted(id=comment.id)


@command(
    "issues.comments_create",
    Action.CREATE,
    audit="issue_comment.created",
    subject=ISSUE_OF_CREW,
    emits=(IssueUpdated, NotificationCreated),
)
async def create_comment(ctx: Context, issue: Mission, data: CreateComment) -> IssueComment:
    """Add a comment to an issue."""
    ctx.emit(IssueUpdated(id=issue.id))
    if issue.assignee_type == ActorType.user:
        await notify(ctx, issue.assignee_id, "commented", ("issue", issue.id), issue.title)
    return await ctx.insert(comment_of(issue.id, actor_of(ctx), data.body))
