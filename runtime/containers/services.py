"""Services beside the containers of a crew, such as a database: one instance per crew, shared by its agents.

A service has only a loopback, like all containers: it is reached only through the relay of `network.py`, and reaches
nothing itself. So neither a port of the host nor a network of the engine is open.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

from resolvers.rules.durations import parse_duration
from resolvers.rules.services import Service
from runtime.containers.engine import ContainerEngine, EngineRefused
from runtime.containers.network import Beside
from runtime.containers.place import (
    AGENT,
    CONFIGURED,
    CREW,
    CURRENT,
    INSTANCE,
    LAYOUT,
    SERVICE,
    WORKSPACE,
    digest_of,
    held,
    limits_of,
)
from runtime.runs.job import Failed
from runtime.sandbox.boundary import MIB, Limits

MOST: Final = 8  # services of a crew
PATIENCE: Final = 90.0  # seconds for a service to become healthy
SETTLING: Final = 0.3  # seconds
EVERY, LONGEST, TRIES = 1.0, 30.0, 3
"""Seconds between two health checks without a setting, seconds of one check, and the checks that may fail."""
KEPT: Final = 500  # bytes of what a look has said last
PROCESSES: Final = 512
# What images of databases do before they become their own user, and no more.
_RIGHTS: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
_starting: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class CrewServices:
    """The services of one crew, in its order. `secrets`: values of the credentials that they name, by name."""

    services: tuple[Service, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory_mb: int = 4096
    cpus: float = 2.0

    def hosts(self) -> list[str]:
        """For the container's list of hosts: each service by its name."""
        return [f"{service.name}:{address_of(at)}" for at, service in enumerate(self.services)]


def address_of(number: int) -> str:
    return f"127.0.1.{number + 1}"


@dataclass(frozen=True, slots=True)
class _Whose:
    instance: str
    workspace_id: str
    crew_id: str

    def name(self, service: str) -> str:
        return f"crewship-{self.instance}-{self.crew_id}-service-{service}"

    def volume(self, name: str) -> str:
        return f"crewship-{self.instance}-{self.crew_id}-volume-{name}"

    def labels(self) -> dict[str, str]:
        return {INSTANCE: self.instance, WORKSPACE: self.workspace_id, CREW: self.crew_id}


async def beside(
    engine: ContainerEngine, crew: CrewServices, instance: str, workspace_id: str, crew_id: str, limits: Limits
) -> list[Beside]:
    """Starts all services and waits until they are healthy. Raises Failed, with the name of the service."""
    return list(await asyncio.gather(*_all(engine, crew, _Whose(instance, workspace_id, crew_id), limits)))


async def not_running(
    engine: ContainerEngine, crew: CrewServices, instance: str, workspace_id: str, crew_id: str, limits: Limits
) -> list[str]:
    """Starts all services, as `beside` does, and returns the reasons of those that do not run."""
    try:
        made = _all(engine, crew, _Whose(instance, workspace_id, crew_id), limits)
    except Failed as failed:
        return [str(failed)]
    results = await asyncio.gather(*made, return_exceptions=True)
    for unexpected in (each for each in results if isinstance(each, BaseException) and not isinstance(each, Failed)):
        raise unexpected
    return [str(each) for each in results if isinstance(each, Failed)]


def _all(
    engine: ContainerEngine, crew: CrewServices, whose: _Whose, limits: Limits
) -> list[Coroutine[Any, Any, Beside]]:
    if len(crew.services) > MOST:
        raise Failed(f"A crew has at most {MOST} services")
    return [_one(engine, crew, service, whose, limits, at) for at, service in enumerate(crew.services)]


async def _one(
    engine: ContainerEngine, crew: CrewServices, service: Service, whose: _Whose, limits: Limits, at: int
) -> Beside:
    name = whose.name(service.name)
    try:
        async with _starting.setdefault((engine.address, name), asyncio.Lock()):
            pid, ports = await _started(engine, crew, service, whose, limits)
    except Failed as failed:
        raise Failed(f"The service {service.name} does not run: {failed}") from None
    return Beside(address_of(at), ports, pid)


