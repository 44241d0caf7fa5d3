"""Records for the schedule or the webhook of a run how it ended."""

from sqlmodel import col

from models.work.routine_runs import RoutineRun, RoutineTrigger
from resolvers.kernel import Context
from resolvers.work.routine_schedules.firing import FIRE, WAKE
from resolvers.work.routine_schedules.outcomes import settle_schedule
from resolvers.work.routine_webhooks.deliveries import settle_webhook


async def settle(ctx: Context, run_id: str) -> None:
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).first()
    if run is None:
        return
    if run.schedule_id is not None:
        if run.triggered_via is RoutineTrigger.wake_check:
            ctx.enqueue(WAKE, schedule_id=run.schedule_id)
        elif await settle_schedule(ctx, run):
            ctx.enqueue(FIRE, schedule_id=run.schedule_id)
    if run.webhook_id is not None:
        await settle_webhook(ctx, run)
