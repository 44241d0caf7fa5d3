"""What a worker that may be killed does: each run calls one tool that somebody has to consent to, and has one effect
outside that somebody can count.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from resolvers.kernel.store.database import database
from resolvers.rules.redaction import Redactor
from runtime.adapters.loop import AgentLoop
from runtime.engine.service import Runtime
from runtime.engine.supervisor import Timing
from runtime.runs.consent import Approvals
from runtime.runs.job import Job, Outcome, Sink
from runtime.runs.prompt import Prompt
from tests.runtime.doubles import Wardrobe
from tests.runtime.test_consent import Model, Result
from tests.world import settings_for


class Marks:
    """Lines that are left for the test, and files by which it holds a worker at a place."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, name: str, run_id: str) -> None:
        """One write, which a kill cannot cut in two."""
        descriptor = os.open(self._directory / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{run_id}\n".encode())
        finally:
            os.close(descriptor)

    async def pass_by(self, place: str, run_id: str) -> None:
        self.note(place, run_id)
        while (self._directory / f"hold_{place}").exists():
            await asyncio.sleep(0.01)


class Deploy:
    name, description = "deploy", "Deploys"
    parameters: dict[str, Any] = {"type": "object", "properties": {}}

    def __init__(self, marks: Marks, run_id: str) -> None:
        self._marks, self._run_id = marks, run_id

    async def run(self, arguments: dict[str, Any]) -> Result:
        self._marks.note("effects", self._run_id)
        await self._marks.pass_by("acting", self._run_id)
        return Result("deployed")


class Deploying:
    def __init__(self, directory: Path) -> None:
        self._marks = Marks(directory)

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        await self._marks.pass_by("taken", job.run_id)
        loop = AgentLoop(
            "test",
            Model("deploy", {"ref": job.run_id}, []),
            lambda job: Prompt("", (), job.prompt),
            tools={"deploy": Deploy(self._marks, job.run_id)},
            scan=lambda text: None,
            redactor=Redactor([]),
            consent=Approvals(),
        )
        return await loop.run(job, sink)


async def work_on(given: dict[str, Any]) -> None:
    """Until killed."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    settings = settings_for(given["url"], Path(given["directory"]), max_concurrent_runs=8)
    start(settings, Passwords(Cost(1, 64, 1)))
    await database.open(given["url"], size=6)
    runtime = Runtime(settings, Wardrobe(Deploying(Path(given["marks"]))), timing=Timing(**given["timing"]))
    await runtime.start()
    await asyncio.Event().wait()
