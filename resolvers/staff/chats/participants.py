"""Participants of a chat besides its creator."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlalchemy import case, null, select
from sqlmodel import col

from models.base import table_of
from models.people.auth import User
from models.people.workspaces import Membership
from models.staff.chats import Chat, ChatParticipant, ChatVisibility, ParticipantRole
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Context,
    Entity,
    Event,
    Id,
    Input,
    QueryScope,
    Refusal,
    Rows,
    Subject,
    Success,
    command,
    derived,
    extend,
    graph,
    invalid,
    many,
    one,
    query,
    written,
)
from resolvers.people.workspaces.members import knows
from resolvers.staff.chats.permission import may_share

CHAT = Entity(Chat, "chat_id")
SHARED = Subject(Chat, "chat_id")
MOST = 1_000
FULL = f"A chat can have at most {MOST} participants"
OF_CREATOR = "The creator of a chat always takes part in it"

in_order = (col(ChatParticipant.joined_at), col(ChatParticipant.user_id))


def _role(raw: Any) -> Any:
    """Anything else counts as a member (contract: chats.participants_add)."""
    return raw if raw == ParticipantRole.owner else ParticipantRole.member


class ParticipantsOfChat(Input):
    chat_id: Id


class AddParticipant(ParticipantsOfChat):
    """A member of the workspace. Any role but `owner` counts as `member`."""

    user_id: Annotated[Id, Field(min_length=1)]
    role: Annotated[ParticipantRole, BeforeValidator(_role)] = ParticipantRole.member


class RemoveParticipant(ParticipantsOfChat):
    """The user who leaves the chat."""

    user_id: Id


class ParticipantAdded(Event, type="participant.added", channel="session:{chat_id}"):
    """A user has joined this chat. Not sent for existing participants."""

    chat_id: str
    user_id: str
    role: ParticipantRole


class ParticipantRemoved(Event, type="participant.removed", channel="session:{chat_id}"):
    """A user has left this chat. Not sent for users who did not take part."""

    chat_id: str
    user_id: str


def _of_user(column: str, known: Any = None) -> Any:
    users = table_of(User)

    def value(row: Any, scope: Any) -> Any:
        own = scope.scalar(select(users.c[column]).where(users.c.id == row.user_id))
        return own if known is None else case((known(row, scope), own), else_=null())

    return derived(str, value)


graph(
    ChatParticipant,
    gate=Action.READ,
    scope="chats:read",
    visible=EVERYONE,
    user=one(User, "user_id"),
    email=_of_user("email", knows),
    full_name=_of_user("full_name"),
)
extend(Chat, participants=many(ChatParticipant, "chat_id", order_by=in_order))


@query("chats.participants_list", Action.READ, tenancy=CHAT, subject=SHARED)
def list_participants(scope: QueryScope, chat: Any, data: ParticipantsOfChat) -> Rows[ChatParticipant]:
    """List participants of a chat.

    Sorted by time of joining, earliest first; empty for a private chat.
    """
    return scope.children(chat, ChatParticipant, "chat_id").order_by(*in_order)


extend(Success, chat=written(Chat))


@command(
    "chats.participants_add",
    Action.PARTICIPATE,
    audit="chat_participant.added",
    tenancy=CHAT,
    subject=SHARED,
    locked=True,
    allow=may_share,
    emits=ParticipantAdded,
)
async def add_participant(ctx: Context, chat: Chat, data: AddParticipant) -> Success:
    """Add a participant to a chat.

    The creator becomes the owner and the chat a group: the agent answers only when mentioned. A group stays a group.
    Idempotent. Allowed for its creator and for administrators.
    """
    named = col(Membership.user_id).in_([data.user_id, chat.created_by])
    here = {member.user_id for member in await ctx.select(Membership, named, including_hidden=True).all()}
    if data.user_id not in here:
        raise invalid("user_id", "is not a member of this workspace")
    known = {row.user_id for row in await ctx.select(ChatParticipant, col(ChatParticipant.chat_id) == chat.id).all()}
    roles = {data.user_id: data.role}
    if chat.created_by is not None and chat.created_by in here:
        roles = {chat.created_by: ParticipantRole.owner} | roles | {chat.created_by: ParticipantRole.owner}
    added = {user_id: role for user_id, role in roles.items() if user_id not in known}
    if len(known) + len(added) > MOST:
        raise Refusal(Code.BAD_REQUEST, FULL)
    if chat.visibility != ChatVisibility.group:
        await ctx.update(Chat, chat.id, visibility=ChatVisibility.group)
    await ctx.insert_all([ChatParticipant(chat_id=chat.id, user_id=id, role=role) for id, role in added.items()])
    for user_id, role in added.items():
        ctx.emit(ParticipantAdded(chat_id=chat.id, user_id=user_id, role=role))
    return Success()


@command(
    "chats.participants_remove",
    Action.PARTICIPATE,
    audit="chat_participant.removed",
    tenancy=CHAT,
    subject=SHARED,
    locked=True,
    allow=may_share,
    emits=ParticipantRemoved,
)
async def remove_participant(ctx: Context, chat: Chat, data: RemoveParticipant) -> Success:
    """Remove a participant from a chat.

    Idempotent; the chat stays a group. Allowed for its creator and for administrators.
    """
    if chat.created_by is not None and data.user_id == chat.created_by:
        raise Refusal(Code.BAD_REQUEST, OF_CREATOR)
    same = (col(ChatParticipant.chat_id) == chat.id, col(ChatParticipant.user_id) == data.user_id)
    if await ctx.delete_where(ChatParticipant, *same):
        ctx.emit(ParticipantRemoved(chat_id=chat.id, user_id=data.user_id))
    return Success()
