"""The jobs of runs of routines: one carries a run on, one records for its trigger how it ended. The interpreter is
loaded with the first run.
"""

from resolvers.kernel import Context
from resolvers.staff.runs.routine_steps import STEP_ENDED, RoutineRunOfStep
from resolvers.work.routine_runs.advancing import ADVANCE, SETTLE, RoutineRunToAdvance
from runtime.engine.background import Work, carries


@carries(ADVANCE)
async def advance(work: Work, data: RoutineRunToAdvance) -> None:
    from runtime.work.routines.carrying import carry_on

    await carry_on(work, data.run_id)


@carries(STEP_ENDED)
async def step_ended(work: Work, data: RoutineRunOfStep) -> None:
    async def enqueue(ctx: Context) -> None:
        ctx.enqueue(ADVANCE, run_id=data.routine_run_id)

    await work.write("go on", enqueue)


@carries(SETTLE)
async def settle_trigger(work: Work, data: RoutineRunToAdvance) -> None:
    from runtime.work.routine_triggers import settle

    await work.write("settle", lambda ctx: settle(ctx, data.run_id))
