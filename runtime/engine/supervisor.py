"""The runs of this process: it claims waiting and abandoned ones, extends their leases, and passes on cancellations.

A run is taken over when its lease ends, one by one and at any time: never "at boot", because another process may hold
it.

See ADR 17.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from resolvers.instance.telemetry import log
from resolvers.kernel.store.bus import ANYTHING, Topic, bus
from resolvers.staff.runs import work
from runtime.runs.engine import RunEngine
from runtime.runs.execution import CALLED_OFF, INTERRUPTED, MOST_LEASES, PATIENCE, Ending, Execution, HeldRun, Stop
from runtime.runs.outfit import Outfit
from runtime.runs.step_writer import StepWriter
from runtime.runs.turn import Lost

MOST_CANCELLED = 100  # runs that are called off in one look
REMEMBERED = 7 * 86400.0  # seconds that the engine keeps its records


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    lease: float = 30.0
    extend: float = 10.0
    poll: float = 5.0
    """The time between looks for waiting or abandoned runs, if no wake-up arrives and no lease ends before."""
    retry: float = 0.5
    """Between two tries to begin a run, and from a claim to the first look."""
    ask: float = 1.0
    """The time between looks for cancellations, if no wake-up arrives."""
    begin: float = 30.0
    """The time that the engine may take to begin a run."""
    patience: float = PATIENCE
    watch: float = 30.0
    """The time between counts of runs without a worker."""
    forget: float = 3600.0


class Supervisor:
    """`slots`: the number of concurrent runs; `max_tokens`: the limit of each, None for no limit."""

    def __init__(
        self,
        engine: RunEngine,
        outfit: Outfit,
        *,
        slots: int,
        timing: Timing | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._engine, self._outfit, self._slots = engine, outfit, slots
        self._timing, self._max_tokens = timing or Timing(), max_tokens
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._writer = StepWriter()
        self._held: dict[str, HeldRun] = {}
        self._until: dict[str, float] = {}  # when a lease ends, as far as this process knows
        self._wake, self._look, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._more = True  # whether runs may wait that there was no slot for
        self._next = 0.0  # seconds until the next look for runs
        self._failing: set[str] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._off: list[Callable[[], None]] = []

    @property
    def held(self) -> frozenset[str]:
        return frozenset(self._held)

    async def start(self) -> None:
        await self._engine.open(self.carry)
        self._off = [bus.on(Topic.queue, lambda _: self._wake.set()), bus.on(Topic.cancel, self._asked)]
        loops = (self._claiming(), self._keeping(), self._asking(), self._watching())
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Claims no more, stops live runs where they are, and returns the leases: other workers continue at once."""
        for off in self._off:
            off()
        await _cancelled(self._loops)
        claims = [held.claim for held in self._held.values()]
        await _cancelled(list(self._tasks))
        for held in list(self._held.values()):
            held.stop(Stop.shutdown)
            if not held.begun.is_set():
                self._drop(held)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self._timing.patience):
                while self._held:
                    self._changed.clear()
                    await self._changed.wait()
        if claims:
            await _tried_once("leases not given back", work.release(claims))  # they end by themselves
        await self._engine.close()

    # ---- claiming ------------------------------------------------------------------------------------------------

    async def _claiming(self) -> None:
        while True:
            self._wake.clear()
            await self._tried("claim", self._claim())
            self._next = self._timing.retry
            while self._next > 0 and not await _either(self._wake, min(self._next, self._timing.poll)):
                await self._tried("look for runs", self._look_for_runs())

    async def _look_for_runs(self) -> None:
        self._next = self._timing.poll
        seconds = await work.until_due()
        if seconds is not None:
            self._next = seconds

    async def _claim(self) -> None:
        free, now = self._slots - len(self._held), self._now()
        if free > 0:
            claims = await work.claim(self.worker, free, seconds=self._timing.lease)
        else:  # what is to be cancelled does not wait for a slot
            claims = await work.claim(self.worker, MOST_CANCELLED, seconds=self._timing.lease, cancelled=True)
        self._more = len(claims) >= free
        for claim in claims:
            held = self._held[claim.run_id] = HeldRun(claim)
            self._until[claim.run_id] = now + self._timing.lease
            task = asyncio.create_task(self._begin(held))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _begin(self, held: HeldRun) -> None:
        if held.claim.cancelled:
            await self._end(held, CALLED_OFF)
        elif held.claim.tries > MOST_LEASES:
            await self._end(held, INTERRUPTED)
        else:
            await self._start(held)

    async def _start(self, held: HeldRun) -> None:
        """Waits until the engine has begun the run here; if it cannot, it leaves the run after a while to the next
        worker.
        """
        run_id = held.claim.run_id
        try:
            async with asyncio.timeout(self._timing.begin):
                await (self._engine.start(run_id) if held.claim.lease == 1 else self._engine.resume(run_id))
                await held.begun.wait()
        except Exception as error:
            log.warning("run not begun", run_id=run_id, error=type(error).__name__)
            if not held.begun.is_set():
                await asyncio.sleep(self._timing.retry)
                await self._give_back(held)

    async def _end(self, held: HeldRun, ending: Ending) -> None:
        """Without its adapter, and without a slot."""
        try:
            await self._execution(held).end(ending)
            if held.claim.lease > 1:
                await self._engine.cancel(held.claim.run_id)
        except Exception as error:
            log.warning("run not ended", run_id=held.claim.run_id, error=type(error).__name__)
        finally:
            self._drop(held)

    # ---- carrying out --------------------------------------------------------------------------------------------

    def _execution(self, held: HeldRun) -> Execution:
        return Execution(
            held,
            self._engine,
            self._outfit,
            patience=self._timing.patience,
            max_tokens=self._max_tokens,
            writer=self._writer,
        )

    async def carry(self, run_id: str) -> None:
        """The engine calls this. Raises CancelledError if the run has not ended: it can be resumed."""
        held = self._held.get(run_id)
        if held is None or held.begun.is_set():
            raise asyncio.CancelledError("the run is not held here")
        held.begun.set()
        try:
            await self._execution(held).run()
        except Lost:
            if held.reason is None:
                await self._give_back(held)
            # The command that ended it does not wait for long.
            await _tried_once("end of a run not reported", work.let_go(held.claim), run_id=run_id)
            raise asyncio.CancelledError("the run continues elsewhere") from None
        finally:
            self._drop(held)

    async def _give_back(self, held: HeldRun) -> None:
        self._drop(held)
        await _tried_once("lease not given back", work.release([held.claim]), run_id=held.claim.run_id)

    def _drop(self, held: HeldRun) -> None:
        if self._held.get(held.claim.run_id) is held:
            del self._held[held.claim.run_id], self._until[held.claim.run_id]
        self._changed.set()
        if self._more:
            self._wake.set()

    # ---- keeping -------------------------------------------------------------------------------------------------

    def _asked(self, run_id: str) -> None:
        if run_id == ANYTHING or run_id in self._held:
            self._look.set()
        else:
            self._wake.set()  # one that waits, maybe

    async def _asking(self) -> None:
        while True:
            await asyncio.sleep(self._timing.ask)
            claims = [held.claim for held in self._held.values() if held.reason is None]
            if claims:
                await self._tried("look for cancellations", self._ask(claims))

    async def _ask(self, claims: list[work.RunClaim]) -> None:
        if await work.asked_to_stop(claims):
            self._look.set()

    async def _keeping(self) -> None:
        while True:
            pause = min([self._timing.extend, *[until - self._now() for until in self._until.values()]])
            await _either(self._look, max(pause, 0.1))
            self._look.clear()
            await self._tried("extension of leases", self._extend())
            now = self._now()
            for run_id in [run_id for run_id, until in self._until.items() if until <= now]:
                self._held[run_id].stop(Stop.lost)

    async def _extend(self) -> None:
        asked, now = dict(self._held), self._now()
        if not asked:
            return
        kept = await work.extend([held.claim for held in asked.values()], seconds=self._timing.lease)
        for run_id, held in asked.items():
            if self._held.get(run_id) is not held:
                continue  # it has ended meanwhile
            if run_id not in kept:
                held.stop(Stop.lost)
                continue
            self._until[run_id] = now + self._timing.lease
            if kept[run_id]:
                held.stop(Stop.cancelled)

    async def _watching(self) -> None:
        forgotten = self._now()
        while True:
            await self._tried("count of stranded runs", work.stranded())
            if self._now() - forgotten > self._timing.forget:
                forgotten = self._now()
                await self._tried("clearing of the engine's records", self._engine.forget(REMEMBERED))
            await asyncio.sleep(self._timing.watch)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _tried(self, what: str, attempt: Coroutine[Any, Any, Any]) -> None:
        """One line when it begins to fail, and one when it works again."""
        try:
            await attempt
        except Exception as error:
            if what not in self._failing:
                log.warning(f"{what} failed", error=type(error).__name__)
            self._failing.add(what)
        else:
            if what in self._failing:
                log.info(f"{what} works again")
            self._failing.discard(what)


async def _tried_once(failed: str, attempt: Coroutine[Any, Any, Any], **about: str) -> None:
    """Makes an attempt and logs its failure, which resolves itself a little later."""
    try:
        await attempt
    except Exception as error:
        log.warning(failed, error=type(error).__name__, **about)


async def _either(event: asyncio.Event, seconds: float) -> bool:
    """Until the event or the time; whether it is there. Not by wait_for: before Python 3.12 it swallows a cancellation
    with the event.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
