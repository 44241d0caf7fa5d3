"""Containers of a crew that a person starts and stops, without a run."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.ports import BegunContainers, NotRun
from resolvers.kernel import Absent, Action, Code, Context, Output, Refusal, command
from resolvers.rules.containers import NO_CONTAINERS, no_containers
from resolvers.staff.crews.building import check_built, waits_for_image
from resolvers.staff.crews.containers import needs_container
from resolvers.staff.crews.members import ByCrew

MOST_AGENTS: Final = 100
NO_IMAGE: Final = "The crew has no image: its agents' commands run in the sandbox of the server"
NO_AGENT: Final = "The crew has no agent, and each agent has a container of its own"
LEFT_OUT: Final = f"Only the containers of the first {MOST_AGENTS} agents were started"


class ContainerStarted(Output):
    """The containers of a crew run. `container_id` is the container of its oldest agent that has one; `notices` lists
    what did not start.
    """

    crew_id: str
    slug: str
    container_id: str
    status: Literal["running"] = "running"
    notices: Annotated[list[str] | None, Absent()] = None


class ContainerStopped(Output):
    """The containers of a crew do not run."""

    crew_id: str
    slug: str
    status: Literal["stopped"] = "stopped"


@command(
    "crews.container_start",
    Action.CREATE,
    audit="crew.containers_started",
    errors=(Code.NOT_FOUND, Code.BAD_GATEWAY, Code.UNAVAILABLE),
    writes_on_refusal=True,
    late=True,
)
async def start_containers(ctx: Context, data: ByCrew) -> ContainerStarted:
    """Start the containers of a crew.

    Starts its services and the container of each agent, as a run would; running ones stay. If the image must be built
    first, the build begins, and the answer is BAD_GATEWAY until it has ended. UNAVAILABLE without a container engine,
    and for a crew without an image.
    """
    crew = await ctx.get(Crew, data.crew_id)
    if ctx.outside.containers is None:
        raise no_containers()
    if not needs_container(crew):
        raise Refusal(Code.UNAVAILABLE, NO_IMAGE)
    if waits_for_image(crew, await ctx.now()):
        await ctx.begin()
        await _check_image(ctx, crew.id)
        await ctx.abandon()
    agents, more = await _agents(ctx, crew)
    begun = await _begun(ctx, crew, agents)
    await ctx.begin()
    ctx.audit("CREW", crew.id, containers=len(begun.containers))
    return ContainerStarted(
        crew_id=crew.id,
        slug=crew.slug,
        container_id=next(iter(begun.containers.values())),
        notices=[*begun.notices, *([LEFT_OUT] if more else [])] or None,
    )


async def _check_image(ctx: Context, crew_id: str) -> None:
    """Begins the build that messages to the agents would begin."""
    try:
        await check_built(ctx, crew_id)
    except Refusal as refusal:
        raise Refusal(
            Code.BAD_GATEWAY, refusal.detail, reason=refusal.reason, extra=refusal.extra, commit=refusal.commit
        ) from None


async def _agents(ctx: Context, crew: Crew) -> tuple[Mapping[str, str], bool]:
    """The slugs of the crew's agents by id, the oldest first, and whether there are more."""
    own = (col(Agent.crew_id) == crew.id, col(Agent.expired_at).is_(None))
    found = await ctx.select(Agent, *own).order_by(col(Agent.created_at), col(Agent.id)).limit(MOST_AGENTS + 1).all()
    if not found:
        raise Refusal(Code.BAD_GATEWAY, NO_AGENT)
    return {agent.id: agent.slug for agent in found[:MOST_AGENTS]}, len(found) > MOST_AGENTS


async def _begun(ctx: Context, crew: Crew, agents: Mapping[str, str]) -> BegunContainers:
    containers: Any = ctx.outside.containers
    try:
        begun: BegunContainers = await containers.start(crew.workspace_id, crew.id, agents)
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    return begun


@command(
    "crews.container_stop",
    Action.CREATE,
    audit="crew.containers_stopped",
    errors=(Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def stop_containers(ctx: Context, data: ByCrew) -> ContainerStopped:
    """Stop the containers of a crew.

    Ends its containers and services with the programs in them; volumes and files stay. The next command of an agent
    starts them again. BAD_GATEWAY without a container engine.
    """
    crew = await ctx.get(Crew, data.crew_id)
    containers: Any = ctx.outside.containers
    if containers is None:
        raise Refusal(Code.BAD_GATEWAY, NO_CONTAINERS)
    try:
        stopped = await containers.stop(crew.workspace_id, crew.id)
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    await ctx.begin()
    ctx.audit("CREW", crew.id, containers=stopped)
    return ContainerStopped(crew_id=crew.id, slug=crew.slug)
