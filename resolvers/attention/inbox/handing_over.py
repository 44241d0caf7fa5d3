"""Commands that hand an entry of what needs attention over to a member, and take it back."""

from typing import Annotated, Any

from sqlalchemy import Text, literal, select, union_all
from sqlmodel import col

from models.attention.inbox import InboxItem, InboxState
from models.base import TenantTable, table_of
from models.bounds import LINE, cut
from models.people.auth import User
from models.people.workspaces import Membership, Role
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.handovers import EntryId, item_of, kept_of
from resolvers.attention.inbox.kinds import AttentionKind, deciders
from resolvers.attention.inbox.needs import NEEDS
from resolvers.kernel import (
    GRAPHQL_ONLY,
    NOW,
    Action,
    Code,
    Context,
    Description,
    Id,
    Input,
    Output,
    Ref,
    Refusal,
    Scope,
    command,
)
from resolvers.kernel.reader import access_of

MISSING = "Nothing that needs attention has this id"
CANNOT = "This member may not decide it"
OWN = "This message is for one person alone"


class HandOver(Input):
    """`entry` is the id of the entry. `note`: a text for that member; all who see the entry can read it."""

    entry: EntryId
    user_id: Annotated[Id, Ref(Membership, by="user_id", called="member")]
    note: Description | None = None


class TakeBack(Input):
    """`entry` is the id of the entry."""

    entry: EntryId


class HandedOver(Output):
    """The entry and its member; `user_id` is null after it was taken back."""

    entry: str
    user_id: str | None


@command(
    "attention.hand_over",
    Action.CREATE,
    emits=InboxItemUpdated,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    surfaces=GRAPHQL_ONLY,
)
async def hand_over(ctx: Context, data: HandOver) -> HandedOver:
    """Hand an entry over to another member.

    The list of what needs attention shows it to this member; other members see it among the entries that were handed
    over. This ends when the row needs nothing any more, when the member leaves the workspace or loses the role for it,
    or by `takeBackAttention`. NOT_FOUND if the caller's list has no such entry. CONFLICT if the member may not decide
    it or cannot see it, or if it is a message for one person.
    """
    row = await _row(ctx, data.entry, lock=True)
    kind = AttentionKind(data.entry.partition(":")[0])
    if not await _needs_attention(ctx, kind, row):
        raise Refusal(Code.NOT_FOUND, MISSING)
    member = await ctx.select(Membership, col(Membership.user_id) == data.user_id).one()
    if isinstance(row, InboxItem) and row.target_user_id is not None:
        raise Refusal(Code.CONFLICT, OWN)
    if member.role not in deciders(kind) or not await _sees(ctx, member, row):
        raise Refusal(Code.CONFLICT, CANNOT)
    giver = await ctx.get(User, ctx.user_id)
    name = giver.full_name or giver.email
    made = item_of(
        data.entry, user_id=data.user_id, by_id=giver.id, by=cut(name, LINE), note=data.note,
        title=cut(f"{name} handed something over to you", LINE),
    )  # fmt: skip
    made.created_at = made.updated_at = await ctx.now()
    await ctx.delete_where(InboxItem, col(InboxItem.id) == made.id, including_hidden=True)
    ctx.emit(InboxItemUpdated(id=made.id, state=InboxState.read))
    await ctx.insert(made)
    return HandedOver(entry=data.entry, user_id=data.user_id)


@command(
    "attention.take_back",
    Action.CREATE,
    emits=InboxItemUpdated,
    errors=(Code.NOT_FOUND,),
    surfaces=GRAPHQL_ONLY,
)
async def take_back(ctx: Context, data: TakeBack) -> HandedOver:
    """Take an entry back that was handed over.

    All members who can see the row have it in their list again.
    """
    await _row(ctx, data.entry)
    changes: dict[str, Any] = {"state": InboxState.resolved, "resolved_at": NOW, "resolved_by_user_id": ctx.user_id}
    for id in await ctx.update_where(InboxItem, *kept_of(data.entry), including_hidden=True, **changes):
        ctx.emit(InboxItemUpdated(id=id, state=InboxState.resolved))
    return HandedOver(entry=data.entry, user_id=None)


async def _row(ctx: Context, entry_id: str, *, lock: bool = False) -> TenantTable:
    """The row that an entry is of, if the caller sees it. A lock keeps it as it is: a hand over of a need that ends at
    the same time would not end with it.
    """
    kind, _, subject_id = entry_id.partition(":")
    model = MODELS.get(kind)
    if model is None or not ctx.may(access_of(model).gate):
        raise Refusal(Code.NOT_FOUND, MISSING)
    found = ctx.select(model, table_of(model).c.id == subject_id)
    row = await (found.locked() if lock else found).first()
    if row is None:
        raise Refusal(Code.NOT_FOUND, MISSING)
    return row


async def _needs_attention(ctx: Context, kind: AttentionKind, row: TenantTable) -> bool:
    """Returns true if the caller's list has the entry of a row, or if it was left to another member."""
    scope = _scope(ctx, ctx.user_id, ctx.role)
    found = [need.of(scope, literal(row.id, Text())) for need in NEEDS if need.kind is kind]
    return bool(await ctx.report(union_all(*found)))


async def _sees(ctx: Context, member: Membership, row: TenantTable) -> bool:
    """Returns true if a member sees the row: other members lose it from their lists."""
    scope = _scope(ctx, member.user_id, member.role)
    table, own = scope.beside(type(row), scope)
    return bool(await ctx.report(select(table.c.id).where(table.c.id == literal(row.id, Text()), *own)))


def _scope(ctx: Context, user_id: str, role: Role | None) -> Scope:
    known = {"workspace": ctx.workspace_id, "user_id": user_id, "role": role}
    return Scope.of(lambda name: literal(known[name], Text()), limited=ctx.limited)


MODELS: dict[str, type[TenantTable]] = {need.kind: need.model for need in NEEDS}
