"""Hand overs of what needs attention: an entry is then one person's, until it needs nothing, or is taken back.

A hand over is kept as an inbox item of that person, which is read, and so in no list of what needs attention. It is of
one need, and counts for no later one of the same row. Where `since` is the time at which the need arose, a hand over
from before it is of an earlier need. Where a row leaves the state that needs something, a trigger resolves the item
(models/sql/attention.sql).
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Boolean, and_, func, or_, select
from sqlalchemy.types import Text as SQLText
from sqlmodel import col

from models import bounds
from models.attention.inbox import InboxItem, InboxKind, InboxState, SenderType, inbox_item_id
from models.base import alias_of
from models.people.auth import User
from models.people.workspaces import Membership, Role
from resolvers.attention.inbox.kinds import ENDED_BY_STATE, AttentionKind, deciders
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


def entry_id(kind: AttentionKind, row: Any) -> Any:
    return constant(f"{kind}:", SQLText()).concat(row.id)


def handover_of(entry: Any, scope: Any) -> Any:
    """The hand over of an entry of the list; none if there is none."""
    item, own = _kept(entry.id, entry.workspace_id)
    columns = [item.c.id, item.c.workspace_id, item.c.target_user_id.label("user_id"), item.c.sender_id.label("by_id")]
    of_this = or_(entry.kind.in_(_constants(ENDED_BY_STATE)), item.c.created_at >= entry.since)
    alike: dict[frozenset[Role], list[AttentionKind]] = {}
    for kind in AttentionKind:
        alike.setdefault(deciders(kind), []).append(kind)
    decides = or_(*[and_(entry.kind.in_(_constants(kinds)), _decides(item, roles)) for roles, kinds in alike.items()])
    return select(*columns, item.c.body_md.label("note")).where(*own, of_this, decides)


def is_left_to_caller(kind: AttentionKind, row: Any, scope: Any) -> Any:
    """True if the entry of a row, whose hand over ends with its state, was left to the caller."""
    item, own = _kept(entry_id(kind, row), row.workspace_id)
    left = select(constant(1)).where(*own, item.c.target_user_id == scope.user_id, _decides(item, deciders(kind)))
    return left.correlate(*scope.outer).exists()


def is_left_to_another(kind: AttentionKind, row: Any, since: Any, scope: Any) -> Any:
    """True if the entry of a row was left to another person than the caller. `since`: a hand over before that time was
    of an earlier need. A function of the database, because a list says it of each kind: its statement stays short.
    """
    roles = constant(",".join(sorted(deciders(kind))))
    arose = constant(None) if since is None else since
    return func.left_to_another(entry_id(kind, row), row.workspace_id, arose, scope.user_id, roles, type_=Boolean())


def handed_over(kind: AttentionKind, scope: Any) -> Any:
    """The ids of the rows of a kind whose entries were handed over, now or for an earlier need: a select of one column.
    They are few, so a list reads them once and looks up the hand overs of these rows alone.
    """
    item, begins = alias_of(InboxItem), f"{PREFIX}{kind}:"
    id = func.substr(item.c.source_id, constant(len(begins) + 1), type_=SQLText())
    own = [
        item.c.workspace_id == scope.workspace_id,
        item.c.kind == constant(InboxKind.message),
        item.c.state == constant(InboxState.read),
        *[func.starts_with(item.c.source_id, constant(text)) for text in (PREFIX, begins)],  # the index, and the kind
    ]
    return select(id.label("id")).where(*own).correlate(*scope.outer)


def _constants(names: Iterable[AttentionKind | Role]) -> list[Any]:
    return [constant(name, SQLText()) for name in sorted(names)]


def _decides(item: Any, roles: frozenset[Role]) -> Any:
    """True while the person of a hand over is a member, without a break, and has one of the roles."""
    member = alias_of(Membership)
    found = select(constant(1)).where(
        member.c.workspace_id == item.c.workspace_id,
        member.c.user_id == item.c.target_user_id,
        member.c.created_at <= item.c.created_at,
        member.c.role.in_(_constants(roles)),
    )
    return found.correlate(item).exists()


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
