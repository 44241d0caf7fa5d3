"""A domain of clocks, and what a tick of each does: a row in every workspace, and lines outside.

A tick waits wherever there is a file that says so: `hold_outside` before its transaction, `hold_within` in it.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from resolvers.kernel.background.clocks import CLOCKS, AcrossWorkspaces, Recurring, clock
from runtime.engine.clocks import TICKING, Tick, Ticking, ticks
from tests.jobs.yard import DIRECTORY, Yard, line, plain

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
LABELLED = """
    INSERT INTO labels (id, workspace_id, name, color, version, created_at, updated_at)
    SELECT gen_random_uuid(), id, $1 || ' ' || gen_random_uuid(), 'red', 1, now(), now() FROM workspaces
"""

steady = clock("tests.steady", every=SECOND)
rare = clock("tests.rare", every=HOUR)
calling = clock("tests.calling", every=HOUR)
hopeless = clock("tests.hopeless", every=SECOND)
crashing = clock("tests.crashing", every=HOUR)


def _file(name: str) -> Path:
    return Path(os.environ[DIRECTORY]) / name


async def _wait(name: str, where: str) -> None:
    if _file(f"hold_{where}").exists():
        line("waiting", f"{name} {where} {os.getpid()}")
        while _file(f"hold_{where}").exists():
            await asyncio.sleep(0.02)


def _labels(name: str) -> Any:
    async def body(tick: Tick) -> None:
        async def label(rows: AcrossWorkspaces) -> None:
            await rows.fetch(LABELLED, name)
            await _wait(name, "within")

        line("ticks", f"{name} begun {os.getpid()} {time.time()}")
        await _wait(name, "outside")
        await tick.write(label)
        await asyncio.sleep(0.1)
        line("ticks", f"{name} ended {os.getpid()} {time.time()}")

    return body


for each in (steady, rare):
    ticks(each)(_labels(each.name))


@ticks(calling)
async def call(tick: Tick) -> None:
    """A job in every workspace, unless a file says that this fails."""

    async def enqueue(rows: AcrossWorkspaces) -> None:
        await rows.fetch(LABELLED, calling.name)
        for (id,) in await rows.fetch("SELECT id FROM workspaces"):
            rows.enqueue(plain, id, thing_id=f"called_{id}")
        if _file("fail").exists():
            raise ValueError("in the middle")

    line("ticks", f"{calling.name} begun {os.getpid()} {time.time()}")
    await tick.write(enqueue)
    line("ticks", f"{calling.name} ended {os.getpid()} {time.time()}")


@ticks(hopeless)
async def fail(tick: Tick) -> None:
    line("ticks", f"{hopeless.name} begun {os.getpid()} {time.time()}")
    raise ValueError("a text of a tenant")


@ticks(crashing)
async def crash(tick: Tick) -> None:
    line("ticks", f"{crashing.name} begun {os.getpid()} {time.time()}")
    os.kill(os.getpid(), 9)


TOWER: tuple[Ticking, ...] = tuple(TICKING[name] for name in list(TICKING) if name.startswith("tests."))
for each in TOWER:  # the product's own are all that a process under test knows otherwise
    del CLOCKS[each.clock.name], TICKING[each.clock.name]


def named(*names: str) -> tuple[Ticking, ...]:
    return tuple(each for each in TOWER if each.clock.name in names)


@dataclass(frozen=True)
class Seen:
    """A tick: which process began it, and when; when it ended, unless it was cut off."""

    pid: int
    begun: float
    ended: float | None


@dataclass
class Tower:
    """Clocks in a database, and what came of them."""

    yard: Yard

    def hold(self, where: str) -> None:
        (self.yard.directory / f"hold_{where}").touch()

    def let_go(self, where: str) -> None:
        (self.yard.directory / f"hold_{where}").unlink()

    async def waiting(self, clock: Recurring, where: str) -> None:
        async with asyncio.timeout(30):
            while (clock.name, where) not in [(name, at) for name, at, _ in self.yard.lines("waiting")]:
                await asyncio.sleep(0.02)

    def seen(self, clock: Recurring) -> list[Seen]:
        made: list[Seen] = []
        for name, what, pid, at in self.yard.lines("ticks"):
            if name == clock.name and what == "begun":
                made.append(Seen(int(pid), float(at), None))
            elif name == clock.name:
                last = max(n for n, tick in enumerate(made) if tick.pid == int(pid))
                made[last] = Seen(int(pid), made[last].begun, float(at))
        return made

    async def ticked(self, clock: Recurring, times: int, seconds: float = 30.0) -> list[Seen]:
        """Once so many ticks have begun, and those that were not cut off have ended."""
        async with asyncio.timeout(seconds):
            while len(self.seen(clock)) < times or await self.status(clock) != "DELAYED":
                await asyncio.sleep(0.02)
        return self.seen(clock)

    async def row(self, clock: Recurring) -> Any:
        return await self.yard.estate.owner.fetchrow(
            "SELECT *, delay_until_epoch_ms / 1000.0 - extract(epoch FROM clock_timestamp()) AS seconds"
            " FROM dbos.workflow_status WHERE workflow_uuid = 'clock:' || $1",
            clock.name,
        )

    async def status(self, clock: Recurring) -> str | None:
        row = await self.row(clock)
        return None if row is None else row["status"]

    async def due(self, clock: Recurring, ago: timedelta = SECOND) -> None:
        """As if nobody had been there for that long."""
        moved = await self.yard.estate.owner.execute(
            "UPDATE dbos.workflow_status SET delay_until_epoch_ms = (extract(epoch FROM now() - $2::interval) * 1000)"
            " WHERE workflow_uuid = 'clock:' || $1",
            clock.name,
            ago,
        )
        assert moved == "UPDATE 1"

    async def labels(self, clock: Recurring) -> int:
        """How often it has written its rows."""
        sql = "SELECT count(*), count(DISTINCT workspace_id) FROM labels WHERE name LIKE $1 || ' %'"
        rows, workspaces = await self.yard.estate.owner.fetchrow(sql, clock.name)
        assert rows == 0 or rows % workspaces == 0
        assert rows == 0 or workspaces == await self.yard.estate.owner.fetchval("SELECT count(*) FROM workspaces")
        return int(rows / (workspaces or 1))
