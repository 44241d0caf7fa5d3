"""The programs that agents' commands run with, as workers report them: a process that only serves may start no
program.
"""

import platform
from typing import Annotated, Final

from models.workers import Worker
from resolvers.kernel import Absent, Action, Context, NoInput, Output, Tenancy, instance, procedure
from resolvers.rules.coding_agents import FoundCodingAgent, merged
from resolvers.rules.workers import alive

ENGINES: Final = frozenset({"docker", "podman"})
MOST_WORKERS: Final = 1_000
UNCONFINED: Final = "process"
"""The runtime of a worker that runs commands without any boundary (CREWSHIP_UNSAFE_PROCESS)."""


class FoundRuntime(Output):
    """The runtime of agents' commands. `socket` is the socket of the container engine; empty without an engine.
    `in_use`: true for the one that `runtime` names.
    """

    runtime: str
    version: str
    socket: str = ""
    in_use: bool = False


class InstallLinks(Output):
    """The source of runtimes. This release uses bubblewrap; clients know the others."""

    bubblewrap: str = "https://github.com/containers/bubblewrap"
    docker: str = "https://docs.docker.com/get-docker/"
    podman: str = "https://podman.io/docs/installation"
    colima: str = "https://github.com/abiosoft/colima"
    orbstack: str = "https://orbstack.dev/"
    apple: str = "https://github.com/apple/container"
    rancher: str = "https://rancherdesktop.io"


class Runtime(Output):
    """`available`: true if a worker runs agents' commands. `runtime`, `version` and `socket` are null otherwise, and
    `install_links` if it is.

    `coding_agents` lists the coding agents that can be selected, and whether a worker has them; empty without a worker.
    `language_version` and `uptime_seconds` belong to the process that answers.
    """

    available: bool
    runtime: str | None
    version: str | None
    socket: str | None
    runtimes: list[FoundRuntime]
    install_links: Annotated[InstallLinks | None, Absent()] = None
    coding_agents: list[FoundCodingAgent]
    language_version: str
    uptime_seconds: int


@procedure("system.runtime", Action.NONE, tenancy=Tenancy.NONE)
async def runtime(ctx: Context, data: NoInput) -> Runtime:
    """Get the runtime of agents' commands.

    Returns the runtime that workers detected: the container engine, `docker`, `podman` or `kubernetes`;
    without one, `bubblewrap`, or `process` if a worker runs commands without isolation. Not available
    without a worker, or if none can run commands; `crewship doctor` on the worker says why. Coding agents are
    listed with their version, or with installation instructions.
    """
    workers = await ctx.select(Worker, alive()).limit(MOST_WORKERS).all()
    found = [worker for worker in workers if worker.runtime is not None]
    kinds = sorted({(w.runtime or "", w.version or "") for w in found}, key=lambda kind: (kind[0] == UNCONFINED, kind))
    first = kinds[0] if kinds else None
    return Runtime(
        available=first is not None,
        runtime=first and first[0],
        version=(first and first[1]) or None,
        socket=_socket_of(first[0]) or None if first else None,
        runtimes=[
            FoundRuntime(runtime=name, version=version, socket=_socket_of(name), in_use=(name, version) == first)
            for name, version in kinds
        ],
        install_links=None if kinds else InstallLinks(),
        coding_agents=merged(worker.coding_agents or () for worker in workers),
        language_version=platform.python_version(),
        uptime_seconds=int(instance.uptime()),
    )


def _socket_of(runtime: str) -> str:
    return (instance.settings.container_engine or "").removeprefix("unix://") if runtime in ENGINES else ""
