"""A mission that is cancelled: what its agents have started is gone in two seconds, and nothing follows."""

import asyncio
import time
from pathlib import Path

import pytest

from models.work.missions import MissionStatus
from resolvers.kernel import Topic
from resolvers.kernel.store.bus import bus
from resolvers.work.missions import update_mission
from runtime.runs.job import Job, Outcome, Sink
from runtime.sandbox import Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap
from tests.runtime.sandbox.machine import (  # noqa: F401
    data_dir,
    host_allows,
    programs,
    sandbox,
    shell,
    unconfined,
    until,
    why_not,
    workdir,
)
from tests.work.missions.harbour import Berth, Harbour

pytestmark = pytest.mark.anyio
SOON = 2.0  # seconds
LATE = 4.0
"""Where no ring tells the worker, which looks every second."""
ENDLESS = "while :; do sleep {n}; done"
STUBBORN = f"trap '' TERM INT HUP; (trap '' TERM INT HUP; {ENDLESS}) & (exec sleep {{n}}) & {ENDLESS}"


def running_with(word: str) -> list[str]:
    """Command lines of this machine's processes that hold the word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            found += [line] if word in line else []
    return found


class Runs:
    """An agent that has a command run."""

    def __init__(self, place: Bubblewrap | Unconfined, directory: Workdir, script: str) -> None:
        self.place, self.directory, self.script = place, directory, script

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        async def command() -> int:
            return (await self.place.run(shell(self.script), workdir=self.directory, timeout=60)).exit_code

        await sink.step("command", command, acts=True)
        return Outcome()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "seconds"),
    [("sandbox", SOON), ("unconfined", SOON), ("sandbox", LATE)],
    ids=["", "unconfined", "not rung"],
)
async def test_its_processes_are_gone_soon(
    harbour: Harbour,
    sandbox: Bubblewrap,  # noqa: F811
    unconfined: Unconfined,  # noqa: F811
    workdir: Workdir,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    seconds: float,
) -> None:
    """Programs that ignore SIGTERM and have children, of two agents at once; a task waits behind each."""
    berth = await harbour.crew()
    number = f"{time.time_ns() % 10**7 + 10**6}.5"
    runs = Runs(sandbox if place == "sandbox" else unconfined, workdir, STUBBORN.format(n=number))
    second = await harbour.estate.agent(crew_id=berth.crew.id)
    mission = await berth.mission()
    for n, agent in enumerate((berth.worker, second)):
        harbour.agents.acts[agent.id] = runs
        first = await berth.task(mission, f"Pump {n}", n, agent)
        await berth.task(mission, f"Dry {n}", n + 2, agent, first)
    await berth.go(mission)
    await until(lambda: len([line for line in running_with(number) if line.startswith("sleep ")]) >= 6)
    if seconds is LATE:
        ring = bus.ring
        monkeypatch.setattr(bus, "ring", lambda topic, key="": None if topic is Topic.cancel else ring(topic, key))

    began = time.monotonic()
    await berth.go(mission, update_mission, status=MissionStatus.CANCELLED)
    while running_with(number):
        assert time.monotonic() - began < seconds, running_with(number)
        await asyncio.sleep(0.01)
    print(f"{place}: {time.monotonic() - began:.2f} s")

    await _nothing_follows(berth, mission.id)
    assert running_with(number) == []


async def _nothing_follows(berth: Berth, mission_id: str) -> None:
    harbour, owner = berth.harbour, berth.estate.owner
    count = "SELECT count(*) FROM runs r JOIN assignments a ON a.id = r.assignment_id WHERE a.chat_id = $1"
    async with asyncio.timeout(20):
        while await owner.fetchval(f"{count} AND r.status = 'RUNNING'", mission_id):
            await asyncio.sleep(0.02)
    mission = type("Named", (), {"id": mission_id})()
    await berth.quiet(mission)
    tasks = {task["title"]: task["status"] for task in await berth.tasks(mission)}
    assert tasks == {"Pump 0": "CANCELLED", "Pump 1": "CANCELLED", "Dry 0": "PENDING", "Dry 1": "PENDING"}
    assert {each["status"] for each in await berth.of("assignments", mission)} == {"CANCELLED"}
    assert await owner.fetchval(f"{count} AND r.status = 'CANCELLED'", mission_id) == 2
    assert await owner.fetchval(count, mission_id) == 2
    assert len({job.run_id for job in harbour.agents.jobs if job.agent.crew_id == berth.crew.id}) == 2
    assert (await berth.row(mission)).status == "CANCELLED"
