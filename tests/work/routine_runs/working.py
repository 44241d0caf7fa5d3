"""A worker that carries runs of routines on, and may be killed."""

import asyncio
from pathlib import Path
from typing import Any

from resolvers.kernel.store.database import database
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.runtime.doubles import Wardrobe, speaks
from tests.world import settings_for


async def work_on(given: dict[str, Any]) -> None:
    """Until killed."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    settings = settings_for(given["url"], Path(given["directory"]), hooks_allow_private=True)
    start(settings, Passwords(Cost(1, 64, 1)))
    await database.open(given["url"], size=10)
    runtime = Runtime(settings, Wardrobe(speaks), jobs=carried(), rhythm=Rhythm(**given["rhythm"]))
    await runtime.start()
    await asyncio.Event().wait()
