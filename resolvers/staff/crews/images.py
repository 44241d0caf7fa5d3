"""Images that were built for crews, as the engine has them. They are of the whole host: crews of any workspace with the
same configuration use the same.
"""

import re
from typing import Any, Final

from sqlmodel import col

from models.staff.crews import Crew
from resolvers.instance.ports import InUse, NotRun
from resolvers.kernel import (
    AcrossWorkspaces,
    Action,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    Refusal,
    Text,
    across_workspaces,
    command,
    procedure,
)
from resolvers.rules.containers import no_containers
from resolvers.staff.crews.building import CACHE

TAG: Final = re.compile(rf"{CACHE}:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}")


class CacheImage(Output):
    """`created_at` is in Unix seconds; `referenced_by` are slugs of crews of the workspace."""

    tag: str
    size: int
    created_at: int
    referenced_by: list[str]


class CacheImages(Output):
    """Images that were built for crews."""

    images: list[CacheImage]


class CacheDeleted(Output):
    """An image that was deleted."""

    tag: str
    status: str = "deleted"


class ByImage(Input):
    """`force`, if it is `true`, also deletes an image that crews or containers use."""

    tag: Text
    force: Text = ""


async def _slugs(ctx: Context, tags: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    crews = ctx.select(Crew, col(Crew.cached_image).in_(tags)) if tags else None
    for crew in [] if crews is None else await crews.all():
        found.setdefault(crew.cached_image or "", []).append(crew.slug)
    return {tag: sorted(slugs) for tag, slugs in found.items()}


@procedure("cache.images.list", Action.READ, errors=(Code.UNAVAILABLE, Code.BAD_GATEWAY), late=True)
async def list_cache_images(ctx: Context, data: NoInput) -> CacheImages:
    """List cached images.

    Lists images of the whole host by tag, each with the workspace's crews that use it. UNAVAILABLE without a container
    engine.
    """
    containers: Any = ctx.outside.containers
    if containers is None:
        raise no_containers()
    try:
        images = await containers.images()
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    slugs = await _slugs(ctx, [image.tag for image in images])
    return CacheImages(
        images=[
            CacheImage(tag=each.tag, size=each.size, created_at=each.created_at, referenced_by=slugs.get(each.tag, []))
            for each in images
        ]
    )


@command(
    "cache.images.delete",
    Action.DELETE,
    audit="cache_image.deleted",
    errors=(Code.UNAVAILABLE, Code.NOT_FOUND, Code.CONFLICT, Code.BAD_GATEWAY),
    late=True,
)
async def delete_cache_image(ctx: Context, data: ByImage) -> CacheDeleted:
    """Delete a cached image.

    Deletes only images built for crews. CONFLICT if a crew uses the image; the error names the caller's crews. With
    `force` it is deleted, and these crews need a new build. UNAVAILABLE without a container engine.
    """
    containers: Any = ctx.outside.containers
    if containers is None:
        raise no_containers()
    if not TAG.fullmatch(data.tag):
        raise Refusal(Code.BAD_REQUEST, f"tag: must be {CACHE}: and the rest of a tag")
    force = data.force == "true"
    if not force:

        async def find(rows: AcrossWorkspaces) -> bool:
            return await rows.everywhere.exists(Crew, col(Crew.cached_image) == data.tag)

        if await across_workspaces(find):
            ours = (await _slugs(ctx, [data.tag])).get(data.tag, [])
            raise Refusal(Code.CONFLICT, "The image is used by crews", extra={"referenced_by": ours})
    try:
        found = await containers.remove_image(data.tag, force=force)
    except InUse:
        raise Refusal(Code.CONFLICT, "The image is used by a container", extra={"referenced_by": []}) from None
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    if not found:
        raise Refusal(Code.NOT_FOUND, "image not found")
    await ctx.begin()
    ctx.audit("WORKSPACE", ctx.workspace_id or "", image=data.tag, forced=force)
    return CacheDeleted(tag=data.tag)
