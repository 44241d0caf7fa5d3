"""What a worker that may be killed does: agents wait until let go, then have one effect that can be counted."""

import asyncio
import os
from pathlib import Path
from typing import Any

from models.staff.runs import ChatEventType
from resolvers.kernel.store.database import database
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from runtime.engine.supervisor import Timing
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import Wardrobe
from tests.world import settings_for


class Waiting:
    """`directory`: where lines are left, and what lets go is looked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _line(self, name: str, text: str) -> None:
        """One write, which a kill cannot cut in two."""
        descriptor = os.open(self._directory / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            os.close(descriptor)

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        async def waits() -> str:
            self._line("reached", job.run_id)
            while not (self._directory / "let_go").exists():
                await asyncio.sleep(0.02)
            return ""

        async def acts() -> str:
            self._line("effects", job.run_id)
            return ""

        async def says() -> str:
            await sink.emit(ChatEventType.text, "Done")
            return ""

        await sink.step("wait", waits)
        await sink.step("act", acts, acts=True)
        await sink.step("say", says)
        return Outcome()


async def work_on(given: dict[str, Any]) -> None:
    """Until killed."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    settings = settings_for(given["url"], Path(given["directory"]), max_concurrent_runs=8)
    start(settings, Passwords(Cost(1, 64, 1)))
    await database.open(given["url"], size=10)
    does = Waiting(Path(given["effects"]))
    runtime = Runtime(
        settings, Wardrobe(does), timing=Timing(**given["timing"]), jobs=carried(), rhythm=Rhythm(**given["rhythm"])
    )
    await runtime.start()
    await asyncio.Event().wait()
