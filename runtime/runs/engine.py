"""The port to durable execution: which runs were begun, which steps are done, and where a run continues after a crash.

A workflow is a run, under the run's id. An engine stores ids and names of steps; the caller keeps a step's outcome
beside its rows, under row-level security, and decides whether to repeat it. So nothing waits for an engine's records.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

Body = Callable[[str], Awaitable[None]]
"""Executes the run with this id in this process. CancelledError stops it where it is: it can be resumed."""


class RunEngine(Protocol):
    async def open(self, body: Body) -> None:
        """Connects. `body` is called in this event loop for each run that is started or resumed here."""

    async def close(self) -> None:
        """Stops all bodies where they are; others may resume their runs."""

    async def start(self, run_id: str) -> None:
        """Begins a run at once; the record of it is written meanwhile."""

    async def resume(self, run_id: str) -> None:
        """Begins a run in this process that another has had, or this one before."""

    async def cancel(self, run_id: str) -> None:
        """Records that no process resumes the run. This does not stop a running one."""

    def record(self, run_id: str, step: str) -> None:
        """This step is done: for the record, in the background. Called for every step of every attempt, in the same
        order where there is one.
        """

    async def recorded(self, run_id: str) -> list[str]:
        """The steps that are on record as done, in their order."""

    async def forget(self, older_than: float) -> None:
        """Drops the records of runs that began more than this many seconds ago."""
