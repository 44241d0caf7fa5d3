"""Comments on an issue."""

from typing import Annotated

from pydantic import Field

from models import bounds
from models.actors import ActorType
from models.work.issues import IssueComment
from models.work.missions import Mission
from resolvers.attention.inbox.events import NotificationCreated
from resolvers.attention.notifications import notify
from resolvers.kernel import Action, Actor, Context, QueryScope, Row, Rows, command, query
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
