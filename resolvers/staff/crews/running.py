"""The containers of a crew as they run: their state, their usage, and the services beside them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from models.staff.crews import Crew
from resolvers.instance.ports import ContainerOfCrew, NotRun
from resolvers.kernel import Absent, Action, Code, Context, Output, Refusal, procedure
from resolvers.rules.services import Service, ServiceType, declared_services, type_of_image
from resolvers.staff.crews.members import ByCrew


class ContainerState(StrEnum):
    """The state of one container."""

    running = "running"
    stopped = "stopped"
    creating = "creating"
    error = "error"


class CrewContainerState(StrEnum):
    """The state of a crew's containers.

    `not_configured`: the server has no container engine; `unknown`: the engine does not answer, or the crew has no
    container.
    """

    running = "running"
    creating = "creating"
    stopped = "stopped"
    error = "error"
    not_configured = "not_configured"
    unknown = "unknown"


class ContainerKind(StrEnum):
    """The purpose of a container: the commands of agents, or a service beside them."""

    crew = "crew"
    sidecar = "sidecar"


class RuntimeContract(StrEnum):
    """The release whose settings a container was made with: this one, or an earlier one."""

    current = "current"
    stale = "stale"


class DriftedField(StrEnum):
    """A setting of a crew that is fixed when a container is made."""

    container_memory_mb = "container_memory_mb"
    container_cpus = "container_cpus"


class ConfigDrift(Output):
    """A setting that was changed after the container was made. The next command makes another container."""

    field: DriftedField
    configured: float
    effective: float


class ContainerStatus(Output):
    """The state of a crew's containers. `uptime` is the start of the oldest running one.

    The `effective_` limits apply to a running container; `config_drift` lists settings that differ from them.
    """

    crew_id: str
    status: CrewContainerState
    uptime: Annotated[datetime | None, Absent()] = None
    runtime_contract: Annotated[RuntimeContract | None, Absent()] = None
    configured_memory_mb: Annotated[int | None, Absent()] = None
    configured_cpus: Annotated[float | None, Absent()] = None
    effective_memory_mb: Annotated[int | None, Absent()] = None
    effective_cpus: Annotated[float | None, Absent()] = None
    config_drift: Annotated[list[ConfigDrift] | None, Absent()] = None


class LiveContainer(Output):
    """A container on the engine. Usage is null if it was not measured.

    `agent_count` is the number of agents whose commands run in it: 0 for a terminal, and null for a service.
    """

    name: str
    image: str
    kind: ContainerKind
    status: ContainerState
    cpu_percent: float | None
    memory_mb: int | None
    agent_count: int | None


class LiveContainers(Output):
    """The containers of a crew by name."""

    containers: list[LiveContainer]


class LiveService(Output):
    """A service on the engine. `name` is its declared name; `ports` are the ones that it or its image declares."""

    name: str
    image: str
    type: ServiceType
    status: ContainerState
    ports: list[str]


class LiveServices(Output):
    """The services of a crew by the names of their containers."""

    services: list[LiveService]


_STATES: Final[Mapping[str, ContainerState]] = {
    "running": ContainerState.running,
    **dict.fromkeys(("created", "configured", "initialized", "restarting"), ContainerState.creating),
    **dict.fromkeys(("exited", "stopped", "stopping", "removing", "paused", "suspended"), ContainerState.stopped),
}
"""States by the words of the engines; a container in any other state has failed."""
_ORDER: Final = (ContainerState.running, ContainerState.creating, ContainerState.error, ContainerState.stopped)
"""One container in an earlier state decides for the crew."""


def state_of(container: ContainerOfCrew) -> ContainerState:
    return _STATES.get(container.state, ContainerState.error)


async def _known(ctx: Context, crew: Crew, **how: bool) -> Sequence[ContainerOfCrew]:
    """Empty without an engine."""
    containers: Any = ctx.outside.containers
    if containers is None:
        return ()
    try:
        found: Sequence[ContainerOfCrew] = await containers.known(crew.workspace_id, crew.id, **how)
    except NotRun as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    return found


@procedure("crews.container_status", Action.READ, errors=(Code.NOT_FOUND,), late=True)
async def get_container_status(ctx: Context, data: ByCrew) -> ContainerStatus:
    """Get the state of a crew's containers.

    `running` if the container of one agent runs. Without an engine, or if it does not answer, the answer has only the
    state and the configured limits.
    """
    crew = await ctx.get(Crew, data.crew_id)
    configured: dict[str, Any] = {
        "crew_id": crew.id,
        "configured_memory_mb": crew.container_memory_mb,
        "configured_cpus": crew.container_cpus,
    }
    if ctx.outside.containers is None:
        return ContainerStatus(status=CrewContainerState.not_configured, **configured)
    try:
        found = await _known(ctx, crew, inspected=True)
    except Refusal:
        return ContainerStatus(status=CrewContainerState.unknown, **configured)
    own = [each for each in found if each.agent_id and not each.passes]
    states = {state_of(each) for each in own}
    state = next((each for each in _ORDER if each in states), None)
    if state is None:
        return ContainerStatus(status=CrewContainerState.unknown, **configured)
    running = [each for each in own if state_of(each) is ContainerState.running]
    return ContainerStatus(status=CrewContainerState(state.value), **configured, **_effective(crew, running))


def _effective(crew: Crew, running: Sequence[ContainerOfCrew]) -> dict[str, Any]:
    """The limits of the first running container that differs from the crew's settings, or else of the first."""
    if not running:
        return {}
    shown = next((each for each in running if _drift(crew, each)), running[0])
    begun = [each.started_at for each in running if each.started_at is not None]
    current = all(each.current for each in running)
    return {
        "uptime": min(begun, default=None),
        "runtime_contract": RuntimeContract.current if current else RuntimeContract.stale,
        "effective_memory_mb": shown.memory_limit_mb,
        "effective_cpus": shown.cpu_limit,
        "config_drift": _drift(crew, shown) or None,
    }


