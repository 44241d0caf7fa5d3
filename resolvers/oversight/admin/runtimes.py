"""Containers of a workspace's crews, and what earlier releases and other servers have left of them. Without an engine
there is nothing to look for or remove: the answer is the documented one of a server without a container runtime.
"""

from collections.abc import Sequence
from typing import Any

from sqlmodel import col

from models.staff.crews import Crew
from resolvers.instance.ports import NotRun, RunningContainer
from resolvers.kernel import Action, Code, Context, Input, NoInput, Output, Refusal, Text, command, procedure
from resolvers.rules.containers import no_containers


class LegacyResources(Output):
    """True if containers or volumes of earlier releases exist."""

    present: bool


class Pruned(Output):
    """Names of the containers and volumes that were removed."""

    removed: list[str]
    count: int


class ReapOrphans(Input):
    """`apply`, if it is `true`, removes the orphans; anything else only reports them."""

    apply: Text = ""


class OrphanContainer(Output):
    """A running container of one of the workspace's crews that another server made. `reaped`: it was removed."""

    crew_id: str
    slug: str
    container_id: str
    reaped: bool


class Reaped(Output):
    """Orphans, and the numbers of running containers that were `inspected`, and `identified` as a crew's.

    `detector_inert`: containers run, and none of them was identified.
    """

    orphans: list[OrphanContainer]
    count: int
    applied: bool
    inspected: int
    identified: int
    detector_inert: bool


def _containers(ctx: Context) -> Any:
    if ctx.outside.containers is None:
        raise no_containers()
    return ctx.outside.containers


@procedure("admin.legacy_detect", Action.MANAGE, errors=(Code.UNAVAILABLE, Code.BAD_GATEWAY), late=True)
async def detect_legacy_resources(ctx: Context, data: NoInput) -> LegacyResources:
    """Check for legacy containers.

    Counts containers that earlier releases made for the workspace's crews and this release does not use. UNAVAILABLE
    without a container engine.
    """
    try:
        found = await _containers(ctx).outdated(ctx.workspace_id or "")
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    return LegacyResources(present=bool(found))


@command(
    "admin.legacy_prune",
    Action.MANAGE,
    audit="workspace.legacy_containers_removed",
    errors=(Code.UNAVAILABLE, Code.BAD_GATEWAY),
    late=True,
)
async def prune_legacy_resources(ctx: Context, data: NoInput) -> Pruned:
    """Remove legacy containers.

    If the engine fails midway, BAD_GATEWAY lists the removed objects in `removed`. UNAVAILABLE without a container
    engine.
    """
    return await _pruned(ctx, outdated=True)


@command(
    "admin.runtime_prune",
    Action.MANAGE,
    audit="workspace.containers_removed",
    errors=(Code.UNAVAILABLE, Code.BAD_GATEWAY),
    late=True,
)
async def prune_crew_runtimes(ctx: Context, data: NoInput) -> Pruned:
    """Remove the containers of crews.

    Removes all containers of the workspace's crews, their processes, and the volumes of their services. Images and
    agents' files are kept. If the engine fails midway, BAD_GATEWAY lists the removed objects in `removed`. UNAVAILABLE
    without a container engine.
    """
    return await _pruned(ctx, outdated=False)


async def _pruned(ctx: Context, *, outdated: bool) -> Pruned:
    containers, removed, workspace_id = _containers(ctx), list[str](), ctx.workspace_id or ""
    try:
        await containers.prune(workspace_id, removed, outdated=outdated)
    except NotRun as failed:
        so_far = {"removed": removed, "count": len(removed)}
        raise Refusal(Code.BAD_GATEWAY, str(failed), extra=so_far) from None
    await ctx.begin()
    ctx.audit("WORKSPACE", workspace_id, removed=len(removed))
    return Pruned(removed=removed, count=len(removed))


@command(
    "admin.reap_orphan_containers",
    Action.MANAGE,
    audit="workspace.orphan_containers_removed",
    errors=(Code.UNAVAILABLE, Code.BAD_GATEWAY),
    late=True,
)
async def reap_orphan_containers(ctx: Context, data: ReapOrphans) -> Reaped:
    """Remove containers that another server made.

    Lists running containers of the workspace's crews with the label of another server, such as the same server before
    its files were moved, and removes them only with `apply`. Containers of a second server with the same database are
    among them. UNAVAILABLE without a container engine.
    """
    containers, apply, workspace_id = _containers(ctx), data.apply == "true", ctx.workspace_id or ""
    try:
        running: Sequence[RunningContainer] = await containers.running(workspace_id)
        slugs = await _slugs(ctx, {each.crew_id for each in running})
        found = [each for each in running if each.crew_id in slugs and not each.ours]
        removed = {each.id for each in found if apply and await containers.discard(each.id)}
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    identified = sum(each.crew_id in slugs for each in running)
    await ctx.begin()
    ctx.audit("WORKSPACE", workspace_id, orphans=len(found), removed=len(removed))
    return Reaped(
        orphans=[
            OrphanContainer(
                crew_id=each.crew_id, slug=slugs[each.crew_id], container_id=each.id, reaped=each.id in removed
            )
            for each in found
        ],
        count=len(found),
        applied=apply,
        inspected=len(running),
        identified=identified,
        detector_inert=bool(running) and not identified,
    )


async def _slugs(ctx: Context, crews: set[str]) -> dict[str, str]:
    if not crews:
        return {}
    named = col(Crew.id).in_(sorted(crews))
    return {crew.id: crew.slug for crew in await ctx.select(Crew, named, including_deleted=True).all()}
