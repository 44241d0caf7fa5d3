"""Functions for other domains: add an inbox item, and resolve it when its source is decided."""

from typing import Any

from sqlmodel import col

from models.attention.approvals import Approval
from models.attention.inbox import InboxItem, InboxKind, InboxState, InboxSubject, inbox_item_id
from models.base import TenantTable
from models.resources.budgets import Budget
from models.staff.agents import Agent
from models.staff.assignments import Escalation
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Mission, MissionTask, MissionType
from models.work.work_pauses import WorkPause
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import NOW, Context

MARKS = ("read_at", "read_by_user_id", "resolved_at", "resolved_by_user_id", "resolved_action")
"""The columns that are set with an item's state."""
SUBJECTS: dict[type[TenantTable], InboxSubject] = {
    Approval: InboxSubject.approval,
    Escalation: InboxSubject.escalation,
    MissionTask: InboxSubject.mission_task,
    Run: InboxSubject.run,
    Budget: InboxSubject.budget,
    WorkPause: InboxSubject.work_pause,
    Mission: InboxSubject.mission,
    Agent: InboxSubject.agent,
    Crew: InboxSubject.crew,
    Chat: InboxSubject.chat,
}


def about(row: TenantTable) -> dict[str, Any]:
    """The columns of an item that name its subject."""
    is_issue = isinstance(row, Mission) and row.mission_type is MissionType.issue
    return {"subject_type": InboxSubject.issue if is_issue else SUBJECTS[type(row)], "subject_id": row.id}


async def put(
    ctx: Context,
    kind: InboxKind,
    source_id: str,
    *,
    subject: TenantTable | None,
    anew: bool = False,
    id: str | None = None,
    **item: Any,
) -> None:
    """An item, once for its kind and source: a repeat does nothing. The operation declares InboxItemUpdated.

    `subject`: the row that the item is about. `anew`: something else is called so now, and what was settled for the
    one before it is not about this one.
    """
    await ctx.lock(f"inbox item {ctx.workspace_id}/{kind}/{source_id}")
    if anew:
        await ctx.delete_where(InboxItem, *_same(kind, source_id), including_hidden=True)
    if await ctx.select(InboxItem, *_same(kind, source_id), including_hidden=True).exists():
        return
    item |= {} if subject is None else about(subject)
    made = InboxItem(id=id or inbox_item_id(kind, source_id), kind=kind, source_id=source_id, **item)
    ctx.record(made)
    ctx.emit(InboxItemUpdated(id=made.id, state=InboxState.unread))


async def is_settled(ctx: Context, kind: InboxKind, source_id: str) -> bool:
    """Returns true if the item exists and is resolved."""
    resolved = col(InboxItem.state) == InboxState.resolved
    return await ctx.select(InboxItem, *_same(kind, source_id), resolved, including_hidden=True).exists()


async def settle(ctx: Context, kind: InboxKind, source_id: str, action: str | None) -> None:
    """Resolves an item whose source was decided, by the caller or, without one, by the service. An item that a user has
    resolved before is unchanged. The operation declares InboxItemUpdated.
    """
    open_ = (*_same(kind, source_id), col(InboxItem.state) != InboxState.resolved)
    decided = {"resolved_at": NOW, "resolved_by_user_id": ctx.user_id or None, "resolved_action": action}
    for id in await ctx.update_where(InboxItem, *open_, including_hidden=True, state=InboxState.resolved, **decided):
        ctx.emit(InboxItemUpdated(id=id, state=InboxState.resolved))


def _same(kind: InboxKind, source_id: str) -> tuple[Any, ...]:
    return col(InboxItem.kind) == kind, col(InboxItem.source_id) == source_id
