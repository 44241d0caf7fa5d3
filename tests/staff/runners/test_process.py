"""The process of a runner: when it ends a command, and what it does before it stops."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from crewship.runner import process
from crewship.runner.process import RunnerProcess

pytestmark = pytest.mark.anyio
CALL = {
    "id": "call", "run_id": "run", "agent_id": "agent", "agent_slug": "hand", "crew_id": None, "tool": "run_command",
    "arguments": {}, "profile": "CODING", "network_mode": "restricted", "allowed_domains": [], "environment": {},
}  # fmt: skip


class Desk:
    """A server with one call."""

    server = "http://127.0.0.1"

    def __init__(self) -> None:
        self.wanted, self.given, self.disconnected = True, False, False
        self.reports = list[tuple[float, Mapping[str, Any]]]()

    async def connect(self) -> dict[str, Any]:
        return {"workspace_id": "place", "name": "Workshop"}

    async def disconnect(self) -> None:
        self.disconnected = True

    async def poll(self, room: int) -> Sequence[Mapping[str, Any]]:
        if self.given:
            await asyncio.sleep(60)
        self.given = True
        return [CALL]

    async def report(self, calls: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        self.reports += [(time.monotonic(), call) for call in calls]
        on = self.wanted
        return [{"id": each["id"], "goes_on": on and "outcome" not in each, "seq": 0} for each in calls]

    def outcomes(self) -> list[Any]:
        return [call["outcome"] for _, call in self.reports if "outcome" in call]


class Command:
    def __init__(self, lasts: float) -> None:
        self.lasts, self.began, self.ended = lasts, asyncio.Event(), ""

    async def execute(self, *given: Any) -> tuple[str, bool]:
        self.began.set()
        try:
            await asyncio.sleep(self.lasts)
        except asyncio.CancelledError:
            self.ended = "cut short"
            raise
        self.ended = "whole"
        return "done", False


@contextlib.asynccontextmanager
async def at_work(desk: Desk, command: Command) -> AsyncIterator[tuple[RunnerProcess, asyncio.Task[None]]]:
    server: Any = desk
    runner = RunnerProcess(server, mock.Mock(), Path("/nowhere"), 1)
    with mock.patch.object(process, "execute", command.execute):
        work = asyncio.create_task(runner.run())
        try:
            async with asyncio.timeout(10):
                await command.began.wait()
            yield runner, work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


def test_times_are_those_of_the_page() -> None:
    """A report is due every eight seconds, and the loop looks every two: a command ends within ten."""
    page = (Path(process.__file__).parents[2] / "docs/runners.md").read_text()
    assert process.HEARTBEAT + process.FIRST == 10
    assert "ends the command within ten seconds" in page
    assert f"finish its calls for {process.DRAIN:.0f} seconds" in page


async def test_a_call_that_is_no_longer_wanted_ends_with_the_next_report() -> None:
    desk, command = Desk(), Command(60)
    with mock.patch.multiple(process, HEARTBEAT=0.4, FIRST=0.1):
        async with at_work(desk, command) as (_, work):
            await asyncio.sleep(1)
            assert command.ended == ""
            gaps = [after - before for (before, _), (after, _) in zip(desk.reports, desk.reports[1:], strict=False)]
            assert all(gap >= 0.35 for gap in gaps), "reports that say nothing are apart"
            desk.wanted, asked = False, time.monotonic()
            async with asyncio.timeout(10):
                while not command.ended:
                    await asyncio.sleep(0.01)
            assert time.monotonic() - asked < 0.5 + 1.0, "the heartbeat, a look, and patience"
            assert command.ended == "cut short"
            assert not work.done()


async def test_a_runner_that_is_stopped_finishes_what_it_executes() -> None:
    desk, command = Desk(), Command(0.5)
    with mock.patch.multiple(process, FIRST=0.1, DRAIN=20.0):
        async with at_work(desk, command) as (runner, work):
            runner.draining.set()
            async with asyncio.timeout(10):
                await work
    assert (command.ended, desk.disconnected) == ("whole", True)
    assert desk.outcomes() == [{"content": "done", "is_error": False}]


async def test_a_runner_that_is_stopped_ends_what_takes_longer() -> None:
    desk, command = Desk(), Command(60)
    with mock.patch.multiple(process, FIRST=0.1, DRAIN=0.5):
        async with at_work(desk, command) as (runner, work):
            began = time.monotonic()
            runner.draining.set()
            async with asyncio.timeout(10):
                await work
            assert 0.4 < time.monotonic() - began < 5
    assert (command.ended, desk.disconnected, desk.outcomes()) == ("cut short", True, [])
