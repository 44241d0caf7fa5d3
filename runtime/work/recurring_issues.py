"""The clock of recurring issues, and the job that makes one issue."""

from resolvers.instance.telemetry import log
from resolvers.kernel.background.steps import Gone
from resolvers.work.recurring_issues.firing import ATTEMPTS, FIRE, LOOK, OfRecurringIssue, fire, look, skip
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@ticks(LOOK)
async def look_for_due(tick: Tick) -> None:
    await look(tick.write, tick.now)


@carries(FIRE)
async def make(work: Work, data: OfRecurringIssue) -> None:
    """An issue that fails repeatedly is skipped: the next one may succeed."""
    try:
        await work.write("fire", lambda ctx: fire(ctx, data.recurring_id, work.now, attempt=work.attempt))
    except Gone:
        raise
    except Exception as error:
        if work.attempt < ATTEMPTS:
            raise
        log.error("a recurring issue was not created", recurring_issue=data.recurring_id, error=type(error).__name__)
        await work.write("skip", lambda ctx: skip(ctx, data.recurring_id, work.now))
