"""What a worker that may be killed does with the jobs of the yard and the clocks of the tower."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

from resolvers.kernel.store.database import database
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.jobs.tower import named
from tests.jobs.yard import YARD
from tests.runtime.doubles import Wardrobe, speaks
from tests.world import settings_for


async def work_on(given: dict[str, Any]) -> None:
    """Until killed, or told to end."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    settings = settings_for(given["url"], Path(given["directory"]))
    start(settings, Passwords(Cost(1, 64, 1)))
    while True:
        with contextlib.suppress(Exception):  # the database may be away
            await database.open(given["url"], size=30)  # many of them stand in a transaction
            break
        await asyncio.sleep(0.1)
    clocks, rhythm = named(*given["clocks"]), Rhythm(**given["rhythm"])
    runtime = Runtime(settings, Wardrobe(speaks), jobs=YARD, clocks=clocks, rhythm=rhythm)
    await runtime.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await runtime.stop()
