"""Work on an issue: its agent is set to it, called off, and what came of it is judged."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import func, select
from sqlmodel import col

from models.actors import ActorType
from models.bounds import LABEL, PROMPT, cut
from models.staff.agents import Agent, AgentRole
from models.staff.chats import Chat, ChatMode
from models.work.issues import ActivityAction
from models.work.missions import ISSUE_STATES, Assignment, Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import NOW, Action, Code, Context, Output, QueryScope, Refusal, Row, Rows, Text, command, query
from resolvers.kernel.writing.actors import actor_of
from resolvers.staff.runs.pauses import PAUSED, is_paused
from resolvers.work.issues.comments import comment_of
from resolvers.work.issues.events import IssueStarted, IssueUpdated
from resolvers.work.issues.naming import ISSUE_OF_CREW, OfCrew
from resolvers.work.missions.driving import WORK_BEGINS, begin_work
from resolvers.work.missions.holding import take_back
from resolvers.work.missions.moving import move_mission, record
from resolvers.work.missions.reviewing import reviewed, taken_up_again

MOST_RUNS = 100
CLEARED = (
    "result_summary", "output_path", "error_message", "assignment_id", "started_at", "completed_at", "duration_ms",
    "confidence", "handoff_context",
    "token_count", "estimated_cost", "evaluation_status", "evaluation_notes", "approval_status", "approved_by",
    "approved_at",
)  # fmt: skip
NEXT_ITERATION = func.coalesce(col(MissionTask.iteration), 0) + 1
STARTABLE = (MissionStatus.BACKLOG, MissionStatus.TODO)
UNDER_WAY = (MissionStatus.IN_PROGRESS, MissionStatus.REVIEW)
OPEN_TASKS = (TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED)


class WorkState(Output):
    """The state of the work on an issue."""

    status: MissionStatus
    identifier: str


class ReviewAction(StrEnum):
    """The decision of a review."""

    approve = "approve"
    request_changes = "request_changes"


class ReviewIssue(OfCrew):
    """`reassign_to` is the slug of an agent; it is ignored if unknown, and with an approval."""

    action: ReviewAction
    comment: Annotated[str, Field(strict=True, max_length=PROMPT)] | None = None
    reassign_to: Text | None = None


class Reviewed(Output):
    """The outcome of a review."""

    status: str = "ok"
    action: ReviewAction


def _refuse(issue: Mission, allowed: tuple[MissionStatus, ...], what: str) -> None:
    if issue.status not in allowed:
        raise Refusal(
            Code.BAD_REQUEST, f"An issue has to be {' or '.join(allowed)} to be {what}; this one is {issue.status}"
        )


@command(
    "issues.start",
    Action.CREATE,
    audit="issue.started",
    subject=ISSUE_OF_CREW,
    emits=(IssueStarted, InboxItemUpdated, *WORK_BEGINS),
    errors=(Code.CONFLICT,),
)
async def start_issue(ctx: Context, issue: Mission, data: OfCrew) -> WorkState:
    """Start work on an issue.

    The assignee must be an agent. Tasks of an earlier start are reset; a LEAD plans the work itself. CONFLICT while the
    work of the agent on the issue is paused.
    """
    _refuse(issue, STARTABLE, "started")
    agent = await _assignee(ctx, issue)
    if await is_paused(ctx, agent.id, issue.id):
        raise Refusal(Code.CONFLICT, PAUSED)
    await taken_up_again(ctx, issue)
    await move_mission(ctx, ISSUE_STATES, issue, MissionStatus.IN_PROGRESS, started_at=NOW)
    anew: dict[str, Any] = dict.fromkeys(CLEARED) | {"status": TaskStatus.PENDING, "iteration": NEXT_ITERATION}
    again = await ctx.update_where(MissionTask, col(MissionTask.mission_id) == issue.id, **anew)
    if not await ctx.select(Chat, col(Chat.id) == issue.id).exists():
        title = cut(f"Issue: {issue.title}", LABEL)
        await ctx.insert(
            Chat(
                id=issue.id,
                agent_id=issue.lead_agent_id,
                title=title,
                mode=ChatMode.MISSION,
                created_by=ctx.user_id or None,
            )
        )
    if not again and agent.agent_role is not AgentRole.LEAD:
        await ctx.insert(
            MissionTask(
                mission_id=issue.id,
                assigned_agent_id=agent.id,
                title=issue.title,
                description=issue.description,
                task_order=1,
            )
        )
    ctx.emit(IssueStarted(id=issue.id, identifier=issue.identifier or "", status=MissionStatus.IN_PROGRESS))
    await begin_work(ctx, issue)
    return WorkState(status=MissionStatus.IN_PROGRESS, identifier=issue.identifier or "")


async def _assignee(ctx: Context, issue: Mission) -> Agent:
    if not issue.assignee_id:
        raise Refusal(Code.BAD_REQUEST, "The issue has no assignee")
    agent = await ctx.select(Agent, col(Agent.id) == issue.assignee_id).first()
    # under any other type the id is a mere text
    if agent is None or issue.assignee_type not in (None, "", ActorType.agent):
        raise Refusal(Code.BAD_REQUEST, "The assignee of the issue is not an agent of this workspace")
    return agent


@command(
    "issues.stop",
    Action.CREATE,
    audit="issue.stopped",
    subject=ISSUE_OF_CREW,
    emits=(IssueUpdated, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def stop_issue(ctx: Context, issue: Mission, data: OfCrew) -> WorkState:
    """Stop work on an issue.

    Cancels the issue and its open tasks. An agent at work finishes its run, which has no further effect.
    """
    _refuse(issue, UNDER_WAY, "stopped")
    await move_mission(ctx, ISSUE_STATES, issue, MissionStatus.CANCELLED)
    await reviewed(ctx, issue, MissionStatus.CANCELLED)
    await take_back(ctx, issue.id)
    await ctx.update_where(
        MissionTask,
        col(MissionTask.mission_id) == issue.id,
        col(MissionTask.status).in_(OPEN_TASKS),
        status=TaskStatus.CANCELLED,
    )
    ctx.emit(IssueUpdated(id=issue.id, identifier=issue.identifier or "", status=MissionStatus.CANCELLED))
    return WorkState(status=MissionStatus.CANCELLED, identifier=issue.identifier or "")


@command(
    "issues.review",
    Action.CREATE,
    audit="issue.reviewed",
    subject=ISSUE_OF_CREW,
    emits=(IssueUpdated, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def review_issue(ctx: Context, issue: Mission, data: ReviewIssue) -> Reviewed:
    """Review an issue.

    Approval moves it to DONE; a request for changes moves it back to TODO, for another start.
    """
    _refuse(issue, UNDER_WAY, "reviewed")
    if data.action is ReviewAction.approve:
        verdict, action, status = "Approved", ActivityAction.review_approved, MissionStatus.DONE
        await move_mission(ctx, ISSUE_STATES, issue, status, said=True)
    else:
        verdict, action, status = "Changes requested", ActivityAction.review_changes_requested, MissionStatus.TODO
        reassigned = await _reassigned(ctx, data.reassign_to)
        await move_mission(ctx, ISSUE_STATES, issue, status, said=True, **reassigned)
    await reviewed(ctx, issue, status)
    actor = actor_of(ctx)
    told = f"{verdict}: {data.comment}" if data.comment else verdict
    record(ctx, issue.id, actor, action, told)
    ctx.record(comment_of(issue.id, actor, told))
    ctx.emit(IssueUpdated(id=issue.id, identifier=issue.identifier or ""))
    return Reviewed(action=data.action)


async def _reassigned(ctx: Context, slug: str | None) -> dict[str, Any]:
    agent = await ctx.select(Agent, col(Agent.slug) == slug).first() if slug else None
    return {} if agent is None else {"assignee_type": ActorType.agent.value, "assignee_id": agent.id}


@query("issues.runs", Action.READ, subject=ISSUE_OF_CREW)
def list_issue_runs(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Rows[Assignment]:
    """List runs of an issue.

    Lists assignments of agents to the issue's tasks, newest first, at most 100; only the last one for a task
    that was reset.
    """
    task = scope.table(MissionTask)
    of_issue = (
        select(task.c.assignment_id)
        .where(task.c.mission_id == scope.id_of(issue), task.c.assignment_id == col(Assignment.id))
        .exists()
    )
    began = func.coalesce(col(Assignment.started_at), col(Assignment.created_at))
    return scope.select(Assignment).where(of_issue).order_by(began.desc(), col(Assignment.id).desc()).limit(MOST_RUNS)
