"""Who holds the event loop is found, named and measured; who does not is left in peace."""

import asyncio
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import uvloop

from crewship.process import watchdog
from crewship.process.watchdog import LIMIT, TICK, Stall, Watchdog, warn
from resolvers.identity.caller import Caller
from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.declarations.operation import NO_SURFACE, OPERATIONS, REST_ONLY, Auth
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import NoInput
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.writing.command import procedure
from resolvers.kernel.writing.context import Context
from rest_compat.http.table import GET
from tests.stalls import LIMIT as COUNTED
from tests.stalls import counts
from tests.world import world_on

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def watched(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[object]]], list[Stall]]:
    """Runs something under a watchdog; the stalls it saw."""

    def run(body: Callable[[], Awaitable[object]]) -> list[Stall]:
        found: list[Stall] = []

        async def main() -> None:
            watchdog = Watchdog(found.append)
            watchdog.start()
            await asyncio.sleep(0.1)
            await body()
            await asyncio.sleep(0.15)
            watchdog.stop()

        gc.collect()
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())
        return found

    return run


Watched = Callable[[Callable[[], Awaitable[object]]], list[Stall]]


def compute(seconds: float) -> None:
    """In Python, for so much time of the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(200))


def running() -> Watchdog:
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "watchdog"]
    watchdog: Watchdog = thread._target.__self__  # type: ignore[attr-defined]
    return watchdog


def test_a_late_beat_that_nothing_was_seen_of_is_passed_over(watched: Watched) -> None:
    """The machine had no time for the thread that looks, which goes on all the same."""

    async def body() -> None:
        watchdog = running()
        watchdog._late.append((0.0, 0.001))
        await asyncio.sleep(0.1)
        assert watchdog._thread is not None
        assert watchdog._thread.is_alive()
        assert not watchdog._late

    assert watched(body) == []


def test_a_turn_is_no_longer_than_it_was_seen(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on the machine has no time for the thread that looks: the turn after it may be the long one."""
    seen, over = threading.Event(), threading.Event()

    def short() -> None:
        compute(0.035)
        seen.set()

    async def body() -> None:
        wait = running()._stopped.wait
        monkeypatch.setattr(
            running()._stopped, "wait", lambda seconds: over.wait() and False if seen.is_set() else wait(seconds)
        )
        loop = asyncio.get_running_loop()
        loop.call_soon(short)
        loop.call_soon(compute, 0.2)
        await asyncio.sleep(0.1)
        monkeypatch.undo()
        over.set()

    assert watched(body) == []


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.12, 0.5])
def test_a_stall_is_measured(watched: Watched, seconds: float) -> None:
    async def body() -> None:
        compute(seconds)

    (stall,) = watched(body)
    assert abs(stall.seconds - seconds) < 0.045
    assert stall.operation == ""
    assert stall.root.endswith("test_watchdog")


@pytest.mark.slow
def test_a_call_into_c_that_lets_nobody_run_is_seen_too(watched: Watched) -> None:
    size, costs = 100_000, 0.0
    while costs < 3 * LIMIT:
        size, began = 2 * size, time.thread_time()
        sorted(range(size), key=str)
        costs = time.thread_time() - began
    numbers = range(size)

    async def body() -> None:
        sorted(numbers, key=str)

    assert [stall.root.endswith("test_watchdog") for stall in watched(body)] == [True]


@pytest.mark.slow
@pytest.mark.parametrize(("told", "stalls"), [(True, 0), (False, 1)])
def test_what_is_done_while_nobody_could_look_may_be_many_turns(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, told: bool, stalls: int
) -> None:
    """The machine has no time for the thread that looks; where it does not say so, that was one call into C."""
    kept_waiting = 0.0

    @contextlib.contextmanager
    def delays() -> Iterator[Callable[[], float]]:
        yield lambda: kept_waiting if told else 0.0

    async def body() -> None:
        wait, over = running()._stopped.wait, threading.Event()

        def late(_: float) -> bool:
            nonlocal kept_waiting
            over.wait()
            kept_waiting += 0.2
            monkeypatch.setattr(running()._stopped, "wait", wait)
            return False

        monkeypatch.setattr(running()._stopped, "wait", late)
        await asyncio.sleep(2 * TICK)
        compute(0.2)
        over.set()
        compute(0.01)

    monkeypatch.setattr(watchdog, "delays", delays)
    found = [stall for stall in watched(body) if stall.seconds > 0.1]
    assert len(found) == stalls


