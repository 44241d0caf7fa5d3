"""The loops of a runner: one waits for calls, one reports them.

Nothing of a call begins before the server has confirmed that this process holds it, and a call is ended here when it
was not confirmed for as long as its lease: the server counts it as lost then.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crewship.runner.server import Busy, RunnerEnded, RunnerServer, Unanswered
from models.staff.runners import MOST_PIECE, MOST_PIECES
from runtime.runners.executing import LiveOutput, RunnerCall, execute
from runtime.sandbox import Sandbox

LEASE: Final = 27.0
"""Seconds since the last confirmed report, a little less than the server's."""
HEARTBEAT: Final = 8.0
FIRST: Final = 2.0
LATER: Final = 10.0
MANY: Final = 30
"""Seconds between pieces of output: of the first `MANY`, and of later ones."""
PIECES_AT_ONCE: Final = 3
RESULTS_AT_ONCE: Final = 2
"""In one report, whose size is limited."""
DRAIN: Final = 20.0
TAKEN_OVER: Final = 50.0
"""Seconds until the lease of a process that died has certainly ended."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(eq=False, slots=True)
class Held:
    """A call that this process was given. `piece`: the output that was sent and is not confirmed."""

    call: RunnerCall
    live: LiveOutput = field(default_factory=LiveOutput)
    task: asyncio.Task[tuple[str, bool]] | None = None
    confirmed: float = field(default_factory=time.monotonic)
    pieced: float = 0.0
    seq: int = 0
    piece: str = ""

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()

    def outcome(self) -> dict[str, Any]:
        assert self.task is not None
        if self.task.cancelled():
            return {"content": "The runner was stopped, and ended the call", "is_error": True}
        error = self.task.exception()
        if error is not None:
            return {"content": f"The runner could not execute the call ({type(error).__name__})", "is_error": True}
        content, is_error = self.task.result()
        return {"content": content, "is_error": is_error}

    def report(self, now: float, pieces: int, results: int) -> dict[str, Any] | None:
        """The next report, if one is due."""
        told: dict[str, Any] = {"id": self.call.id}
        if self.task is None:
            return told
        if self.ended:
            return {**told, "outcome": self.outcome()} if results > 0 else None
        if pieces > 0 and self.seq < MOST_PIECES and now - self.pieced >= (FIRST if self.seq < MANY else LATER):
            self.piece = self.piece or self.live.take(MOST_PIECE)
            if self.piece:
                return {**told, "seq": self.seq + 1, "output": self.piece}
        return told if now - self.confirmed >= HEARTBEAT else None


class RunnerProcess:
    """`at_once`: how many calls are executed at the same time."""

    def __init__(self, server: RunnerServer, sandbox: Sandbox, storage: Path, at_once: int) -> None:
        self._server, self._sandbox, self._storage, self._at_once = server, sandbox, storage, at_once
        self._held: dict[str, Held] = {}
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        self._workspace = ""
        self.draining = asyncio.Event()

    async def run(self) -> None:
        """Until it is drained, or cannot go on: raises RunnerEnded."""
        told = await self._connected()
        self._workspace = str(told["workspace_id"])
        say(f"connected to {self._server.server} as {told['name']}")
        loops = [asyncio.ensure_future(each) for each in (self._poll(), self._report(), self._lapse(), self._drained())]
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for each in loops:
                if each.done():
                    each.result()
        finally:
            for each in loops:
                each.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._end_all()
            with contextlib.suppress(RunnerEnded, Unanswered):
                await self._server.disconnect()

    async def _connected(self) -> dict[str, Any]:
        """A process that died holds the token until its lease ends."""
        until, told = time.monotonic() + TAKEN_OVER, False
        while True:
            try:
                return await self._server.connect()
            except Busy as busy:
                if time.monotonic() > until:
                    raise RunnerEnded(str(busy)) from None
                if not told:
                    say(f"{busy}; waiting until its lease ends")
                told = True
                await asyncio.sleep(3.0)
            except Unanswered as failed:
                say(str(failed))
                await asyncio.sleep(failed.after)

    async def _poll(self) -> None:
        while True:
            while len(self._held) >= self._at_once:
                self._room.clear()
                await self._room.wait()
            try:
                calls = await self._server.poll(self._at_once - len(self._held))
            except Unanswered as failed:
                say(str(failed))
                await asyncio.sleep(failed.after)
                continue
            for told in calls:
                call = RunnerCall.of(told, self._workspace)
                self._held.setdefault(call.id, Held(call))
            if calls:
                self._changed.set()

    async def _report(self) -> None:
        wait = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait or (FIRST if self._held else None)):
                    await self._changed.wait()
            self._changed.clear()
            wait = 0.0
            reports = self._due()
            if reports:
                sent = time.monotonic()
                try:
                    states = await self._server.report(reports)
                except Unanswered as failed:
                    say(str(failed))
                    wait = failed.after
                    await asyncio.sleep(min(wait, 1.0))
                else:
                    for report, state in zip(reports, states, strict=True):
                        if report["id"] in self._held:  # it may have lapsed meanwhile
                            self._confirm(report, state, sent)
                    if any(held.ended for held in self._held.values()):
                        self._changed.set()

    def _due(self) -> list[dict[str, Any]]:
        now, reports = time.monotonic(), list[dict[str, Any]]()
        pieces, results = PIECES_AT_ONCE, RESULTS_AT_ONCE
        for held in self._held.values():
            if held.task is None and self.draining.is_set():
                continue  # it waits for the next process
            report = held.report(now, pieces, results)
            if report is not None:
                pieces -= "output" in report
                results -= "outcome" in report
                reports.append(report)
        return reports

    def _confirm(self, report: Mapping[str, Any], state: Mapping[str, Any], sent: float) -> None:
        held = self._held[report["id"]]
        held.confirmed = sent
        if state["seq"] > held.seq:
            held.seq, held.piece, held.pieced = state["seq"], "", sent
        elif "output" in report:
            held.pieced = sent
        if "outcome" in report:
            return self._forget(held, "ended")
        if not state["goes_on"]:
            if held.task is not None:
                held.task.cancel()
            return self._forget(held, "no longer wanted")
        if held.task is None:
            say(f"{held.call.tool} of {held.call.agent_slug}: begun")
            held.task = asyncio.ensure_future(execute(held.call, self._sandbox, self._storage, held.live))
            held.task.add_done_callback(lambda _: self._changed.set())

    def _forget(self, held: Held, how: str) -> None:
        say(f"{held.call.tool} of {held.call.agent_slug}: {how}")
        del self._held[held.call.id]
        self._room.set()

    async def _lapse(self) -> None:
        """Ends lapsed calls, also while a report waits for an answer: the server counts them as lost then."""
        while True:
            await asyncio.sleep(1.0)
            await self._let_go_of_lapsed()

    async def _let_go_of_lapsed(self) -> None:
        lapsed = [each for each in self._held.values() if time.monotonic() - each.confirmed > LEASE]
        for held in lapsed:
            if held.task is not None:
                held.task.cancel()
                await asyncio.gather(held.task, return_exceptions=True)
            self._forget(held, "ended, because the server did not confirm it")

    async def _drained(self) -> None:
        """Takes no more calls and waits a while for those that are executed."""
        await self.draining.wait()
        self._at_once = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while any(held.task is not None for held in self._held.values()):
                    self._room.clear()
                    await self._room.wait()

    async def _end_all(self) -> None:
        tasks = [held.task for held in self._held.values() if held.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
