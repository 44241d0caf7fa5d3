"""Containers of a workspace's crews, and what earlier releases have left of them. Without an engine there is nothing to
look for or remove: the answer is the documented one of a server without a container runtime.
"""

from typing import Any

from resolvers.instance.ports import NotRun
from resolvers.kernel import Action, Code, Context, NoInput, Output, Refusal, command, procedure
from resolvers.rules.containers import no_containers


class LegacyResources(Output):
    """True if containers or volumes of earlier releases exist."""

    present: bool


class Pruned(Output):
    """Names of the containers and volumes that were removed."""

    removed: list[str]
    count: int


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
