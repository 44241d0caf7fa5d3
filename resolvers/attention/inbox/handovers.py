"""Hand overs of what needs attention: an entry is then one person's, until it needs nothing, or is taken back.

A hand over is kept as an inbox item of that person, which is read, and so in no list of what needs attention.
"""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.types import Text as SQLText
from sqlmodel import col

from models import bounds
from models.attention.inbox import InboxItem, InboxKind, InboxState, SenderType, inbox_item_id
from models.base import alias_of
from models.people.auth import User
from models.people.workspaces import Membership
from resolvers.kernel import EVERYONE, Action, View, constant, graph, one

PREFIX = "handover:"
EntryId = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LINE * 2)]


class Handover(View):
    """An entry that one member has left to another. `by_id`: the member who handed it over."""

    id: str
    workspace_id: str
    user_id: str
    by_id: str | None
    note: str | None


graph(
    Handover,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    user=one(User, "user_id"),
    by=one(User, "by_id"),
)


def _kept(entry_id: Any, workspace_id: Any) -> tuple[Any, list[Any]]:
    """The inbox item that keeps the hand over of an entry, visible or not."""
    item = alias_of(InboxItem)
    return item, [
        item.c.workspace_id == workspace_id,
        item.c.kind == constant(InboxKind.message),
        item.c.source_id == constant(PREFIX, SQLText()).concat(entry_id),
        item.c.state == constant(InboxState.read),
    ]


def handover_of(entry: Any, scope: Any) -> Any:
    """The hand over of an entry of the list; none if there is none."""
    item, own = _kept(entry.id, entry.workspace_id)
    columns = [item.c.id, item.c.workspace_id, item.c.target_user_id.label("user_id"), item.c.sender_id.label("by_id")]
    return select(*columns, item.c.body_md.label("note")).where(*own)


def is_left(entry_id: Any, row: Any, since: Any, scope: Any, *, to_caller: bool) -> Any:
    """True if an entry was left to the caller, or to another person who still is a member. `since`: a hand over
    before that time was of an earlier need.
    """
    item, own = _kept(entry_id, row.workspace_id)
    later = [] if since is None else [item.c.created_at >= since]
    member = alias_of(Membership)
    is_member = select(constant(1)).where(
        member.c.workspace_id == item.c.workspace_id, member.c.user_id == item.c.target_user_id
    )
    of = (
        [item.c.target_user_id == scope.user_id]
        if to_caller
        else [item.c.target_user_id != scope.user_id, is_member.correlate(item).exists()]
    )
    return select(constant(1)).where(*own, *later, *of).correlate(*scope.outer).exists()


def item_of(entry_id: str, *, user_id: str, by_id: str, by: str, title: str, note: str | None) -> InboxItem:
    source_id = PREFIX + entry_id
    return InboxItem(
        id=inbox_item_id(InboxKind.message, source_id),
        kind=InboxKind.message,
        source_id=source_id,
        target_user_id=user_id,
        title=title,
        body_md=note,
        sender_type=SenderType.user,
        sender_id=by_id,
        sender_name=by,
        state=InboxState.read,
    )


def kept_of(entry_id: str) -> tuple[Any, ...]:
    """The conditions of the item that keeps a hand over."""
    return (
        col(InboxItem.kind) == InboxKind.message,
        col(InboxItem.source_id) == PREFIX + entry_id,
        col(InboxItem.state) == InboxState.read,
    )
