"""What a process does that makes recurring issues, and may be killed: its time is what a file says, and it looks for
what is due whenever that changes.
"""

import asyncio
from pathlib import Path
from typing import Any

from resolvers.instance.running import instance
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.store.database import database
from resolvers.work.recurring_issues.firing import FIRE, look
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.runtime.doubles import Wardrobe, speaks
from tests.world import settings_for


async def work_on(given: dict[str, Any]) -> None:
    """Until killed."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    settings, directory = settings_for(given["url"], Path(given["directory"])), Path(given["directory"])
    start(settings, Passwords(Cost(1, 64, 1)))
    instance.clock.source = lambda: float((directory / "now").read_text())
    instance.clock.follow = lambda *_: False  # type: ignore[method-assign]  # the file's time, and not the database's
    await database.open(given["url"], size=10)
    jobs = tuple(each for each in carried() if each.job is FIRE)
    runtime = Runtime(settings, Wardrobe(speaks), jobs=jobs, rhythm=Rhythm(**given["rhythm"]))
    await runtime.start()
    seen, number = 0.0, 0
    while True:
        now = instance.clock.seconds()
        if now > seen:
            await look(across_workspaces, instance.clock.now())
            seen, number = now, number + 1
            with (directory / "looked").open("a") as lines:
                lines.write(f"{now}\n")
        await asyncio.sleep(0.01)