def _drift(crew: Crew, container: ContainerOfCrew) -> list[ConfigDrift]:
    pairs = (
        (DriftedField.container_memory_mb, crew.container_memory_mb, container.memory_limit_mb),
        (DriftedField.container_cpus, crew.container_cpus, container.cpu_limit),
    )
    return [
        ConfigDrift(field=field, configured=configured, effective=effective)
        for field, configured, effective in pairs
        if effective is not None and effective != configured
    ]


@procedure("crews.containers", Action.READ, errors=(Code.NOT_FOUND, Code.BAD_GATEWAY), late=True)
async def list_containers(ctx: Context, data: ByCrew) -> LiveContainers:
    """List the containers of a crew.

    Lists containers of its agents, terminals and services, with what they use now. Empty without a container engine;
    BAD_GATEWAY if the engine does not answer.
    """
    crew = await ctx.get(Crew, data.crew_id)
    return LiveContainers(containers=[_live(each) for each in await _known(ctx, crew, measured=True)])


def _live(container: ContainerOfCrew) -> LiveContainer:
    return LiveContainer(
        name=container.name,
        image=container.image,
        kind=ContainerKind.sidecar if container.service else ContainerKind.crew,
        status=state_of(container),
        cpu_percent=container.cpu_percent,
        memory_mb=container.memory_mb,
        agent_count=None if container.service else int(bool(container.agent_id)),
    )


@procedure("crews.services", Action.READ, errors=(Code.NOT_FOUND, Code.BAD_GATEWAY), late=True)
async def list_services(ctx: Context, data: ByCrew) -> LiveServices:
    """List the running services of a crew.

    Lists the services that the engine has, also if `services_json` names others. Empty without a container engine;
    BAD_GATEWAY if the engine does not answer.
    """
    crew = await ctx.get(Crew, data.crew_id)
    found = [each for each in await _known(ctx, crew, inspected=True) if each.service]
    declared = {service.name: service for service in declared_services(crew.services_json)}
    return LiveServices(services=[_service(each, declared.get(each.service)) for each in found])


def _service(container: ContainerOfCrew, declared: Service | None) -> LiveService:
    named = (declared and declared.ports) or ()
    ports = {port if "/" in port else f"{port}/tcp" for port in (*named, *container.ports)}
    return LiveService(
        name=container.service,
        image=container.image,
        type=type_of_image(container.image),
        status=state_of(container),
        ports=sorted(ports),
    )
