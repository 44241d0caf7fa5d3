"""Containers of crews. This server runs agents' commands without any, so that there is nothing to look for or remove:
the answer is the documented one of a server without a container runtime.
"""

from resolvers.kernel import Action, Code, Context, NoInput, Output, command, procedure
from resolvers.rules.containers import no_containers


class LegacyResources(Output):
    """Whether there are containers or volumes with names of earlier releases."""

    present: bool


class Pruned(Output):
    """Names of the containers and volumes that were removed."""

    removed: list[str]
    count: int


@procedure("admin.legacy_detect", Action.MANAGE, errors=(Code.UNAVAILABLE,))
async def detect_legacy_resources(ctx: Context, data: NoInput) -> LegacyResources:
    """Check for legacy containers.

    Requires a container runtime, which this server does not have: always UNAVAILABLE.
    """
    raise no_containers()


@command("admin.legacy_prune", Action.MANAGE, errors=(Code.UNAVAILABLE,))
async def prune_legacy_resources(ctx: Context, data: NoInput) -> Pruned:
    """Remove legacy containers.

    Requires a container runtime, which this server does not have: always UNAVAILABLE.
    """
    raise no_containers()


@command("admin.runtime_prune", Action.MANAGE, errors=(Code.UNAVAILABLE,))
async def prune_crew_runtimes(ctx: Context, data: NoInput) -> Pruned:
    """Remove the containers of crews.

    Requires a container runtime, which this server does not have: always UNAVAILABLE. Files of agents are kept.
    """
    raise no_containers()
