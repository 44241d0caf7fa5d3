"""The needs of a definition in its workspace: agents of the author crew, an acting agent, and calls without a cycle."""

from sqlalchemy import select

from models.resources.integrations import CrewIntegration
from models.staff.agents import Agent
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import Code, Context, Refusal
from resolvers.work.routines.definitions import RoutineDefinition


async def check_agents(ctx: Context, definition: RoutineDefinition, crew_id: str | None) -> None:
    """Without an author crew no agent is looked for (contract: routines-dsl, agent_run)."""
    if crew_id is None or not definition.manifest["agents"]:
        return
    from models.work.routines.manifests import agents_named
    from models.work.routines.templates import near

    agents = ctx.table(Agent)
    slugs = {row[0] for row in await ctx.report(select(agents.c.slug).where(agents.c.crew_id == crew_id))}
    unknown = [(path, slug) for path, slug in agents_named(definition.routine) if slug not in slugs]
    if unknown:
        raise definition.refused(
            [(path, f"the author crew has no agent {slug!r}{near(slug, slugs)}") for path, slug in unknown]
        )


def check_actions(definition: RoutineDefinition) -> None:
    from models.work.routines.manifests import acts_as_agent

    found = list(acts_as_agent(definition.routine))
    if found:
        raise definition.refused(
            [(path, f"{action} acts as the author agent, and the routine has none") for path, action in found]
        )


async def check_calls(ctx: Context, slug: str, definition: RoutineDefinition) -> None:
    """Follows the calls of saved routines; one that is not saved yet calls nothing."""
    routines = ctx.table(SavedRoutine)
    seen, open_ = set[str](), set(definition.manifest["routines"])
    while open_:
        if slug in open_:
            raise Refusal(Code.UNPROCESSABLE, f"The calls are a cycle: {slug!r} is reached from itself")
        seen |= open_
        called = select(routines.c.manifest["routines"]).where(routines.c.slug.in_(sorted(open_)))
        open_ = {name for row in await ctx.report(called) for name in row[0] or ()} - seen


async def offered_to(ctx: Context, crew_id: str | None) -> list[str] | None:
    """The names of the integrations of the author crew; None without a crew."""
    if crew_id is None:
        return None
    servers = ctx.table(CrewIntegration)
    enabled = select(servers.c.name).where(servers.c.crew_id == crew_id, servers.c.enabled)
    return [row[0] for row in await ctx.report(enabled)]
