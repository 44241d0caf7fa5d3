"""The job that carries a run of a routine on. The interpreter is loaded with the first run."""

from resolvers.kernel import Context
from resolvers.staff.runs.routine_steps import STEP_ENDED, RoutineRunOfStep
from resolvers.work.routine_runs.advancing import ADVANCE, RoutineRunToAdvance
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
