"""Jobs of memories: consolidation, started by people and every six hours."""

from datetime import timedelta
from functools import partial

from resolvers.oversight.memory.consolidation import (
    CONSOLIDATE,
    CONSOLIDATE_CREW,
    LOOK,
    SINCE,
    CrewConsolidated,
    OfConsolidation,
    OfScheduled,
    complete,
    crews_of,
    enqueue_scheduled,
)
from resolvers.oversight.memory.deriving import consolidate_quietly
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

PATIENCE = 180.0
"""Seconds for a call of a model, and what is written of it."""
LONGEST = timedelta(minutes=10)


@carries(CONSOLIDATE)
async def consolidated(work: Work, data: OfConsolidation) -> None:
    """Crew by crew, for ten minutes: each is a call of a model, and one that fails keeps no other from its turn."""
    crews = await work.read(lambda ctx: crews_of(ctx, data.crew_id))
    begun, ran, rules = work.now, 0, 0
    for crew_id in crews:
        if work.now > begun + LONGEST:
            break
        told = {"crew_id": crew_id, "since": int(data.since), "by_hand": True}
        outcome = await work.call(f"crew {crew_id}", partial(_crew, work.workspace_id, told), timeout=PATIENCE)
        ran, rules = ran + outcome.run, rules + outcome.rules
    await work.write("complete", lambda ctx: complete(ctx, data.worker_id, ran, rules))


@carries(CONSOLIDATE_CREW)
async def consolidated_crew(work: Work, data: OfScheduled) -> None:
    told = {"crew_id": data.crew_id, "since": int(SINCE.total_seconds())}
    await work.call("consolidate", partial(_crew, work.workspace_id, told), timeout=PATIENCE)


async def _crew(workspace_id: str, told: dict[str, object], key: str) -> CrewConsolidated:
    return await consolidate_quietly(workspace_id, told)


@ticks(LOOK)
async def look(tick: Tick) -> None:
    after = ""
    while after := await tick.write(partial(_enqueue, after)):
        pass


async def _enqueue(after: str, rows: object) -> str:
    return await enqueue_scheduled(rows, after)  # type: ignore[arg-type]
