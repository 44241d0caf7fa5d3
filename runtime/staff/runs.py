"""Bodies of the jobs of runs: behind those that have ended with the right to them, and of schedules."""

from resolvers.instance import collector
from resolvers.instance.running import instance
from resolvers.staff.runs.ending import SETTLE, settle
from resolvers.staff.runs.exporting import EXPORT, FOLLOW, MOST_SPANS, OfRun, enqueue_exports, traced
from resolvers.staff.runs.passing_on import RunToPassOn
from resolvers.staff.runs.schedules import LOOK, START, OfScheduledAgent, look, start_scheduled
from resolvers.staff.runs.stuck import LOOK as LOOK_FOR_STUCK
from resolvers.staff.runs.stuck import NOTE, enqueue_stuck, note_stuck
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks
from runtime.staff import traces


@carries(SETTLE)
async def settled(work: Work, data: RunToPassOn) -> None:
    await work.write("settle", lambda ctx: settle(ctx, data.run_id))


@ticks(LOOK)
async def look_for_due(tick: Tick) -> None:
    await look(tick.write, tick.now)


@ticks(LOOK_FOR_STUCK)
async def look_for_stuck(tick: Tick) -> None:
    await tick.write(enqueue_stuck)


@carries(NOTE)
async def stuck(work: Work, data: RunToPassOn) -> None:
    await work.write("note", lambda ctx: note_stuck(ctx, data.run_id))


@carries(START)
async def scheduled(work: Work, data: OfScheduledAgent) -> None:
    await work.write("start", lambda ctx: start_scheduled(ctx, data.agent_id, work.now))


@ticks(FOLLOW, here=traces.has_collector)
async def follow_ends(tick: Tick) -> None:
    while await tick.write(enqueue_exports):
        pass


@carries(EXPORT)
async def export(work: Work, data: OfRun) -> None:
    """Retries if the collector is unreachable or busy; does not retry a refusal."""
    after = -1
    while traces.has_collector() and after < MOST_SPANS:
        found = await work.read(lambda ctx, after=after: traced(ctx, data, after))  # type: ignore[misc]
        if found is None or not found.spans:
            return
        part = list(traces.spans_of(found, content=instance.settings.otel_content))
        await work.call(f"export {after}", lambda _, part=part: traces.send(part), timeout=collector.TIME)  # type: ignore[misc]
        after = found.spans[-1].seq
