"""What a worker that may be killed does: runs without an end, and jobs, one of which waits where a file says so."""

import asyncio
from pathlib import Path
from typing import Any

from resolvers.kernel import Context
from resolvers.kernel.store.database import database
from resolvers.work.missions import calling_off
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from runtime.engine.supervisor import Timing
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import Wardrobe, says
from tests.world import settings_for

RHYTHM = Rhythm(sweep=0.2, patience=0.5, measure=0.5, retry=0.1)


async def endless(job: Job, sink: Sink) -> Outcome:
    await says(sink, "At work")
    await asyncio.sleep(3600)
    return Outcome()


async def work_on(given: dict[str, Any]) -> None:
    """Until killed."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    hold, call_off = Path(given["hold"]), calling_off.call_off_given

    async def held(ctx: Context, run_id: str) -> None:
        while hold.exists():
            hold.with_name("reached").touch()
            await asyncio.sleep(0.02)
        await call_off(ctx, run_id)

    calling_off.call_off_given = held
    settings = settings_for(given["url"], Path(given["directory"]), max_concurrent_runs=4)
    start(settings, Passwords(Cost(1, 64, 1)))
    await database.open(given["url"], size=8)
    timing = Timing(lease=1.0, extend=0.2, poll=0.05)
    await Runtime(settings, Wardrobe(endless), timing=timing, jobs=carried(), rhythm=RHYTHM).start()
    await asyncio.Event().wait()
