"""Inbox items about an agent's unread reply, until the chat is read (contract: chats.reply_notices)."""

from typing import Any
from urllib.parse import quote

from sqlalchemy import func
from sqlmodel import col

from models.attention.inbox import InboxItem, InboxKind, InboxPriority, InboxState, SenderType, inbox_item_id
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatParticipant, ChatPresence, ChatReadCursor, ChatVisibility, Message, MessageRole
from resolvers.attention.inbox.events import InboxChatRead, InboxChatReplied
from resolvers.attention.inbox.putting import about
from resolvers.kernel import NOW, Context

PREVIEW = 120  # characters


async def notify_of_reply(ctx: Context, chat: Chat, reply: Message) -> None:
    """Notices of a reply that this call stores in a chat it has locked; the operation declares InboxChatReplied."""
    absent = [user_id for user_id in await _readers(ctx, chat, reply) if not await _listens(ctx, chat.id, user_id)]
    if not absent:
        return
    await hold_notices(ctx, chat.id, shared=False)
    behind = [user_id for user_id in absent if not await _has_read(ctx, reply, user_id)]
    if not behind:
        return
    agent = await ctx.select(Agent, col(Agent.id) == chat.agent_id, including_deleted=True).one()
    for user_id in behind:
        await ctx.upsert(_notice(chat, agent, reply, user_id), "workspace_id", "kind", "source_id")
    ctx.emit(InboxChatReplied(source="chat_reply", chat=chat.id))


async def clear_notice(ctx: Context, chat_id: str) -> None:
    """The caller has read the chat; the operation declares InboxChatRead."""
    unread = (
        col(InboxItem.kind) == InboxKind.message,
        col(InboxItem.source_id) == _source_id(chat_id, ctx.user_id),
        col(InboxItem.state) == InboxState.unread,
    )
    if await ctx.update_where(InboxItem, *unread, state=InboxState.read, read_at=NOW, read_by_user_id=ctx.user_id):
        ctx.emit(InboxChatRead(source="chat_read", chat=chat_id))


async def hold_notices(ctx: Context, chat_id: str, *, shared: bool = True) -> None:
    """Orders the reading of a chat and a reply in it: who reads is `shared`, and holds this before the mark is set.

    The later one sees what the earlier has done. The chat's row could do it too, and readers would wait for frames.
    """
    await ctx.lock(f"reply notices of {ctx.workspace_id}/{chat_id}", shared=shared)


async def _readers(ctx: Context, chat: Chat, reply: Message) -> list[str]:
    """The chat's creator and its participants; in a group not who was answered."""
    creator = [] if chat.created_by is None else [chat.created_by]
    if chat.visibility != ChatVisibility.group:
        return creator
    asked = (col(Message.chat_id) == chat.id, col(Message.seq) < reply.seq, col(Message.role) == MessageRole.user)
    message = await ctx.select(Message, *asked).order_by(col(Message.seq).desc()).limit(1).first()
    others = await ctx.select(ChatParticipant, col(ChatParticipant.chat_id) == chat.id).all()
    author = None if message is None else message.author_user_id
    return sorted({*creator, *[other.user_id for other in others]} - {author})


def _source_id(chat_id: str, user_id: str) -> str:
    return f"chat_reply_{chat_id}_{user_id}"


async def _listens(ctx: Context, chat_id: str, user_id: str) -> bool:
    chat = (col(ChatPresence.workspace_id) == ctx.workspace_id, col(ChatPresence.chat_id) == chat_id)
    here = (*chat, col(ChatPresence.user_id) == user_id, col(ChatPresence.until) > func.now())
    return await ctx.select(ChatPresence, *here).exists()


async def _has_read(ctx: Context, reply: Message, user_id: str) -> bool:
    mark = (col(ChatReadCursor.chat_id) == reply.chat_id, col(ChatReadCursor.user_id) == user_id)
    return await ctx.select(ChatReadCursor, *mark, col(ChatReadCursor.last_read_seq) >= reply.seq).exists()


def _notice(chat: Chat, agent: Agent, reply: Message, user_id: str) -> InboxItem:
    source_id = _source_id(chat.id, user_id)
    payload: dict[str, Any] = {
        "chat_id": chat.id,
        "agent_id": agent.id,
        "agent_slug": agent.slug,
        "chat_title": chat.title,
        "chat_url": f"/chat/{agent.slug}?session={quote(chat.id, safe='')}",
    }
    return InboxItem(
        id=inbox_item_id(InboxKind.message, source_id),
        kind=InboxKind.message,
        source_id=source_id,
        target_user_id=user_id,
        title=f"{agent.name} replied in {chat.title}" if chat.title else f"{agent.name} replied",
        body_md=_preview(reply.content),
        sender_type=SenderType.agent,
        sender_id=agent.id,
        sender_name=agent.name,
        avatar_seed=agent.avatar_seed,
        avatar_style=agent.avatar_style,
        priority=InboxPriority.medium,
        payload=payload,
        **about(chat),
    )


def _preview(content: str) -> str | None:
    """The reply in one line. It was redacted before it came here."""
    line = " ".join(content.split())
    return (line if len(line) <= PREVIEW else line[: PREVIEW - 1] + "…") or None
