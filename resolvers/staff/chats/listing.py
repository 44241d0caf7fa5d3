"""Reads of chats, and the read position of each user."""

from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlmodel import col

from models.people.auth import User
from models.people.workspaces import Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatOrigin, ChatReadCursor, Message, MessageRole
from resolvers.attention.inbox.events import InboxChatRead
from resolvers.attention.reply_notices import clear_notice, hold_notices
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Code,
    Context,
    Entity,
    Id,
    Input,
    Output,
    Page,
    Paging,
    QueryScope,
    Row,
    Rows,
    command,
    constant,
    derived,
    extend,
    graph,
    many,
    of_parent,
    one,
    precise,
    query,
    viewer_can,
    written,
)

MISSING = "Chat not found"
MOST_CHATS = 100
MOST_UNREAD = 1000  # of the newest messages of a chat, among which those unread are counted

lately_active = (col(Chat.last_activity_at).desc(), col(Chat.id).desc())
lately_changed = (col(Chat.updated_at).desc(), col(Chat.id).desc())


class ChatsOfAgent(Input):
    """An agent of the workspace; the list is empty for an unknown agent."""

    agent_id: Id


class ChatOfAgent(Input):
    """A chat with an agent."""

    agent_id: Id
    chat_id: Id


class ListChats(Paging):
    """A page of chats: 20 by default."""

    page_default = 20

    origin: ChatOrigin | None = None


class ReadMark(Output):
    """The position up to which the caller has read a chat, in milliseconds."""

    chat_id: str
    last_read_at: str


extend(ReadMark, chat=written(Chat, "chat_id"))


def of_origin(rows: Rows[Chat], data: ListChats) -> Rows[Chat]:
    return rows if data.origin is None else rows.where(col(Chat.origin) == data.origin.value)


def _unread(chat: Any, scope: Any) -> Any:
    """The messages after the caller's mark, or all without one; of user messages only other users' (contract:
    chats.list).

    Only the newest messages of the chat are counted, so the cost does not grow with unread ones.
    """
    (message, messages), (mark, marks) = scope.beside(Message, chat), scope.beside(ChatReadCursor, chat)
    mine = select(mark.c.last_read_seq).where(mark.c.chat_id == chat.id, *marks, mark.c.user_id == scope.user_id)
    since = func.coalesce(scope.scalar(mine), constant(0))
    by_another = and_(message.c.author_user_id.is_not(None), message.c.author_user_id != scope.user_id)
    unread = (
        message.c.chat_id == chat.id,
        *messages,
        # by itself: row-level security lets no subselect into an index
        message.c.seq > chat.last_message_seq - constant(MOST_UNREAD),
        message.c.seq > since,
        message.c.seq <= chat.last_message_seq,
        or_(message.c.role != constant(MessageRole.user), by_another),
    )
    return scope.scalar(select(func.count()).select_from(message).where(*unread))


graph(
    Chat,
    gate=Action.READ,
    scope="chats:read",
    visible=EVERYONE,
    agent=one(Agent, "agent_id"),
    creator=one(User, "created_by"),
    viewer_can=viewer_can(Chat, dict.fromkeys(("chats.send", "chats.steer", "chats.cancel"))),
    agent_slug=of_parent(Agent, "agent_id", "slug"),
    unread_count=derived(int, _unread),
    last_activity_at_ms=precise("last_activity_at"),
)
extend(Agent, chats=many(Chat, "agent_id", order_by=lately_active, narrow=of_origin, input=ListChats))
extend(Workspace, chats=many(Chat, "workspace_id", order_by=lately_changed, narrow=of_origin, input=ListChats))


@query("chats.list", Action.READ)
def list_chats_of_agent(scope: QueryScope, data: ChatsOfAgent) -> Rows[Chat]:
    """List chats with an agent.

    Lists chats of all users, last active first, at most 100.
    """
    return scope.select(Chat).where(col(Chat.agent_id) == data.agent_id).order_by(*lately_active).limit(MOST_CHATS)


@query("chats.list_all", Action.READ)
def list_chats(scope: QueryScope, data: ListChats) -> Page[Chat]:
    """List chats.

    Lists the workspace's chats, last changed first.
    """
    return of_origin(scope.select(Chat), data).order_by(*lately_changed).page(data)


@query("chats.get", Action.READ, tenancy=Entity(Chat, "id"), errors=(Code.NOT_FOUND,))
def get_chat(scope: QueryScope, data: ById) -> Row[Chat]:
    """Get a chat."""
    return scope.select(Chat).where(col(Chat.id) == data.id).one(MISSING)


@command("chats.mark_read", Action.PARTICIPATE, emits=(InboxChatRead,), errors=(Code.NOT_FOUND,))
async def mark_read(ctx: Context, data: ChatOfAgent) -> ReadMark:
    """Mark a chat as read.

    Moves the caller's read mark to the newest message, and marks the notice of a reply in the chat as read.
    """
    await hold_notices(ctx, data.chat_id)
    chat = await ctx.select(Chat, col(Chat.id) == data.chat_id, col(Chat.agent_id) == data.agent_id).one(MISSING)
    mark = ChatReadCursor(user_id=ctx.user_id, chat_id=chat.id, last_read_seq=chat.last_message_seq)
    now = (await ctx.upsert(mark, "user_id", "workspace_id", "chat_id")).last_read_at
    await clear_notice(ctx, chat.id)
    return ReadMark(chat_id=chat.id, last_read_at=now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z")
