"""A chat begins again from one of its messages, in a chat of its own."""

from typing import Any, Final

from sqlalchemy import Text as SQLText
from sqlalchemy import cast, func, select
from sqlmodel import col

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatOrigin, ChatReadCursor, Message, new_message_id
from resolvers.kernel import GRAPHQL_ONLY, Action, Bool, Code, Context, Entity, Id, Input, Refusal, command

MOST_COPIED: Final = 500
"""Messages of a branch: older ones stay behind."""
MOST_BYTES: Final = 32 << 20
"""The size of these messages, as they are stored."""
MISSING = "Message not found"
TOO_LARGE = "The messages up to this one are too large to copy"
GONE = "The agent of this chat has been deleted"


class BranchChat(Input):
    """`message_id` is the last message of the new chat; with `before` the messages end before it."""

    chat_id: Id
    message_id: Id
    before: Bool = False


@command(
    "chats.branch",
    Action.PARTICIPATE,
    audit="chat.created",
    tenancy=Entity(Chat, "chat_id"),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    surfaces=GRAPHQL_ONLY,
)
async def branch_chat(ctx: Context, data: BranchChat) -> Chat:
    """Create a chat from the messages of another one.

    The new chat is the caller's, with the same agent, and has copies of the messages up to one of them: at most the
    newest 500. Attached files, runs and reactions are not copied. CONFLICT if the messages are larger than 32 MB
    or the agent has been deleted.
    """
    chat = await ctx.get(Chat, data.chat_id)
    if not await ctx.select(Agent, col(Agent.id) == chat.agent_id).exists():
        raise Refusal(Code.CONFLICT, GONE)
    last = await ctx.select(Message, col(Message.id) == data.message_id, col(Message.chat_id) == chat.id).one(MISSING)
    end = last.seq - int(data.before)
    await _check_size(ctx, chat.id, end)
    upto = (col(Message.chat_id) == chat.id, col(Message.seq) <= end, col(Message.seq) > end - MOST_COPIED)
    messages = await ctx.select(Message, *upto).order_by(col(Message.seq)).all()
    branch = Chat(
        id=new_id(),
        agent_id=chat.agent_id,
        created_by=ctx.user_id or None,
        title=chat.title,
        origin=ChatOrigin.UI,
        message_count=len(messages),
        last_message_seq=len(messages),
    )
    made = await ctx.insert(branch)
    await ctx.insert_all([_copy(message, branch.id, seq) for seq, message in enumerate(messages, 1)])
    mark = ChatReadCursor(user_id=ctx.user_id, chat_id=branch.id, last_read_seq=len(messages))
    await ctx.upsert(mark, "user_id", "workspace_id", "chat_id")
    return made


async def _check_size(ctx: Context, chat_id: str, end: int) -> None:
    message: Any = ctx.table(Message).c
    size = func.octet_length(message.content) + func.coalesce(func.octet_length(cast(message.parts, SQLText)), 0)
    copied = (message.chat_id == chat_id, message.seq <= end, message.seq > end - MOST_COPIED)
    [(total,)] = await ctx.report(select(func.sum(size)).where(*copied))
    if total is not None and total > MOST_BYTES:
        raise Refusal(Code.CONFLICT, TOO_LARGE)


def _copy(message: Message, chat_id: str, seq: int) -> Message:
    kept = (
        "agent_id", "role", "content", "parts", "tool_name", "tool_summary", "data", "author_user_id", "run_id",
    )  # fmt: skip
    said: dict[str, Any] = {name: getattr(message, name) for name in kept}
    return Message(id=new_message_id(), chat_id=chat_id, seq=seq, created_at=message.created_at, **said)
