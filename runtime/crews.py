"""Builds of crews' images, and containers that are nobody's any more."""

import asyncio
import contextlib
from datetime import timedelta

from resolvers.crews.building import BUILD, OfBuild, Plan, advance, begin, complete, crew_of, fail
from resolvers.crews.containers import REMOVE_CONTAINERS, overdue
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel import Refusal
from runtime.background import Work, carries
from runtime.clocks import Tick, ticks
from runtime.containers.choice import EngineContainers
from runtime.job import Failed

LONGEST = 1800.0  # seconds of a build
LAST_ATTEMPT = 3
NO_ENGINE = "No container engine is configured where builds are made"
FAILED = "The build has failed, for a reason that the server's log tells"


@ticks(REMOVE_CONTAINERS)
async def remove_containers(tick: Tick) -> None:
    """What a killed server has left is among them: a container is known by its labels, and by nothing in memory."""
    containers = instance.containers
    if not isinstance(containers, EngineContainers):
        return
    try:
        await containers.remove_builds(tick.now - timedelta(seconds=2 * LONGEST))
        there = await containers.kept()
        for container in await tick.write(lambda rows: overdue(rows, there, tick.now)) if there else ():
            await containers.engine.remove(container)
    except Failed as failed:
        log.warning("containers are not looked after", reason=str(failed))


@carries(BUILD)
async def build(work: Work, data: OfBuild) -> None:
    """What an attempt that died has said is not said again; what it has made is made anew."""
    crew = await work.read(lambda ctx: crew_of(ctx, data))
    if crew is None:
        return
    try:
        plan = Plan.of(crew)
        async with asyncio.timeout(LONGEST):
            if plan is not None:
                await _made(work, data, plan)
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
        await work.write("complete", lambda ctx: complete(ctx, data, plan))
        return
    await work.write("fail", lambda ctx: fail(ctx, data, why))


async def _made(work: Work, data: OfBuild, plan: Plan) -> None:
    containers = instance.containers
    if not isinstance(containers, EngineContainers):
        raise Failed(NO_ENGINE)
    if await containers.engine.image(plan.tag) is not None:
        return
    steps = plan.steps
    await work.write("begin", lambda ctx: begin(ctx, data, steps))
    number = 0
    async with contextlib.aclosing(containers.builder(plan, data.build_id).steps()) as made:
        async for _ in made:
            number += 1
            await work.write(f"step {number}", lambda ctx, at=number: advance(ctx, data, at, steps))  # type: ignore[misc]