async def _started(
    engine: ContainerEngine, crew: CrewServices, service: Service, whose: _Whose, limits: Limits
) -> tuple[int, tuple[int, ...]]:
    name, configuration = whose.name(service.name), _configuration(crew, service, whose, limits)
    wanted = configuration["Labels"]
    found = await engine.inspect(name)
    if found is not None and (found["Config"].get("Labels") or {}) != {**found["Config"]["Labels"], **wanted}:
        if found["Config"]["Labels"].get(INSTANCE) != whose.instance:
            raise Failed("a container with this name does not belong to this server")
        await engine.remove(str(found["Id"]))
        found = None
    fresh = found is None or not found["State"]["Running"]
    if found is None:
        if await engine.image(service.image) is None:
            await engine.pull(service.image)
        for volume in service.volumes or ():
            await engine.keep_volume(whose.volume(volume.name), whose.labels())
        try:
            await engine.create(name, configuration)
        except EngineRefused as refused:
            if not refused.taken:  # else another process makes the same
                raise
    if fresh:
        await engine.start(name)
        await _healthy(engine, name, service)
    found = await engine.inspect(name)
    if found is None or not found["State"]["Running"]:
        said = (await engine.log(name, 5))[-KEPT:].strip() if found is not None else ""
        raise Failed(f"it has ended{': ' + said if said else ''}")
    return int(found["State"]["Pid"]), _ports(service, found)


async def _healthy(engine: ContainerEngine, container: str, service: Service) -> None:
    """The health is checked from here, because not every engine checks it. Without a check a service counts as healthy
    after a moment, in which a broken one exits.
    """
    check = service.healthcheck
    if check is None or check.test[0] == "NONE":
        await asyncio.sleep(SETTLING)
        return
    argv = ["/bin/sh", "-c", check.test[-1]] if check.test[0] == "CMD-SHELL" else list(check.test)
    argv = argv[1:] if argv[0] == "CMD" else argv
    interval, most = _seconds(check.interval, EVERY), _seconds(check.timeout, LONGEST)
    ends = time.monotonic() + min(PATIENCE, _seconds(check.start_period, 0.0) + (check.retries or TRIES) * interval)
    while True:
        said = bytearray()
        try:
            async with (
                asyncio.timeout(min(most, LONGEST)),
                engine.running(container, argv, user="", workdir="/", environment={}) as running,
            ):
                async for _, piece in running.pieces():
                    said = (said + piece)[-KEPT:]
                if await running.exit_code() == 0:
                    return
        except TimeoutError:
            pass
        except EngineRefused:
            found = await engine.inspect(container)
            if found is None or not found["State"]["Running"]:  # what it has said last says more
                return
            raise
        if time.monotonic() >= ends:
            raise Failed(f"it is not healthy: {said.decode(errors='replace').strip()}")
        await asyncio.sleep(min(interval, EVERY))


def _seconds(duration: str | None, default: float) -> float:
    return parse_duration(duration) / 1e9 if duration else default


def _ports(service: Service, container: Mapping[str, Any]) -> tuple[int, ...]:
    """The TCP ports that the service or its image declares."""
    told: Sequence[str] = [*(service.ports or ()), *(container["Config"].get("ExposedPorts") or {})]
    numbers = {port.removesuffix("/tcp") for port in told}
    return tuple(sorted({int(each) for each in numbers if each.isdigit() and 0 < int(each) < 1 << 16}))


def _configuration(crew: CrewServices, service: Service, whose: _Whose, limits: Limits) -> dict[str, Any]:
    missing = [name for name in service.env_refs or () if name not in crew.secrets]
    if missing:
        raise Failed(f"no active credential of the crew is named {missing[0]}")
    variables = {**(service.env or {}), **{name: crew.secrets[name] for name in service.env_refs or ()}}
    mounts = [
        {"Type": "volume", "Source": whose.volume(volume.name), "Target": volume.mount}
        for volume in service.volumes or ()
    ]
    made: dict[str, Any] = {
        "Image": service.image,
        "Env": [f"{name}={value}" for name, value in sorted(variables.items())],
        "HostConfig": {
            "Init": True,
            "Privileged": False,
            "CapDrop": ["ALL"],
            "CapAdd": list(_RIGHTS),
            "SecurityOpt": ["no-new-privileges"],
            "NetworkMode": "none",
            "IpcMode": "private",
            **held(crew.memory_mb * MIB, PROCESSES, crew.cpus),
            "Mounts": mounts,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "Ulimits": [
                {"Name": name, "Soft": most, "Hard": most} for name, most in limits_of(limits) if name != "fsize"
            ],
        },
    }
    if service.command:
        made["Cmd"] = list(service.command)
    configured = digest_of({**made, "Image": "", "Of": service.image})
    labels = {AGENT: "", SERVICE: service.name, CONFIGURED: configured, LAYOUT: CURRENT}
    return {**made, "Labels": whose.labels() | labels}
