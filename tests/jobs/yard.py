"""A domain of background jobs, one of each kind of limits, and what a job of it does: steps that leave a row, and one
that leaves a line outside.

The id of a thing says what is to happen to its job: `hold_second_1` waits at the step `second` until it is let go.
"""

import asyncio
import contextlib
import os
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from models.people.workspaces import Workspace
from models.work.labels import Label
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.jobs import JOBS, Job, Rate, job
from resolvers.kernel.declarations.operation import Reach
from resolvers.kernel.ground.inputs import Bool, Id, Input, Int
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from runtime.engine.background import CARRIED, Carried, Work, carries
from tests.runtime.estate import Estate

STEPS = ("first", "ask", "second", "third")
WRITTEN = ("first", "second", "third")
DIRECTORY = "YARD"  # in the environment: where jobs of all processes leave lines and look for what lets them go


class Of(Input):
    thing_id: Id


plain = job("tests.plain", Of)
unique = job("tests.unique", Of, unique="{thing_id}")
serial = job("tests.serial", Of, unique="{thing_id}", serial=True, at_once=20)
fair = job("tests.fair", Of, fair=True)
limited = job("tests.limited", Of, at_once=20, everywhere=30, rate=Rate(1000, 1.0))
failing = job("tests.failing", Of, attempts=3)
deadly = job("tests.deadly", Of, attempts=1)
KINDS: tuple[Job[Any], ...] = (plain, unique, serial, fair, limited)


def line(name: str, text: str) -> None:
    """One write, which a kill cannot cut in two."""
    descriptor = os.open(Path(os.environ[DIRECTORY]) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)


async def reach(thing_id: str, step: str) -> None:
    if not thing_id.startswith(f"hold_{step}_"):
        return
    line("reached", f"{thing_id} {os.getpid()}")
    while not (Path(os.environ[DIRECTORY]) / "let_go").exists():
        await asyncio.sleep(0.02)


async def body(work: Work, data: Of) -> None:
    line("begun", f"{data.thing_id} {os.getpid()}")

    def writes(step: str) -> Callable[[Context], Awaitable[None]]:
        async def change(ctx: Context) -> None:
            ctx.audit("THING", data.thing_id, step=step, round=work.round)
            if step == "third" and data.thing_id.startswith("chain_"):
                ctx.enqueue(plain, thing_id=data.thing_id.replace("chain_", "link_"))
            await ctx.insert(Label(name=f"{data.thing_id} {step} {work.round} {secrets.token_hex(4)}", color="red"))
            await ctx.flush()
            await reach(data.thing_id, step)  # the rows are there, and not committed

        return change

    async def ask(key: str) -> None:
        await reach(data.thing_id, "ask")
        line("asked", f"{data.thing_id} {key}")

    await work.write("first", writes("first"))
    await work.call("ask", ask, timeout=60)
    await work.write("second", writes("second"))
    if data.thing_id.startswith("fails_once") and work.attempt == 1:
        raise ValueError(f"a text of a tenant: {data.thing_id}")
    await work.write("third", writes("third"))
    if data.thing_id.startswith("rounds") and work.round < 3:
        work.again(work.now + timedelta(seconds=0.1))
    line("ended", f"{data.thing_id} {os.getpid()}")


for kind in KINDS:
    carries(kind)(body)


@carries(failing)
async def fails(work: Work, data: Of) -> None:
    async def change(ctx: Context) -> None:
        ctx.audit("THING", data.thing_id, step="first", round=work.round)

    await work.write("first", change)
    line("begun", f"{data.thing_id} {work.attempt}")
    raise ValueError(f"a text of a tenant: {data.thing_id}")


@carries(deadly)
async def kills(work: Work, data: Of) -> None:
    line("begun", f"{data.thing_id} {os.getpid()}")
    os.kill(os.getpid(), 9)


YARD: tuple[Carried, ...] = tuple(CARRIED[name] for name in list(CARRIED) if name.startswith("tests."))
for each in YARD:  # the product's own are all that a process under test knows otherwise
    del JOBS[each.job.name], CARRIED[each.job.name]
