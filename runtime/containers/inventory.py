"""The inventory of one crew on an engine: its containers, their limits and usage, and the digests of their images."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from resolvers.instance.ports import ContainerOfCrew, ImageDigests, PulledImage
from resolvers.staff.crews.building import CACHE
from runtime.containers.engine import ContainerEngine, EngineRefused
from runtime.containers.measuring import Cpu, cpu_percent_of, memory_of
from runtime.containers.place import AGENT, APART, CURRENT, LAYOUT, SERVICE, Apart
from runtime.runs.job import Failed
from runtime.sandbox.boundary import MIB

AT_ONCE: Final = 8
"""Containers that the engine is asked about at the same time."""
BUILT_HERE: Final = "The image was built on this server: rebuild it"
NOT_PULLED: Final = "The image {} is not on the container engine after it was pulled"
RUNNING: Final = "running"


def name_of(container: Mapping[str, Any]) -> str:
    return str((container.get("Names") or [container["Id"]])[0]).removeprefix("/")


def passes(container: Mapping[str, Any]) -> bool:
    """True if it was made for one use."""
    apart = container["Labels"].get(APART, "")
    return apart in set(Apart) and Apart(apart).passes


def of_agents(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without services, and without containers for one use: these do not stay."""
    return [each for each in found if SERVICE not in each["Labels"] and not passes(each)]


async def known(
    engine: ContainerEngine,
    found: Sequence[Mapping[str, Any]],
    before: Mapping[str, Cpu],
    *,
    measured: bool,
    inspected: bool,
) -> list[ContainerOfCrew]:
    """Containers by name. `before`: the processor times of an earlier look, by id."""
    at_once = asyncio.Semaphore(AT_ONCE)

    async def look(container: Mapping[str, Any]) -> ContainerOfCrew:
        id, runs = str(container["Id"]), container["State"] == RUNNING
        facts: dict[str, Any] = {}
        async with at_once:
            if measured and runs and (stats := await engine.stats(id)) is not None:
                percent = cpu_percent_of(stats, before.get(id))
                facts |= {"cpu_percent": percent, "memory_mb": memory_of(stats)}
            if inspected and (shown := await engine.inspect(id)) is not None:
                facts |= _made_with(shown, runs=runs)
        return _listed(container, facts)

    made = await asyncio.gather(*map(look, found))
    return sorted(made, key=lambda each: each.name)


def _listed(container: Mapping[str, Any], facts: Mapping[str, Any]) -> ContainerOfCrew:
    labels = container["Labels"]
    return ContainerOfCrew(
        id=str(container["Id"]),
        name=name_of(container),
        image=str(container.get("Image") or ""),
        state=str(container["State"]),
        agent_id=labels.get(AGENT, ""),
        service=labels.get(SERVICE, ""),
        passes=passes(container),
        current=labels.get(LAYOUT) == CURRENT,
        **facts,
    )


def _made_with(shown: Mapping[str, Any], *, runs: bool) -> dict[str, Any]:
    host = shown.get("HostConfig") or {}
    memory, cpus = int(host.get("Memory") or 0), int(host.get("NanoCpus") or 0)
    return {
        "started_at": _time_of(shown["State"].get("StartedAt")) if runs else None,
        "memory_limit_mb": memory // MIB if memory else None,
        "cpu_limit": cpus / 1_000_000_000 if cpus else None,
        "ports": tuple(sorted((shown.get("Config") or {}).get("ExposedPorts") or ())),
    }


def _time_of(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


async def digests(engine: ContainerEngine, found: Sequence[Mapping[str, Any]], image: str) -> ImageDigests:
    """Compares the oldest running one of these containers of agents. The registry is asked only if there is one, and
    its image has a digest.
    """
    begun = [each for each in found if each["State"] == RUNNING]
    if not begun:
        return ImageDigests()
    running = min(begun, key=lambda each: int(each["Created"]))
    id, have = str(running["Id"]), await engine.digests(str(running["ImageID"]))
    if not have or image.startswith(f"{CACHE}:"):
        return ImageDigests(id, have)
    await engine.image(image)  # refuses what is not the name of an image
    try:
        return ImageDigests(id, have, await engine.registry_digest(image))
    except EngineRefused:
        return ImageDigests(id, have)


async def refreshed(engine: ContainerEngine, found: Sequence[Mapping[str, Any]], image: str) -> PulledImage:
    """Raises Failed before anything is removed if the image cannot be pulled."""
    if image.startswith(f"{CACHE}:"):
        raise Failed(BUILT_HERE)
    await engine.image(image)  # refuses what is not the name of an image
    before = await engine.digests(image)
    await engine.pull(image)
    if await engine.image(image) is None:
        raise Failed(NOT_PULLED.format(image))
    after = await engine.digests(image)
    removed = sum([await engine.remove(str(each["Id"])) for each in found])
    return PulledImage(_first(before), _first(after), removed)


def _first(digests: Sequence[str]) -> str:
    return digests[0] if digests else ""
