"""Occasions of notifications: the content of an event, and the members whom it concerns."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlmodel import col

from models.attention.inbox import InboxItem, InboxKind, InboxPriority, InboxState, SenderType, inbox_item_id
from models.attention.notification_channels import NotificationCategory
from models.bounds import cut
from models.people.workspaces import Membership
from models.resources.budgets import Budget
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import BY_SCHEDULE, BY_WEBHOOK, Run
from models.work.issues import ActivityAction, IssueActivity, IssueComment
from models.work.missions import Mission
from resolvers.attention.notification_channels.messages import Link
from resolvers.kernel import Context
from resolvers.rules.redaction import Redactor

PREVIEW = 1024  # bytes
REPLY = "chat_reply_"
INBOX: Final = "inbox.updated"
ISSUE, SPENT, SHORT, FAILED = "issue.created", "budget.exceeded", "budget.warning", "provision.failed"
CHANGED, ENDED = "issue.updated", "run.completed"
EVENTS: Final = (INBOX, ISSUE, CHANGED, ENDED, SPENT, SHORT, FAILED)
BY_THEMSELVES: Final = (BY_SCHEDULE, BY_WEBHOOK)
"""The triggers of runs that no member waits for."""
MOST_CHANGES = 20  # of one event
BY_KIND: Final = {
    InboxKind.waitpoint: NotificationCategory.agents_approval,
    InboxKind.escalation: NotificationCategory.agents_escalation,
    InboxKind.failed_run: NotificationCategory.routines_failed,
    InboxKind.memory_consolidation: NotificationCategory.memory,
}
OF_ACTION: Final = {
    ActivityAction.status_changed: (NotificationCategory.issues_state, "journal:mission.status_change", "has changed"),
    ActivityAction.assignee_changed: (NotificationCategory.issues_assigned, "journal:mission.assigned", "was assigned"),
}
COMMENTED: Final = (NotificationCategory.issues_comment, "journal:mission.comment", "was commented on")
LINKS: Final = {
    InboxKind.waitpoint: Link("Review", "/approvals"),
    InboxKind.failed_run: Link("Open runs", "/runs"),
    InboxKind.memory_consolidation: Link("Open inbox", "/inbox"),
}


@dataclass(frozen=True, slots=True)
class Occasion:
    """The content of a notification, without secrets. `users`: the members whom it concerns. `key` identifies it in its
    category.
    """

    kind: str
    id: str
    key: str
    category: NotificationCategory
    priority: str
    title: str
    body: str
    users: list[str]
    links: tuple[Link, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    worded: bool = False
    """An agent wrote the text: templates do not replace it."""


def short(text: str) -> str:
    """A text without secrets, cut after some bytes."""
    said = Redactor().redact(text).encode()
    return said.decode() if len(said) <= PREVIEW else said[:PREVIEW].decode(errors="ignore") + "…"


async def sources_of(ctx: Context, event: str, id: str, since: datetime) -> list[Occasion]:
    """The sources behind an event. `id` is of the row that it names; none if that is gone. What was added to the row
    before `since` is not of this event.
    """
    if event == INBOX:
        return await _of_inbox(ctx, id)
    if event == ISSUE:
        return await _of_issue(ctx, id)
    if event == CHANGED:
        return await _of_changes(ctx, id, since)
    if event == ENDED:
        return await _of_run(ctx, id)
    if event in (SPENT, SHORT):
        return await _of_budget(ctx, event, id)
    return await _of_crew(ctx, id, since)


async def everyone(ctx: Context) -> list[str]:
    return [member.user_id for member in await ctx.select(Membership).order_by(col(Membership.user_id)).all()]


async def _of_inbox(ctx: Context, id: str) -> list[Occasion]:
    """`id` is of an item, or `chat_reply_` and a chat: then of the items of all who have not read it."""
    unread = col(InboxItem.state) == InboxState.unread
    which = col(InboxItem.id).startswith(inbox_item_id(InboxKind.message, f"{id}_"), autoescape=True)
    same = which if id.startswith(REPLY) else col(InboxItem.id) == id
    items = await ctx.select(InboxItem, same, unread, including_hidden=True).all()
    return [await _of_item(ctx, item) for item in items]


async def _of_item(ctx: Context, item: InboxItem) -> Occasion:
    is_reply = item.kind is InboxKind.message and item.source_id.startswith(REPLY)
    payload = Redactor().redact_json(item.payload or {})
    if item.kind is InboxKind.message and not is_reply and item.sender_type is SenderType.system:
        category = NotificationCategory.system_health
    else:
        category = BY_KIND.get(item.kind, NotificationCategory.chat_replies)
    return Occasion(
        kind=item.kind.value,
        id=item.source_id,
        key=f"{item.source_id}:{item.updated_at:%Y%m%d%H%M%S%f}" if is_reply else item.source_id,
        category=category,
        priority=item.priority.value,
        title=short(item.title),
        body=short(item.body_md or ""),
        users=await _concerned(ctx, item),
        links=_links(item, payload),
        facts=payload if isinstance(payload, dict) else {},
        worded=item.kind is InboxKind.message,
    )


async def _concerned(ctx: Context, item: InboxItem) -> list[str]:
    """The user that an item is for; otherwise the members with exactly its role, or all."""
    if item.target_user_id is not None:
        return [item.target_user_id]
    if item.target_role is None:
        return await everyone(ctx)
    members = await ctx.select(Membership, col(Membership.role) == item.target_role).all()
    return sorted(member.user_id for member in members)


def _links(item: InboxItem, payload: Any) -> tuple[Link, ...]:
    if item.kind is InboxKind.escalation:
        agent = item.sender_id if item.sender_type is SenderType.agent else None
        return (Link("Review", f"/approvals?agent_id={agent}" if agent else "/approvals"),)
    if item.kind is InboxKind.message:
        url = payload.get("chat_url") if isinstance(payload, dict) else None
        return (Link("Open chat", url),) if isinstance(url, str) and url.startswith("/") else ()
    return (LINKS[item.kind],) if item.kind in LINKS else ()


async def _of_issue(ctx: Context, id: str) -> list[Occasion]:
    issue = await ctx.select(Mission, col(Mission.id) == id).first()
    if issue is None:
        return []
    title = short(f"{issue.identifier}: {issue.title}" if issue.identifier else issue.title)
    facts = {"identifier": issue.identifier, "status": issue.status.value, "priority": issue.priority}
    link = Link("Open mission", f"/missions/{issue.id}/timeline")
    return [
        Occasion(
            "journal:mission.created", id, id, NotificationCategory.issues_created, InboxPriority.low.value, title,
            short(issue.description or ""), await everyone(ctx), (link,), facts,
        )
    ]  # fmt: skip


async def _of_changes(ctx: Context, id: str, since: datetime) -> list[Occasion]:
    """New statuses and assignments of an issue, and comments on it."""
    issue = await ctx.select(Mission, col(Mission.id) == id).first()
    if issue is None:
        return []
    acts = (col(IssueActivity.mission_id) == id, col(IssueActivity.created_at) >= since)
    changes = ctx.select(IssueActivity, *acts, col(IssueActivity.action).in_([*OF_ACTION]))
    said = ctx.select(IssueComment, col(IssueComment.mission_id) == id, col(IssueComment.created_at) >= since)
    name, facts = issue.identifier or issue.title, {"identifier": issue.identifier, "status": issue.status.value}
    found = [
        (change.id, *OF_ACTION[change.action], change.details or "")
        for change in await changes.order_by(col(IssueActivity.created_at)).limit(MOST_CHANGES).all()
    ] + [
        (comment.id, *COMMENTED, comment.body)
        for comment in await said.order_by(col(IssueComment.created_at)).limit(MOST_CHANGES).all()
    ]
    users, link = await everyone(ctx) if found else [], Link("Open mission", f"/missions/{issue.id}/timeline")
    return [
        Occasion(
            kind, id, of, category, InboxPriority.low.value, short(f"{name} {what}"), short(body), users, (link,), facts
        )
        for of, category, kind, what, body in found
    ]


async def _of_run(ctx: Context, id: str) -> list[Occasion]:
    """A run that a schedule or a webhook has begun. Its output is not repeated: not all members may read it."""
    run = await ctx.select(Run, col(Run.id) == id, col(Run.trigger_type).in_(BY_THEMSELVES)).first()
    if run is None:
        return []
    agent = await ctx.select(Agent, col(Agent.id) == run.agent_id, including_deleted=True).one()
    facts = {"agent_name": agent.name, "agent_slug": agent.slug, "trigger": run.trigger_type}
    return [
        Occasion(
            "journal:pipeline.run.completed", id, id, NotificationCategory.routines_completed, InboxPriority.low.value,
            short(f"{agent.name} has completed a run"), "", await everyone(ctx), (Link("Open runs", "/runs"),), facts,
        )
    ]  # fmt: skip


async def _of_budget(ctx: Context, event: str, id: str) -> list[Occasion]:
    budget = await ctx.select(Budget, col(Budget.id) == id).first()
    if budget is None:
        return []
    said = "is spent" if event == SPENT else "is nearly spent"
    priority = InboxPriority.high if event == SPENT else InboxPriority.medium
    now = await ctx.now()
    facts = {"scope": budget.scope.value, "period": budget.period.value}
    title = f"A budget ({budget.scope.value}, {budget.period.value}) {said}"
    return [
        Occasion(
            f"journal:{event}", id, f"{id}:{event}:{now:%Y%m%d}", NotificationCategory.agents_budget, priority.value,
            title, "", await everyone(ctx), (Link("Open journal", "/journal"),), facts,
        )
    ]  # fmt: skip


async def _of_crew(ctx: Context, crew_id: str, since: datetime) -> list[Occasion]:
    crew = await ctx.select(Crew, col(Crew.id) == crew_id).first()
    if crew is None:
        return []
    title = cut(f"The container of {crew.name} could not be prepared", PREVIEW)
    return [
        Occasion(
            "journal:provisioning.failed", crew_id, f"{crew_id}:{since:%Y%m%d%H%M%S}",
            NotificationCategory.agents_error, InboxPriority.high.value, title, "", await everyone(ctx),
            (Link("Open journal", "/journal"),), {"crew_name": crew.name},
        )
    ]  # fmt: skip
