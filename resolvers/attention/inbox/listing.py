"""The inbox of a workspace, as each of its members sees it."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import and_, func, or_, select
from sqlmodel import col

from models.attention.inbox import LONGEST_ITEM_ID, InboxItem, InboxKind, InboxState
from models.people.workspaces import Workspace
from models.staff.agents import Agent
from resolvers.kernel import (
    MOST_LISTED,
    Action,
    CommaList,
    Filter,
    Input,
    NoInput,
    Page,
    Paging,
    QueryScope,
    Row,
    Rows,
    Subject,
    View,
    at_most,
    constant,
    derived,
    extend,
    graph,
    many,
    one,
    precise,
    query,
)
from resolvers.rules.agent_pictures import stored_picture

ITEM = Subject(InboxItem, "id", called="Inbox item")
ItemId = Annotated[str, Field(strict=True, max_length=LONGEST_ITEM_ID)]
NEWEST_FIRST = (col(InboxItem.created_at).desc(), col(InboxItem.id).desc())
TIMES = ("created_at", "updated_at", "read_at", "resolved_at")
# spelled out: the index of these items is a partial one
IS_ACTIVE: Any = col(InboxItem.state) != constant(InboxState.resolved)
Kinds = Annotated[list[InboxKind], at_most(MOST_LISTED), CommaList(InboxKind)]


class InboxFilter(StrEnum):
    """Inbox items in one state; active items are not resolved."""

    unread = "unread"
    read = "read"
    resolved = "resolved"
    active = "active"
    all = "all"


class ListInbox(Paging):
    page_default: ClassVar[int] = 100
    page_maximum: ClassVar[int] = 500
    cut_to_default: ClassVar[bool] = True  # contract: inbox.list

    state: InboxFilter = InboxFilter.all
    kind: Annotated[Kinds | None, Filter(InboxItem.kind, leads=True)] = None


class ByItem(Input):
    """`id` is the id of the inbox item."""

    id: ItemId


class InboxCount(View):
    """Unread items that the caller can see."""

    unread_count: int


def _is_for(item: Any, scope: Any) -> Any:
    """Everybody's, the caller's own, and of a role what those above it see, too (contract: inbox_visibility)."""
    return or_(
        and_(item.target_user_id.is_(None), item.target_role.is_(None)),
        item.target_user_id == scope.user_id,
        scope.ranks(item, item.target_role),
    )


def _picture(item: Any, scope: Any) -> Any:
    """The stored picture of the agent that sent it."""
    agent, seen = scope.beside(Agent, item)
    return scope.scalar(select(stored_picture(agent.c)).where(agent.c.id == item.sender_id, *seen))


def narrowed(rows: Rows[InboxItem], data: ListInbox) -> Rows[InboxItem]:
    rows = rows.matching(data)
    if data.state is InboxFilter.all:
        return rows
    return rows.where(IS_ACTIVE if data.state is InboxFilter.active else col(InboxItem.state) == data.state.value)


graph(
    InboxItem,
    gate=Action.READ,
    scope="workspace:read",
    visible=_is_for,
    sender_agent=one(Agent, "sender_id"),
    avatar_url=derived(str | None, _picture),
    **{f"{time}_ms": precise(time) for time in TIMES},
)
for owner, key in ((Workspace, "workspace_id"), (Agent, "sender_id")):
    extend(owner, inbox_items=many(InboxItem, key, order_by=NEWEST_FIRST, narrow=narrowed, input=ListInbox))


@query("inbox.list", Action.READ)
def list_inbox(scope: QueryScope, data: ListInbox) -> Page[InboxItem]:
    """List inbox items.

    Lists items for everyone, for the caller, and for the caller's role or a lower one; newest first, ties by id,
    descending.
    """
    return narrowed(scope.select(InboxItem), data).order_by(*NEWEST_FIRST).page(data)


@query("inbox.count", Action.READ)
def count_inbox(scope: QueryScope, data: NoInput) -> Row[InboxCount]:
    """Count unread inbox items.

    Counts the items that the caller can see.
    """
    items = scope.table(InboxItem)
    unread = select(func.count().label("unread_count")).where(items.c.state == constant(InboxState.unread))
    return scope.view(InboxCount, unread.select_from(items)).one("Workspace not found")


@query("inbox.get", Action.READ, subject=ITEM)
def get_item(scope: QueryScope, item: Row[InboxItem], data: ByItem) -> Row[InboxItem]:
    """Get an inbox item."""
    return item
