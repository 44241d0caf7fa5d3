"""Builds of crews' images, and the removal of containers without an owner."""

import asyncio
import contextlib
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from resolvers.identity.caller import Caller
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel import Refusal
from resolvers.staff.crews.building import BUILD, BuildPlan, OfBuild, advance, begin, complete, crew_of, fail
from resolvers.staff.crews.containers import REMOVE_CONTAINERS, STOP, ContainersOfCrew, overdue
from resolvers.staff.crews.measuring import MEASURE, MOST, note_pending, report_containers
from resolvers.staff.crews.memories import RECORD, OfCrewMemory, record_quietly
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks
from runtime.runs.job import Failed

if TYPE_CHECKING:
    from runtime.containers.choice import EngineContainers

LONGEST = 1800.0  # seconds of a build
LONGEST_LOOK = 60.0  # seconds
LAST_ATTEMPT = 3
SERVICE = "runtime"
NO_ENGINE = "The process that runs builds has no container engine"
FAILED = "The build failed; the server's log has the reason"


def _engine() -> "EngineContainers | None":
    """The engine, if one is configured; only then are its modules loaded."""
    if instance.containers is None:
        return None
    from runtime.containers.choice import EngineContainers

    return instance.containers if isinstance(instance.containers, EngineContainers) else None


def has_engine() -> bool:
    return _engine() is not None


def _can_remove() -> bool:
    """A process without agents' work may have no engine where those with it have one: it leaves this to them."""
    return has_engine() or instance.settings.role != "api"


@ticks(REMOVE_CONTAINERS, here=_can_remove)
async def remove_containers(tick: Tick) -> None:
    """This includes containers of a killed server: labels identify a container, nothing in memory does."""
    containers = _engine()
    if containers is None:
        return await tick.write(lambda rows: note_pending(rows, {}))
    try:
        await containers.remove_builds(tick.now - timedelta(seconds=2 * LONGEST))
        there = await containers.kept()
        for container in await tick.write(lambda rows: overdue(rows, there, tick.now)) if there else ():
            await containers.engine.remove(container)
        volumes = await containers.kept_volumes()
        for volume in await tick.write(lambda rows: overdue(rows, volumes, tick.now, ends=False)) if volumes else ():
            await containers.engine.remove_volume(volume)
    except Failed as failed:
        log.warning("containers were not checked", reason=str(failed))


@ticks(MEASURE, here=has_engine)
async def measure(tick: Tick) -> None:
    """Each container is reported once, whichever process measures; an engine that does not answer reports nothing."""
    containers = _engine()
    if containers is None:
        return
    try:
        async with asyncio.timeout(LONGEST_LOOK):
            found, pending = await containers.measured(), await containers.pending()
    except (Failed, TimeoutError):
        return
    await tick.write(lambda rows: note_pending(rows, pending))
    of_workspaces: dict[str, list[dict[str, Any]]] = {}
    for workspace_id, told in found:
        of_workspaces.setdefault(workspace_id, []).append(told)
    for workspace_id, told_of_it in of_workspaces.items():
        with contextlib.suppress(Refusal):  # the workspace is gone, and soon its containers are
            await report_containers(Caller.service(SERVICE, workspace_id), {"containers": told_of_it[:MOST]})


@carries(STOP)
async def stop(work: Work, data: ContainersOfCrew) -> None:
    """If the engine does not answer, the job retries later; until then its containers remain."""
    containers = _engine()
    if containers is not None:
        workspace_id = work.workspace_id
        await work.call("stop", lambda _: containers.remove(workspace_id, data.crew_id), timeout=LONGEST_LOOK)


@carries(BUILD)
async def build(work: Work, data: OfBuild) -> None:
    """The messages of an attempt that died are not repeated; its work is."""
    crew = await work.read(lambda ctx: crew_of(ctx, data))
    if crew is None:
        return
    try:
        plan = BuildPlan.of(crew)
        hit = False
        async with asyncio.timeout(LONGEST):
            if plan is not None:
                hit = not await _made(work, data, plan)
    except (Failed, Refusal) as failed:
        why = str(failed)
    except TimeoutError:
        why = f"The build took more than {LONGEST / 60:.0f} minutes"
    except Exception:
        if work.attempt < LAST_ATTEMPT:
            raise
        log.exception("an image could not be built", crew_id=data.crew_id)
        why = FAILED
    else:
        await work.write("complete", lambda ctx: complete(ctx, data, plan, hit=hit))
        return
    await work.write("fail", lambda ctx: fail(ctx, data, why))


async def _made(work: Work, data: OfBuild, plan: BuildPlan) -> bool:
    """False if the engine has the image already."""
    containers = _engine()
    if containers is None:
        raise Failed(NO_ENGINE)
    if await containers.engine.image(plan.tag) is not None:
        return work.done("begin")  # by an attempt that died before it could say so
    await work.write("begin", lambda ctx: begin(ctx, data, plan))
    number, since = 0, time.monotonic()
    async with contextlib.aclosing(containers.builder(plan, data.build_id).steps()) as made:
        async for _ in made:
            number, took, since = number + 1, int((time.monotonic() - since) * 1000), time.monotonic()
            told = partial(advance, data=data, step=number, plan=plan, took=took)
            await work.write(f"step {number}", told)
    return True


@carries(RECORD)
async def recorded(work: Work, data: OfCrewMemory) -> None:
    record = partial(_record, work.workspace_id, data.crew_id)
    await work.call("record", record, timeout=LONGEST_LOOK)


async def _record(workspace_id: str, crew_id: str, key: str) -> None:
    await record_quietly(workspace_id, crew_id)
