"""The image of a crew, and its containers."""

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Text as SQLText
from sqlalchemy import case, func
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.ports import NotRun
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Output,
    QueryScope,
    Refusal,
    Row,
    command,
    constant,
    derived,
    extend,
    instance,
    query,
)
from resolvers.rules.containers import no_containers
from resolvers.staff.crews.building import start
from resolvers.staff.crews.members import ByCrew

STARTED: Final = "The image of the crew is being built"


class ProvisionStatus(StrEnum):
    """The state of a crew's build; `idle`: no build was requested."""

    idle = "idle"
    pending = "pending"
    running = "running"
    completed = "completed"
    failed = "failed"


def _status(crew: Any, _: QueryScope) -> Any:
    completed, idle = (constant(status, SQLText()) for status in (ProvisionStatus.completed, ProvisionStatus.idle))
    known = case((crew.cached_image.is_not(None), completed), else_=idle)
    return func.coalesce(crew.build["status"].astext, known)


def _told(key: str, type: Any) -> Any:
    """A field of the last build."""

    def found(crew: Any, _: QueryScope) -> Any:
        return crew.build[key].astext if type is str else crew.build[key]

    return derived(type, found)


extend(
    Crew,
    provision_status=derived(ProvisionStatus, _status),
    build_error=_told("error", str),
    build_step=_told("step", int),
    build_total=_told("total", int),
    build_message=_told("message", str),
    build_steps=_told("steps", list[str]),
    build_log=_told("log_tail", list[str]),
    build_started_at=_told("started_at", str),
    build_completed_at=_told("completed_at", str),
)


@query("crews.provision.status", Action.READ, errors=(Code.NOT_FOUND,))
def get_provision_status(scope: QueryScope, data: ByCrew) -> Row[Crew]:
    """Get the build status of a crew's image.

    Returns the status of the last build until the configuration changes. Without a build it is `completed` if
    the crew has an image, otherwise `idle`.
    """
    return scope.select(Crew).where(col(Crew.id) == data.crew_id).one("crew not found")


class ProvisionStarted(Output):
    """A build of an image has begun."""

    status: str = "started"
    message: str


class Restarted(Output):
    """The number of agents whose next run begins in a new container."""

    restarted: int


REFUSALS = (Code.UNAVAILABLE, Code.NOT_FOUND, Code.CONFLICT, Code.RATE_LIMITED)


@command("crews.provision", Action.CREATE, audit="crew.provisioned", errors=REFUSALS)
async def provision_crew(ctx: Context, data: ByCrew) -> ProvisionStarted:
    """Build the image of a crew.

    Runs in the background; poll the build status. UNAVAILABLE without a container engine; this is checked first.
    """
    if instance.containers is None:
        raise no_containers()
    await start(ctx, data.crew_id)
    ctx.audit("CREW", data.crew_id)
    return ProvisionStarted(message=STARTED)


@command("crews.provision.rebuild", Action.CREATE, audit="crew.rebuilt", errors=REFUSALS, writes_on_refusal=True)
async def rebuild_crew(ctx: Context, data: ByCrew) -> ProvisionStarted:
    """Rebuild the image of a crew.

    Discards the current image first, even if the build is then refused.
    """
    if instance.containers is None:
        raise no_containers()
    await start(ctx, data.crew_id, rebuild=True)
    ctx.audit("CREW", data.crew_id)
    return ProvisionStarted(message=STARTED)


@command(
    "crews.restart_agents",
    Action.UPDATE,
    audit="crew.restarted",
    errors=(Code.UNAVAILABLE, Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def restart_agents(ctx: Context, data: ByCrew) -> Restarted:
    """Restart the containers of a crew.

    Removes the containers and their processes; the next command of an agent creates a new one from the crew's current
    image. UNAVAILABLE without a container engine; this is checked before the crew is looked up.
    """
    containers: Any = ctx.outside.containers
    if containers is None:
        raise no_containers()
    crew = await ctx.get(Crew, data.crew_id, missing="crew not found")
    try:
        removed = await containers.remove(crew.workspace_id, crew.id)
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    await ctx.begin()
    agents = await ctx.select(Agent, col(Agent.crew_id) == crew.id).count() if removed else 0
    if crew.agents_pending_restart:
        await ctx.update(Crew, crew.id, agents_pending_restart=0)
    ctx.audit("CREW", crew.id, containers=removed)
    return Restarted(restarted=agents)
