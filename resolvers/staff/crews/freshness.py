"""The image of a crew's containers, compared with its registry."""

from enum import StrEnum
from typing import Any, Final

from models.staff.crews import Crew
from resolvers.instance.ports import ImageDigests, NotRun, PulledImage
from resolvers.kernel import Action, Code, Context, Output, Refusal, command, procedure
from resolvers.staff.crews.building import CACHE
from resolvers.staff.crews.containers import image_of
from resolvers.staff.crews.members import ByCrew

NO_DIGESTS: Final = "No container engine that knows the digests of images is configured"
NO_IMAGE: Final = "The crew has no image to pull"
MISSING: Final = "crew not found"


class ImageReason(StrEnum):
    """Why an image was not compared with its registry; empty if it was."""

    compared = ""
    registry_unreachable = "registry unreachable"
    no_container = "no container"
    no_digest = "image has no registry digest"
    built_here = "locally built image"


class ImageStatus(Output):
    """The image of a crew. `behind`: its registry has a newer one than the running container; false with a `reason`
    means that they were not compared.
    """

    crew_id: str
    image: str
    container_id: str
    running: bool
    running_digest: str
    resolved_digest: str
    behind: bool
    reason: ImageReason


class ImageRefreshed(Output):
    """An image that was pulled. `container_removed`: a container of the former image was removed."""

    crew_id: str
    image: str
    previous_digest: str
    new_digest: str
    container_removed: bool


def _engine(ctx: Context) -> Any:
    containers: Any = ctx.outside.containers
    if containers is None or not containers.knows_digests:
        raise Refusal(Code.UNAVAILABLE, NO_DIGESTS)
    return containers


@procedure("crews.image_status", Action.READ, errors=(Code.NOT_FOUND, Code.UNAVAILABLE, Code.BAD_GATEWAY), late=True)
async def get_image_status(ctx: Context, data: ByCrew) -> ImageStatus:
    """Get the freshness of a crew's image.

    Compares the image of a running container with the one that its registry has now. podman cannot ask registries
    without pulling. UNAVAILABLE without an engine that knows digests, such as on Kubernetes; BAD_GATEWAY if the engine
    does not answer.
    """
    crew = await ctx.get(Crew, data.crew_id, missing=MISSING)
    containers, image = _engine(ctx), image_of(crew) or ""
    try:
        found: ImageDigests = await containers.digests(crew.workspace_id, crew.id, image)
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    return ImageStatus(
        crew_id=crew.id,
        image=image,
        container_id=found.container_id,
        running=bool(found.container_id),
        running_digest=next((each for each in found.running if each == found.resolved), _first(found)),
        resolved_digest=found.resolved,
        behind=bool(found.resolved) and found.resolved not in found.running,
        reason=_reason(image, found),
    )


def _first(found: ImageDigests) -> str:
    return found.running[0] if found.running else ""


def _reason(image: str, found: ImageDigests) -> ImageReason:
    if not found.container_id:
        return ImageReason.no_container
    if image.startswith(f"{CACHE}:"):
        return ImageReason.built_here
    if not found.running:
        return ImageReason.no_digest
    return ImageReason.compared if found.resolved else ImageReason.registry_unreachable


@command(
    "crews.refresh_image",
    Action.CREATE,
    audit="crew.image_refreshed",
    errors=(Code.NOT_FOUND, Code.UNAVAILABLE, Code.BAD_GATEWAY),
    late=True,
)
async def refresh_image(ctx: Context, data: ByCrew) -> ImageRefreshed:
    """Refresh the image of a crew.

    Pulls the image, then removes the containers of its agents; the next command makes one from the new image. A failed
    pull changes nothing and is BAD_GATEWAY, as is an image that was built on the server: rebuild it. UNAVAILABLE
    without an engine that knows digests.
    """
    crew = await ctx.get(Crew, data.crew_id, missing=MISSING)
    containers, image = _engine(ctx), image_of(crew)
    if not image:
        raise Refusal(Code.BAD_GATEWAY, NO_IMAGE)
    try:
        pulled: PulledImage = await containers.refresh(crew.workspace_id, crew.id, image)
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    await ctx.begin()
    if crew.agents_pending_restart:
        await ctx.update(Crew, crew.id, agents_pending_restart=0)
    ctx.audit("CREW", crew.id, image=image, containers=pulled.removed)
    return ImageRefreshed(
        crew_id=crew.id,
        image=image,
        previous_digest=pulled.before,
        new_digest=pulled.after,
        container_removed=bool(pulled.removed),
    )
