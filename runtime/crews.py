"""Containers that are nobody's any more."""

from resolvers.crews.containers import REMOVE_CONTAINERS, overdue
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from runtime.clocks import Tick, ticks
from runtime.containers.choice import EngineContainers
from runtime.job import Failed


@ticks(REMOVE_CONTAINERS)
async def remove_containers(tick: Tick) -> None:
    """What a killed server has left is among them: a container is known by its labels, and by nothing in memory."""
    containers = instance.containers
    if not isinstance(containers, EngineContainers):
        return
    try:
        there = await containers.kept()
        for container in await tick.write(lambda rows: overdue(rows, there, tick.now)) if there else ():
            await containers.engine.remove(container)
    except Failed as failed:
        log.warning("containers are not looked after", reason=str(failed))