NAMED = {each.job.name: each.job for each in YARD}


class Enqueue(Input):
    name: Id
    thing_id: Id
    times: Int = 1
    in_seconds: Int | None = None
    refuse: Bool = False
    label: Id | None = None


@command("test.enqueue_jobs", Action.CREATE)
async def enqueue(ctx: Context, data: Enqueue) -> None:
    if data.label is not None:
        await ctx.insert(Label(name=data.label, color="red"))
    for _ in range(data.times):
        at = None if data.in_seconds is None else datetime.fromtimestamp(1_800_000_000 + data.in_seconds, UTC)
        ctx.enqueue(NAMED[data.name], thing_id=data.thing_id, at=at)
    if data.refuse:
        await ctx.insert(Label(name=data.thing_id, color="red"))
        raise Refusal(Code.CONFLICT, "no")


@command("test.enqueue_jobs_of_the_instance", Action.CREATE, reach=Reach.INSTANCE)
async def enqueue_of_the_instance(ctx: Context, data: Enqueue) -> None:
    ctx.enqueue(NAMED[data.name], thing_id=data.thing_id)


@dataclass
class Yard:
    """Jobs in a database, and what came of them."""

    estate: Estate
    directory: Path
    workspaces: list[str] = field(default_factory=list)

    async def workspace(self) -> str:
        made = Workspace(name="Yard", slug=f"yard-{secrets.token_hex(6)}")
        await self.estate.add(made)
        self.workspaces.append(made.id)
        return made.id

    async def enqueue(self, kind: Job[Any], thing_id: str, workspace: str | None = None, **more: Any) -> None:
        place = workspace or self.estate.workspace.id
        operation = enqueue_of_the_instance if kind.of_instance else enqueue
        await operation(Caller.service("tests", place), {"name": kind.name, "thing_id": thing_id} | more)

    async def waiting(self, kind: Job[Any] | None = None) -> int:
        """Jobs that have not ended."""
        sql = (
            "SELECT count(*) FROM dbos.workflow_status"
            " WHERE queue_name LIKE 'job:%' AND status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND name LIKE $1"
        )
        count: int = await self.estate.owner.fetchval(sql, kind.name if kind else "%")
        return count

    async def statuses(self, kind: Job[Any]) -> Counter[str]:
        return Counter(
            [
                row[0]
                for row in await self.estate.owner.fetch(
                    "SELECT status FROM dbos.workflow_status WHERE name = $1", kind.name
                )
            ]
        )

    async def finished(self, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while await self.waiting():
                await asyncio.sleep(0.05)

    def lines(self, name: str) -> list[tuple[str, ...]]:
        path = self.directory / name
        return [tuple(text.split()) for text in path.read_text().splitlines()] if path.exists() else []

    async def reached(self, things: set[str], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not things <= {found[0] for found in self.lines("reached")}:
                await asyncio.sleep(0.02)

    def let_go(self) -> None:
        (self.directory / "let_go").touch()

    def hold(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "let_go").unlink()
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "reached").unlink()

    async def written(self, thing_id: str, kind: Job[Any] | None = None) -> Counter[tuple[str, int]]:
        """(step, round) -> how often committed. Labels and audit rows agree: what a step writes, it writes whole."""
        sql = "SELECT data FROM audit_logs WHERE entity_id = $1 AND ($2::text IS NULL OR action = $2)"
        rows = await self.estate.owner.fetch(sql, thing_id, kind.name if kind else None)
        audited = Counter([(row[0]["step"], row[0]["round"]) for row in rows])
        if kind is None:
            names = await self.estate.owner.fetch("SELECT name FROM labels WHERE name LIKE $1 || ' %'", thing_id)
            assert Counter([(row[0].split()[1], int(row[0].split()[2])) for row in names]) == audited
        return audited


def once(rounds: int = 1, times: int = 1) -> Counter[tuple[str, int]]:
    return Counter({(step, round): times for step in WRITTEN for round in range(1, rounds + 1)})
