"""Containers of places: found, or made by whichever process is first."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from weakref import WeakValueDictionary

from runtime.containers.engine import ContainerEngine, EngineRefused
from runtime.containers.place import CONFIGURED, LAYOUT, ContainerPlace
from runtime.runs.job import Failed, NoContainer
from runtime.sandbox.boundary import Limits

TRIES, PAUSE = 10, 0.1
"""Looks for a container that another process is making, and seconds between them."""
_making: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
Tell = Callable[[str, str, str | None, int], Awaitable[None]]
"""A step, its status, an error, and milliseconds."""
_NO_IMAGE: Final = "The image {} is not on the container engine"


async def ensure(
    engine: ContainerEngine, place: ContainerPlace, limits: Limits, tell: Tell | None = None
) -> tuple[str, int]:
    """Returns the running container of a place, and the number of its first process. It reuses a container of any
    process unless its configuration differs. `tell` is called for a new container.
    """
    async with _making.setdefault((engine.address, place.name), asyncio.Lock()):
        return await _ensured(engine, place, limits, tell)


async def _ensured(
    engine: ContainerEngine, place: ContainerPlace, limits: Limits, tell: Tell | None
) -> tuple[str, int]:
    kind = await engine.known_kind()
    keep_id, owned = kind.rootless and kind.name == "podman", kind.name == "docker"
    configuration = place.configuration(limits, keep_id=keep_id, owned=owned)
    wanted = configuration["Labels"][CONFIGURED]
    for tried in range(TRIES):
        found = await engine.inspect(place.name)
        if found is None:
            await _made(engine, place, configuration, tell, last=tried == TRIES - 1)
            continue
        labels = found["Config"].get("Labels") or {}
        whose = {name: value for name, value in place.labels(wanted).items() if name not in (CONFIGURED, LAYOUT)}
        if any(labels.get(name) != value for name, value in whose.items()):
            raise Failed(f"The container {place.name} does not belong to this server")
        if labels.get(CONFIGURED) == wanted and found["State"]["Running"]:
            return str(found["Id"]), int(found["State"]["Pid"])
        if labels.get(CONFIGURED) != wanted or found["State"]["Status"] not in ("created", "configured"):
            await engine.remove(str(found["Id"]))
            continue
        await engine.start(str(found["Id"]))
    raise Failed("The crew's container does not keep running")


async def _made(
    engine: ContainerEngine,
    place: ContainerPlace,
    configuration: Mapping[str, object],
    tell: Tell | None,
    *,
    last: bool,
) -> None:
    """Or left to another process, which makes the same at this moment: then it is looked for again."""
    since = time.monotonic()
    try:
        if tell is not None:
            await tell("container_create", "started", None, 0)
        container = await engine.create(place.name, dict(configuration))
        try:
            await engine.start(container)
        except EngineRefused:
            await engine.remove(container)
            raise
    except EngineRefused as refused:
        why = _NO_IMAGE.format(place.crew.image) if refused.status == 404 else str(refused)
        if refused.taken and not last:
            await asyncio.sleep(PAUSE)
            return
        if tell is not None:
            await tell("container_create", "failed", why, 0)
        raise NoContainer(why, refused.code) from None
    if tell is not None:
        took = int((time.monotonic() - since) * 1000)
        await tell("container_create", "completed", None, took)
        if place.crew.environment:
            await tell("containerEnv_apply", "completed", None, 0)
        await tell("ready", "completed", None, took)
