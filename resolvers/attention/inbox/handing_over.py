"""Commands that hand an entry of what needs attention over to a member, and take it back."""

from typing import Annotated, Any

from sqlmodel import col

from models.attention.inbox import InboxItem, InboxState
from models.base import TenantTable, table_of
from models.bounds import LINE, cut
from models.people.auth import User
from models.people.workspaces import Membership
from resolvers.attention.inbox.attention import NEEDS
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.handovers import EntryId, item_of, kept_of
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
    command,
    outranks,
)
from resolvers.kernel.ground.policy import GATES
from resolvers.kernel.reader import access_of

MISSING = "Nothing that needs attention has this id"
CANNOT = "This member cannot decide it"
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
    over. This ends when the row needs nothing any more, when the member leaves the workspace, or by
    `takeBackAttention`. CONFLICT if the role of the member decides nothing, or if it is a message for one person.
    """
    row = await _row(ctx, data.entry)
    member = await ctx.select(Membership, col(Membership.user_id) == data.user_id).one()
    if member.role not in GATES[access_of(type(row)).gate] & GATES[Action.CREATE]:
        raise Refusal(Code.CONFLICT, CANNOT)
    if isinstance(row, InboxItem):
        if row.target_user_id is not None:
            raise Refusal(Code.CONFLICT, OWN)
        if row.target_role is not None and outranks(row.target_role, member.role):
            raise Refusal(Code.CONFLICT, CANNOT)
    giver = await ctx.get(User, ctx.user_id)
    name = giver.full_name or giver.email
    made = item_of(
        data.entry, user_id=data.user_id, by_id=giver.id, by=cut(name, LINE), note=data.note,
        title=cut(f"{name} handed something over to you", LINE),
    )  # fmt: skip
    made.created_at = made.updated_at = await ctx.now()
    await ctx.upsert(made, "workspace_id", "kind", "source_id")
    ctx.emit(InboxItemUpdated(id=made.id, state=InboxState.read))
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


async def _row(ctx: Context, entry_id: str) -> TenantTable:
    """The row that an entry is of, if the caller sees it."""
    kind, _, subject_id = entry_id.partition(":")
    model = MODELS.get(kind)
    if model is None or not ctx.may(access_of(model).gate):
        raise Refusal(Code.NOT_FOUND, MISSING)
    row = await ctx.select(model, table_of(model).c.id == subject_id).first()
    if row is None:
        raise Refusal(Code.NOT_FOUND, MISSING)
    return row


MODELS: dict[str, type[TenantTable]] = {need.kind: need.model for need in NEEDS}
