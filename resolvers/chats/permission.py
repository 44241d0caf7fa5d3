"""Who may change a chat: its creator, and whoever may edit its agent."""

from sqlmodel import col

from models.chats import Chat
from resolvers.agents.permission import may_edit
from resolvers.chats.listing import MISSING
from resolvers.kernel import Action, Context, Raw, forbidden


async def may_change(ctx: Context, raw: Raw) -> None:
    chat = await ctx.select(
        Chat, col(Chat.id) == str(raw.get("chat_id")), col(Chat.agent_id) == str(raw.get("agent_id"))
    ).one(MISSING)
    if chat.created_by is not None and chat.created_by == ctx.user_id:
        return
    if not ctx.may(Action.UPDATE):
        raise forbidden("Not allowed to change this chat")
    await may_edit(ctx, {"id": chat.agent_id})
