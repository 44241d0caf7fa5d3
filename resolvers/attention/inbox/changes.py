"""Operations of users on inbox items: read, resolve, reopen, remove."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import case, func, literal, select
from sqlmodel import col

from models.attention.inbox import INBOX_STATES, PROPOSED_SKILL, InboxItem, InboxKind, InboxState
from models.resources.skills import SkillProposal
from models.staff.assignments import Escalation
from models.staff.crews import Crew
from resolvers.attention.inbox.events import InboxBulkUpdated, InboxItemUpdated, InboxPurged
from resolvers.attention.inbox.listing import ITEM, ByItem, ItemId
from resolvers.attention.inbox.putting import MARKS
from resolvers.kernel import NOW, Action, Code, Context, Input, Output, Refusal, Text, at_most, command

MOST_ITEMS = 500
DECIDED_ELSEWHERE = "This item is decided at its source; here it can only be marked as read"
SOURCE_MANAGED = (InboxKind.waitpoint, InboxKind.escalation)


class UpdateItem(ByItem):
    """`resolved_action` is the outcome if `state` is resolved; by convention approved, rejected, retried,
    cancelled, archived or dismissed.
    """

    state: InboxState
    resolved_action: Text | None = None


class UpdateItems(Input):
    """Empty and repeated ids are ignored. `resolved_action`: as for one item."""

    ids: Annotated[list[ItemId], Field(min_length=1), at_most(MOST_ITEMS)]
    state: InboxState
    resolved_action: Text | None = None


class UpdatedInboxItems(Output):
    """The number of items now in the state, and the skipped ones.

    `not_found` counts ids of items that do not exist or are not visible to the caller.
    """

    updated: int
    skipped: int
    skipped_ids: list[str]
    not_found: int
    state: InboxState


class PurgedKind(StrEnum):
    """Kinds of inbox items that can be deleted apart from others."""

    waitpoint = "waitpoint"
    escalation = "escalation"
    failed_run = "failed_run"
    message = "message"


class PurgeInbox(Input):
    """Without a kind all items are deleted."""

    kind: PurgedKind | None = None


class PurgedInbox(Output):
    """The number of items deleted."""

    deleted: int


@command("inbox.patch", Action.SELF, emits=InboxItemUpdated, errors=(Code.NOT_FOUND, Code.CONFLICT))
async def update_item(ctx: Context, data: UpdateItem) -> InboxItem:
    """Update the state of an inbox item.

    Waitpoints, escalations and proposed skills are decided at their source, which resolves the item; here they
    can only be marked as read.
    """
    item: InboxItem | None = await ctx.seek(ITEM, lock=True)
    if item is None:
        raise Refusal(Code.NOT_FOUND, ITEM.missing)
    if _is_decided_elsewhere(item, data.state, await _asked(ctx, [item])):
        raise Refusal(Code.CONFLICT, DECIDED_ELSEWHERE, extra={"kind": item.kind})
    ctx.emit(InboxItemUpdated(id=item.id, state=data.state))
    changes = _changes(ctx, data)
    if data.state is InboxState.read and item.read_at is not None:
        changes = {}
    if item.state is data.state:
        return await ctx.edit(item, state=data.state, **changes)
    return await ctx.move(INBOX_STATES, item, data.state, **changes)


@command("inbox.bulk", Action.SELF, emits=InboxBulkUpdated)
async def update_items(ctx: Context, data: UpdateItems) -> UpdatedInboxItems:
    """Update the state of several inbox items.

    At most 500. Skips items that cannot change to this state; resolving also skips blocking items.
    """
    ids = [id for id in dict.fromkeys(data.ids) if id]
    found = await ctx.select(InboxItem, col(InboxItem.id).in_(ids)).order_by(col(InboxItem.id)).locked().all()
    asked = await _asked(ctx, found) if data.state is InboxState.resolved else frozenset()
    skipped = {
        item.id
        for item in found
        if _is_decided_elsewhere(item, data.state, asked) or (item.blocking and data.state is InboxState.resolved)
    }
    chosen = [item.id for item in found if item.id not in skipped]
    if chosen:
        changes = _changes(ctx, data)
        if data.state is InboxState.read:
            first = col(InboxItem.read_at).is_(None)
            changes["read_at"] = func.coalesce(col(InboxItem.read_at), func.now())
            changes["read_by_user_id"] = case((first, changes["read_by_user_id"]), else_=col(InboxItem.read_by_user_id))
        await ctx.update_where(InboxItem, col(InboxItem.id).in_(chosen), state=data.state, **changes)
        ctx.emit(InboxBulkUpdated(bulk="true", state=data.state))
    return UpdatedInboxItems(
        updated=len(chosen),
        skipped=len(skipped),
        skipped_ids=[id for id in ids if id in skipped],
        not_found=len(ids) - len(found),
        state=data.state,
    )


@command("inbox.purge", Action.MANAGE, audit="inbox.purged", emits=InboxPurged)
async def purge(ctx: Context, data: PurgeInbox) -> PurgedInbox:
    """Delete inbox items.

    Deletes the items of all members of the workspace, or only items of `kind`.
    """
    kind = () if data.kind is None else (col(InboxItem.kind) == InboxKind(data.kind),)
    deleted = await ctx.delete_where(InboxItem, *kind, including_hidden=True)
    if deleted:
        ctx.audit("INBOX", None, kind=data.kind, deleted=deleted)
        ctx.emit(InboxPurged(purge="true"))
    return PurgedInbox(deleted=deleted)


async def _asked(ctx: Context, items: list[InboxItem]) -> frozenset[str]:
    """The sources of items that wait for a decision elsewhere. Escalations by the service itself have no row, and no
    agent waits for them.
    """
    escalations = [item.source_id for item in items if item.kind is InboxKind.escalation]
    rows = await ctx.select(Escalation, col(Escalation.id).in_(escalations)).all() if escalations else []
    waitpoints = [item.source_id for item in items if item.kind is InboxKind.waitpoint]
    return frozenset([row.id for row in rows] + waitpoints) | await _proposed(ctx, escalations)


async def _proposed(ctx: Context, sources: list[str]) -> frozenset[str]:
    """The skills among the sources that wait for approval, in crews that still exist."""
    if not any(source.startswith(PROPOSED_SKILL) for source in sources):
        return frozenset()
    proposals, crews = ctx.table(SkillProposal), ctx.table(Crew)
    source = literal(PROPOSED_SKILL) + proposals.c.crew_id + ":" + proposals.c.file_name
    found = select(source).join(crews, crews.c.id == proposals.c.crew_id).where(source.in_(sources))
    return frozenset(row[0] for row in await ctx.report(found))


def _is_decided_elsewhere(item: InboxItem, state: InboxState, asked: frozenset[str]) -> bool:
    if state is InboxState.resolved:
        return item.kind in SOURCE_MANAGED and item.source_id in asked
    return state is InboxState.unread and item.kind in SOURCE_MANAGED


def _changes(ctx: Context, data: UpdateItem | UpdateItems) -> dict[str, Any]:
    """The columns that change with the state; the first reader of an item is kept."""
    by = ctx.user_id or None
    if data.state is InboxState.read:
        return {"read_at": NOW, "read_by_user_id": by}
    if data.state is InboxState.resolved:
        return {"resolved_at": NOW, "resolved_by_user_id": by, "resolved_action": data.resolved_action}
    return dict.fromkeys(MARKS)
