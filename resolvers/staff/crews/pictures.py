"""Stored pictures of agents go when what they were drawn by changes."""

from typing import Any

from sqlmodel import col

from models.staff.agent_avatars import AgentAvatar
from models.staff.agents import Agent
from resolvers.kernel import Context


async def forget_pictures(ctx: Context, *which: Any) -> None:
    """Removes the stored pictures of these agents."""
    stored = (col(Agent.avatar_digest).is_not(None), *which)
    ids = await ctx.update_where(Agent, *stored, including_hidden=True, avatar_digest=None)
    if ids:
        await ctx.delete_where(AgentAvatar, col(AgentAvatar.agent_id).in_(ids), including_hidden=True)
