"""The port to durable execution: what must survive the process that began it.

A workflow is a run, under the run's id. What an engine stores are ids and names of steps; what a step has made is kept by the
caller, beside its rows, under row-level security.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

Body = Callable[[str], Awaitable[None]]
"""Carries out the run with this id, in this process. It stops where it is by raising CancelledError: it may be begun again."""


class Engine(Protocol):
    async def open(self, body: Body) -> None:
        """Connects. `body` is called in this event loop for each run that is started or resumed here."""

    async def close(self) -> None:
        """Stops all bodies where they are; others may resume their runs."""

    async def start(self, run_id: str) -> None:
        """Begins a run; a run that was begun before is resumed. Returns when that is on record."""

    async def resume(self, run_id: str) -> None:
        """Begins a run again in this process, after the one that had it is gone. Its finished steps are known."""

    async def fork(self, run_id: str, new_run_id: str, before: int) -> None:
        """Begins another run in this process that knows the finished steps of this one, but for those from number `before` (from 1) on."""

    async def cancel(self, run_id: str) -> None:
        """Puts on record that nobody is to resume the run. What runs of it is not stopped by that."""

    async def step(self, name: str, body: Callable[[], Awaitable[None]]) -> bool:
        """Inside a run: calls `body` unless this run has finished a step of this name; False when it was not called.

        A body that raises, or is cancelled, leaves nothing on record: it is called again. So it is when the process ends in it.
        """

    async def forget(self, older_than: float) -> None:
        """Drops the records of runs that began more than this many seconds ago."""
