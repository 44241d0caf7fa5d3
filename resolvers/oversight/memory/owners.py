"""Owners of memories: a crew of the workspace, or an agent of the crew."""

from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import Code, Context, Refusal
from resolvers.rules.memory_files import MemoryOwner, split

NO_CREW = "Crew not found"
NO_AGENT = "Agent not found in this crew"


async def crew_named(ctx: Context, crew_id: str) -> Crew:
    found = await ctx.select(Crew, col(Crew.id) == crew_id).first()
    if found is None:
        raise Refusal(Code.NOT_FOUND, NO_CREW)
    return found


async def owner_named(ctx: Context, crew_id: str, agent_slug: str) -> tuple[MemoryOwner, Crew, Agent | None]:
    """NOT_FOUND for rows that are not in the workspace, deleted, or hidden from the caller."""
    crew = await crew_named(ctx, crew_id)
    if not agent_slug:
        return MemoryOwner(crew.id, crew.slug), crew, None
    found = ctx.select(Agent, col(Agent.crew_id) == crew.id, col(Agent.slug) == agent_slug)
    agent = await found.first()
    if agent is None:
        raise Refusal(Code.NOT_FOUND, NO_AGENT)
    return MemoryOwner(crew.id, crew.slug, agent.id, agent.slug), crew, agent


async def owner_of_path(ctx: Context, path: str) -> tuple[MemoryOwner, str] | None:
    """The owner of a logical path, and the name of the file; None if there is no such owner now."""
    parts = split(path)
    if parts is None:
        return None
    kind, named, name = parts
    if kind == "crew":
        crew = await ctx.select(Crew, col(Crew.id) == named).first()
        return None if crew is None else (MemoryOwner(crew.id, crew.slug), name)
    agent = await ctx.select(Agent, col(Agent.slug) == named, col(Agent.crew_id).is_not(None)).first()
    crew = None if agent is None else await ctx.select(Crew, col(Crew.id) == agent.crew_id).first()
    if agent is None or crew is None:
        return None
    return MemoryOwner(crew.id, crew.slug, agent.id, agent.slug), name
