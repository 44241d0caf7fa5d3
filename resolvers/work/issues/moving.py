"""Moves on a board: to another column, to another place, or both."""

from typing import Annotated, Any

from models.work.missions import ISSUE_BOARD, IssueStatus, Mission, MissionStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import GRAPHQL_ONLY, Action, ById, Code, Context, Id, Patch, Ref, Subject, command, invalid
from resolvers.work.issues.changing import step
from resolvers.work.issues.events import IssueUpdated
from resolvers.work.issues.graph import IS_ISSUE
from resolvers.work.issues.ranks import rank_behind

ISSUE_BY_ID = Subject(Mission, "id", where=IS_ISSUE, called="Issue")
Other = Annotated[Id, Ref(Mission, where=IS_ISSUE, called="Issue")]


class MoveIssue(Patch, ById):
    """`status` is one of `nextStatuses`, or the present one. `after` is the issue that comes before it then, in any
    column; null is the first place of all. Without `after`, the issue keeps its place.
    """

    status: IssueStatus
    after: Other | None


@command(
    "issues.move",
    Action.CREATE,
    audit="issue.updated",
    subject=ISSUE_BY_ID,
    emits=(IssueUpdated, InboxItemUpdated),
    errors=(Code.CONFLICT,),
    versioned=Mission,
    surfaces=GRAPHQL_ONLY,
)
async def move_issue(ctx: Context, issue: Mission, data: MoveIssue) -> Mission:
    """Move an issue on a board.

    Sets its status, its place, or both. There is one order for the whole workspace, by `rank`. A new place alone leaves
    `version` as it is. The status IN_PROGRESS does not start work: use `startIssue`.
    """
    sent = data.something()
    changes: dict[str, Any] = {}
    if "after" in sent:
        if sent["after"] == issue.id:
            raise invalid("after", "is the issue itself")
        changes["rank"] = await rank_behind(ctx, issue, sent["after"])
    to = MissionStatus(sent.get("status", issue.status))
    if to is not issue.status:
        moved = await step(ctx, ISSUE_BOARD, issue, to, **changes)
    elif changes:
        moved = await ctx.edit(issue, **changes)
    else:
        return await ctx.unchanged(Mission, issue.id)
    ctx.emit(IssueUpdated(id=issue.id))
    return moved
