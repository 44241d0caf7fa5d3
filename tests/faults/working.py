"""What a worker that may be killed does: runs of several steps, each with an effect outside that somebody can count."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from models.staff.runs import ChatEventType
from resolvers.kernel.store.database import database
from runtime.engine.service import Runtime
from runtime.engine.supervisor import Timing
from runtime.runs.job import Job, Outcome, Sink
from runtime.runs.outfit import Fitted
from tests.runtime.doubles import WordGuard
from tests.world import settings_for


class Counting:
    """`prompt` is JSON: how many rounds, and how long each part of one takes. A round: a quiet step, one that says
    something, one that acts.
    """

    name = "counting"

    def __init__(self, effects: Path) -> None:
        self._effects = effects

    async def run(self, job: Job, sink: Sink) -> Outcome:
        plan = json.loads(job.prompt)
        for n in range(plan["rounds"]):
            await self._round(job, sink, n, plan["seconds"])
        return Outcome()

    async def _round(self, job: Job, sink: Sink, n: int, seconds: float) -> None:
        async def thinks() -> int:
            await asyncio.sleep(seconds)
            return n

        async def says() -> str:
            for letter in "abcd":
                await sink.emit(ChatEventType.text, f"{n}{letter} ")
                await asyncio.sleep(seconds / 20)
            return f"{n}"

        async def acts() -> int:
            self._note(job.run_id, n)
            await asyncio.sleep(seconds / 10)
            return n

        assert await sink.step(f"think {n}", thinks) == n
        assert await sink.step(f"say {n}", says) == str(n)
        assert await sink.step(f"act {n}", acts, acts=True) == n

    def _note(self, run_id: str, n: int) -> None:
        """One write, which a kill cannot cut in two."""
        descriptor = os.open(self._effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{run_id} {n}\n".encode())
        finally:
            os.close(descriptor)


def said(rounds: int) -> str:
    return "".join(f"{n}{letter} " for n in range(rounds) for letter in "abcd")


class Outfit:
    def __init__(self, effects: Path) -> None:
        self._effects = effects

    async def fit(self, job: Job) -> Fitted:
        return Fitted(Counting(self._effects), WordGuard())


async def work_on(given: dict[str, Any]) -> None:
    """Until killed."""
    from crewship.process.process import start
    from resolvers.instance.passwords import Cost, Passwords

    settings = settings_for(given["url"], Path(given["directory"]), max_concurrent_runs=given["slots"])
    start(settings, Passwords(Cost(1, 64, 1)))
    await database.open(given["url"], size=6)
    runtime = Runtime(settings, Outfit(Path(given["effects"])), timing=Timing(**given["timing"]))
    await runtime.start()
    await asyncio.Event().wait()
