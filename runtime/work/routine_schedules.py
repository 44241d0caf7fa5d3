"""The clock of schedules of routines, and the jobs that start their runs."""

from resolvers.instance.telemetry import log
from resolvers.kernel.background.steps import Gone
from resolvers.work.routine_schedules.firing import (
    ATTEMPTS,
    FIRE,
    LOOK,
    WAKE,
    OfRoutineSchedule,
    fire,
    give_up,
    look,
    seen,
    wake_up,
)
from resolvers.work.routine_schedules.outcomes import woke
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@ticks(LOOK)
async def look_for_due(tick: Tick) -> None:
    await look(tick.write, tick.now)


@carries(FIRE)
async def start(work: Work, data: OfRoutineSchedule) -> None:
    """An occurrence that fails repeatedly counts as failed: the next one may succeed."""
    id = data.schedule_id
    occurrence = await work.read(lambda ctx: seen(ctx, id, work.now))
    if occurrence is None:
        return
    try:
        await work.write("fire", lambda ctx: fire(ctx, id, occurrence))
    except Gone:
        raise
    except Exception as error:
        if work.attempt < ATTEMPTS:
            raise
        log.error("an occurrence of a schedule was not started", schedule=id, error=type(error).__name__)
        await work.write("give up", lambda ctx: give_up(ctx, id, occurrence))


@carries(WAKE)
async def go_on(work: Work, data: OfRoutineSchedule) -> None:
    id = data.schedule_id
    outcome = await work.read(lambda ctx: woke(ctx, id))
    occurrence = None if outcome is None else await work.read(lambda ctx: seen(ctx, id, work.now, woken=True))
    if outcome is not None and occurrence is not None:
        await work.write("wake", lambda ctx: wake_up(ctx, id, occurrence, outcome))
