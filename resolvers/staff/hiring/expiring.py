"""The end of an agent that was hired for a while: it becomes a ghost, that keeps its row and may be hired again."""

from datetime import UTC, timedelta
from typing import Final

from sqlalchemy import func
from sqlmodel import col

from models.oversight.journal import JournalActor, JournalEntry
from models.staff.agents import Agent
from resolvers.kernel import NOW, AcrossWorkspaces, Context, Id, Input, clock, job
from resolvers.kernel.store.across import waiting
from resolvers.staff.agents.events import AgentExpired

MOST_DUE: Final = 1_000
OVERDUE: Final = (
    col(Agent.ephemeral),
    col(Agent.expired_at).is_(None),
    col(Agent.expires_at) <= func.now(),
)
EXPIRE = clock("hiring.expire", every=timedelta(minutes=1), when=waiting(Agent, *OVERDUE))
"""The contract asks for every five minutes at least."""


class OfExpired(Input):
    agent_id: Id


END = job("hiring.end", OfExpired, unique="{agent_id}", emits=AgentExpired)


async def enqueue_expired(rows: AcrossWorkspaces) -> None:
    """A job for each agent whose time is over."""
    for row in await rows.everywhere.select(Agent, *OVERDUE, order_by=col(Agent.expires_at), limit=MOST_DUE):
        rows.enqueue(END, row["workspace_id"], agent_id=row["id"])


async def expire(ctx: Context, agent_id: str) -> None:
    """Unless it was hired again meanwhile."""
    over = (col(Agent.id) == agent_id, col(Agent.ephemeral).is_(True), col(Agent.expires_at) <= func.now())
    if not await ctx.update_where(Agent, *over, col(Agent.expired_at).is_(None), expired_at=NOW):
        return
    agent = await ctx.get(Agent, agent_id)
    ended = agent.expired_at or await ctx.now()
    at = ended.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ctx.record(
        JournalEntry(
            entry_type="agent.expired",
            actor_type=JournalActor.system,
            agent_id=agent.id,
            crew_id=agent.crew_id,
            summary=f"{agent.name} has expired",
            payload={"action": "agent.expired", "agent_id": agent.id, "crew_id": agent.crew_id, "expired_at": at},
        )
    )
    ctx.emit(AgentExpired(id=agent.id, crew_id=agent.crew_id or "", name=agent.name, expired_at=ended))
