"""Workers in this process, and adapters that fail or hang: what tests of the supervisor stand on."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from runtime.engine.supervisor import Supervisor, Timing
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import Does, E, LocalEngine, Wardrobe, says, speaks

QUICK = Timing(lease=2.0, extend=0.3, poll=0.1, begin=1.0, patience=0.5, watch=0.2)
DONE = {"type": "done", "content": ""}


class Shop:
    """Workers in this process, each with an engine of its own."""

    def __init__(self) -> None:
        self.open: list[Supervisor] = []

    async def worker(
        self,
        does: Does = speaks,
        *,
        slots: int = 8,
        timing: Timing = QUICK,
        engine: LocalEngine | None = None,
        word: str = "",
        begins: Callable[[Sink], Awaitable[None]] | None = None,
    ) -> Supervisor:
        made = Supervisor(engine or LocalEngine(), Wardrobe(does, word, begins), slots=slots, timing=timing)
        await made.start()
        self.open.append(made)
        return made

    async def kill(self, worker: Supervisor) -> None:
        """As kill -9 does: nothing of it runs on, and nobody is told."""
        self.open.remove(worker)
        for off in worker._off:
            off()
        tasks = [*worker._loops, *worker._tasks, *worker._engine.tasks]  # type: ignore[attr-defined]
        for held in worker._held.values():
            if held.sink is not None:
                held.sink.fail(RuntimeError("killed"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def never() -> asyncio.Event:
    return asyncio.Event()


def failing(error: Exception) -> Does:
    async def does(job: Job, sink: Sink) -> Outcome:
        await says(sink, "partly")
        raise error

    return does


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Hanging:
    """Says something and hangs; then cleans up as it likes."""

    def __init__(self, *, stubborn: bool = False, mute: bool = False) -> None:
        self.reached, self.cancelled = asyncio.Event(), asyncio.Event()
        self.stubborn, self.mute, self.late = stubborn, mute, list[BaseException]()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        async def body() -> None:
            if not self.mute:
                await sink.emit(E.text, "partly")
            self.reached.set()
            while True:
                try:
                    await never().wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    if not self.stubborn:
                        raise
                    await self._goes_on(sink)

        await sink.step("hangs", body)
        return Outcome()

    async def _goes_on(self, sink: Sink) -> None:
        for _ in range(40):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
            try:
                await sink.emit(E.text, "zombie")
            except Exception as error:
                self.late.append(error)
                raise
