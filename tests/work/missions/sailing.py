"""What a worker does that may be killed or told to stop: agents carry out the script of their task, and leave a mark.

The script is the last line of the task that is JSON. The mark is a file under the name of the task and the run: whoever
makes it twice for one run has made one, as receivers do that know a key, and a second run of a task leaves another one.
"""

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from crewship.process.process import start
from crewship.process.wakeups import PostgresWakeups
from resolvers.instance.passwords import Cost, Passwords
from resolvers.kernel.store.bus import bus
from resolvers.kernel.store.database import database
from runtime.adapters.scripted import ScriptedAdapter
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from runtime.engine.supervisor import Timing
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import Wardrobe
from tests.world import settings_for

REPEATED = "repeated"
CARRIED = tuple(each for each in carried() if each.job.name.startswith(("missions.", "assignments.")))
"""Loaded once, for all workers that are forked."""


def script(title: str, *steps: dict[str, Any], seconds: float = 0.0) -> str:
    """For the description of a task. `seconds` pass before and after the mark is left."""
    return json.dumps({"mark": title, "seconds": seconds, "script": steps})


class Sailor:
    """`directory`: where marks are left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        given = json.loads([line for line in job.prompt.splitlines() if line.startswith('{"mark": ')][-1])

        async def marks() -> None:
            await asyncio.sleep(given["seconds"])
            await asyncio.to_thread(self._mark, f"{given['mark']}.{job.run_id}")
            await asyncio.sleep(given["seconds"])

        await sink.step("mark", marks)
        return await ScriptedAdapter().run(replace(job, prompt=json.dumps({"script": given["script"]})), sink)

    def _mark(self, name: str) -> None:
        try:
            os.close(os.open(self._directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            with (self._directory / REPEATED).open("a") as repeated:
                repeated.write(f"{name}\n")


async def work_on(given: dict[str, Any]) -> None:
    """Until killed, or told to stop by SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = settings_for(given["url"], Path(given["directory"]), max_concurrent_runs=given["slots"])
    passwords = Passwords(Cost(1, 64, 1))
    start(settings, passwords)
    await database.open(given["url"], size=10)
    await bus.open(PostgresWakeups(given["url"]))
    does = Sailor(Path(given["marks"]))
    timing, rhythm = Timing(**given["timing"]), Rhythm(**given["rhythm"])
    runtime = Runtime(settings, Wardrobe(does), timing=timing, jobs=CARRIED, rhythm=rhythm)
    await runtime.start()
    await stop.wait()
    await runtime.stop()
    await bus.close()
    await database.close()
    passwords.close()