@pytest.mark.slow
def test_many_small_turns_are_no_stall(watched: Watched) -> None:
    """Three hundred of 2 ms each, in one round of the loop."""

    async def small() -> None:
        compute(0.002)

    async def body() -> None:
        await asyncio.gather(*[small() for _ in range(300)])

    assert watched(body) == []


@pytest.mark.slow
def test_who_lets_others_in_is_no_stall(watched: Watched) -> None:
    async def body() -> None:
        for _ in range(50):
            compute(0.01)
            await asyncio.sleep(0)

    assert watched(body) == []


@pytest.mark.slow
def test_waiting_and_other_threads_are_no_stall(watched: Watched) -> None:
    async def body() -> None:
        time.sleep(0.2)  # no time of the processor
        threads = [threading.Thread(target=compute, args=(0.2,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            await asyncio.sleep(0.01)

    assert watched(body) == []


@pytest.mark.slow
def test_the_operation_is_named(watched: Watched) -> None:
    @procedure("tests.holding", Action.NONE, auth=Auth.NONE, tenancy=Tenancy.NONE, surfaces=NO_SURFACE)
    async def holding(ctx: Context, data: NoInput) -> Output:
        """Holds the loop."""
        compute(0.2)
        return Output()

    async def body() -> None:
        await holding(Caller.nobody(), {})

    try:
        (stall,) = watched(body)
    finally:
        del OPERATIONS["tests.holding"]
    assert stall.operation == "tests.holding"
    assert any(place.startswith("resolvers.kernel.declarations.operation:") for place in stall.stack)
    assert all(place.partition(".")[0] in ("crewship", "resolvers") for place in stall.stack)


def test_a_warning_says_who_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    warn(Stall(0.1234, "crews.list", ("resolvers.staff.crews.crews:10 list_crews",), "crewship.perimeter.protocol"))
    said = capsys.readouterr()
    line = said.out + said.err
    assert "crews.list" in line
    assert "123" in line
    assert "resolvers.staff.crews.crews:10 list_crews" in line


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_server_tells_what_holds_it(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes the test of a stalling request fail, and what an operator sees: a line of the log, and the metrics."""

    @procedure("tests.held", Action.NONE, auth=Auth.NONE, tenancy=Tenancy.NONE, surfaces=REST_ONLY)
    async def held(ctx: Context, data: NoInput) -> Output:
        """Holds the loop."""
        compute(0.3)
        return Output()

    file, said = tmp_path / "stalls", list[dict[str, Any]]()
    monkeypatch.setattr(
        watchdog, "log", SimpleNamespace(warning=lambda event, **about: said.append(about | {"event": event}))
    )
    try:
        async with world_on(database, tmp_path, routes=(GET("/api/v1/held", held, Output),), stalls_file=file) as world:
            assert (await world.rest(None, "GET", "/api/v1/held")).status_code == 200
            async with asyncio.timeout(10):
                while not file.exists():
                    await asyncio.sleep(0.05)
            metrics = (await world.rest(None, "GET", "/metrics")).text
    finally:
        del OPERATIONS["tests.held"]
    found = [stall for stall in map(orjson.loads, file.read_bytes().splitlines()) if stall["operation"] == "tests.held"]
    assert [abs(stall["seconds"] - 0.3) < 0.05 for stall in found] == [True]
    assert counts(found[0])
    assert found[0]["root"].startswith("uvicorn.")
    assert 'crewship_loop_stall_seconds_count{operation="tests.held"} 1.0' in metrics
    (line,) = [about for about in said if about["event"] == "event loop held" and about["operation"] == "tests.held"]
    assert abs(line["milliseconds"] - found[0]["seconds"] * 1000) <= 1


def test_what_tests_compute_and_starts_of_servers_do_not_count() -> None:
    stall = {
        "seconds": 2 * COUNTED,
        "collector": 0.0,
        "operation": "",
        "stack": ["schema.bridge.endpoint:1 execute"],
        "root": "uvicorn.protocols.http.httptools_impl",
    }
    assert counts(stall)
    assert not counts(stall | {"collector": COUNTED})
    assert not counts(stall | {"root": "anyio._backends._asyncio"})
    assert counts(stall | {"root": "anyio._backends._asyncio", "operation": "crews.list"})
    assert not counts(stall | {"stack": ["schema.bridge.root:1 build", "crewship.process.app:70 create_app"]})


def test_it_ends_with_its_loop() -> None:
    before, interval = threading.active_count(), sys.getswitchinterval()

    async def main() -> None:
        watchdog = Watchdog()
        watchdog.start()
        assert threading.active_count() == before + 1
        watchdog.stop()

    asyncio.run(main())
    assert threading.active_count() == before
    assert sys.getswitchinterval() == interval
