"""Who may change a chat: its creator, and users who may edit its agent."""

from sqlmodel import col

from models.staff.agents import Agent
from models.staff.chats import Chat
from resolvers.kernel import Action, Context, Subject, forbidden
from resolvers.staff.agents.permission import may_edit

CHANGED = Subject(Chat, "chat_id", also=("agent_id",))
"""The chat of an agent, whether that is live or not."""


async def may_change(ctx: Context, chat: Chat) -> None:
    if chat.created_by is not None and chat.created_by == ctx.user_id:
        return
    if not ctx.may(Action.UPDATE):
        raise forbidden("Not allowed to change this chat")
    await may_edit(ctx, await ctx.select(Agent, col(Agent.id) == chat.agent_id).first())
