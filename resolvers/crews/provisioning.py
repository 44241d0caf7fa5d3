"""The build of a crew's image. This server runs agents' commands without containers: it builds none."""

from enum import StrEnum
from typing import Any

from sqlalchemy import Text as SQLText
from sqlalchemy import case, literal_column
from sqlmodel import col

from models.agents import Agent
from models.crews import Crew
from resolvers.crews.members import ByCrew
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Input,
    NoInput,
    NotRun,
    Output,
    QueryScope,
    Refusal,
    Row,
    Text,
    command,
    derived,
    extend,
    procedure,
    query,
)
from resolvers.rules.containers import no_containers


class ProvisionStatus(StrEnum):
    idle = "idle"
    pending = "pending"
    running = "running"
    completed = "completed"
    failed = "failed"


def _status(crew: Any, _: QueryScope) -> Any:
    completed, idle = (
        literal_column(f"'{status.value}'", SQLText()) for status in (ProvisionStatus.completed, ProvisionStatus.idle)
    )
    return case((crew.cached_image.is_not(None), completed), else_=idle)


extend(Crew, provision_status=derived(ProvisionStatus, _status))


@query("crews.provision.status", Action.READ, errors=(Code.NOT_FOUND,))
def get_provision_status(scope: QueryScope, data: ByCrew) -> Row[Crew]:
    """Get the build status of a crew's image.

    Completed if the crew has an image, otherwise idle: this server builds no images.
    """
    return scope.select(Crew).where(col(Crew.id) == data.crew_id).one("crew not found")


class ProvisionStarted(Output):
    """A build of an image has begun."""

    status: str = "started"
    message: str


class Restarted(Output):
    """How many agents of the crew begin their next run in a new container."""

    restarted: int


class CacheImage(Output):
    """`created_at` is in Unix seconds; `referenced_by` are slugs of crews of the workspace."""

    tag: str
    size: int
    created_at: int
    referenced_by: list[str]


class CacheImages(Output):
    images: list[CacheImage]


class CacheDeleted(Output):
    tag: str
    status: str = "deleted"


class ByImage(Input):
    """`force` also deletes an image that crews of the workspace use."""

    tag: Text
    force: Text = ""


@command("crews.provision", Action.CREATE, errors=(Code.UNAVAILABLE,))
async def provision_crew(ctx: Context, data: ByCrew) -> ProvisionStarted:
    """Build the image of a crew.

    Requires a container runtime, which this server does not have: always UNAVAILABLE.
    """
    raise no_containers()


@command("crews.provision.rebuild", Action.CREATE, errors=(Code.UNAVAILABLE,))
async def rebuild_crew(ctx: Context, data: ByCrew) -> ProvisionStarted:
    """Rebuild the image of a crew.

    Requires a container runtime, which this server does not have: always UNAVAILABLE. The image that is known stays.
    """
    raise no_containers()


@command(
    "crews.restart_agents",
    Action.UPDATE,
    audit="crew.restarted",
    errors=(Code.UNAVAILABLE, Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def restart_agents(ctx: Context, data: ByCrew) -> Restarted:
    """Restart the containers of a crew.

    They are removed with all that runs in them; the next command of an agent makes a new one, from the image that the
    crew has then. UNAVAILABLE without a container engine, which is told before the crew is looked for.
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
    ctx.audit("CREW", crew.id, containers=removed)
    return Restarted(restarted=agents)


@procedure("cache.images.list", Action.READ, errors=(Code.UNAVAILABLE,))
async def list_cache_images(ctx: Context, data: NoInput) -> CacheImages:
    """List cached images.

    Requires a container runtime, which this server does not have: always UNAVAILABLE.
    """
    raise no_containers()


@command("cache.images.delete", Action.DELETE, errors=(Code.UNAVAILABLE,))
async def delete_cache_image(ctx: Context, data: ByImage) -> CacheDeleted:
    """Delete a cached image.

    Requires a container runtime, which this server does not have: always UNAVAILABLE.
    """
    raise no_containers()
