"""The execution of background jobs: one wrapper around every body, and the functions for bodies.

A body works in steps. A step writes once, with a mark; a call of the outside world happens at least once, under a
stable key. A failed attempt is followed by another one, which skips marked steps.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from prometheus_client import Counter

from resolvers.domains import modules_in
from resolvers.errors import Refusal
from resolvers.instance import names
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background import steps
from resolvers.kernel.background.steps import Gone, Mark
from resolvers.kernel.declarations.jobs import ENQUEUE, JOBS, TIMER, Job, Turn
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.store.bus import ANYTHING, Topic, bus
from resolvers.kernel.store.database import database
from resolvers.kernel.writing.context import Context
from resolvers.staff.runs.work import passes
from runtime.engine import dbos_tables

T = TypeVar("T")
D = TypeVar("D", bound=Input)
LONGEST_SLEEP = 60.0  # seconds; a job that sleeps holds one of its queue's slots
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 3600.0  # seconds between two attempts; they double
MOST_MISSED, FIRST_MOMENT = 5, 0.02  # looks for jobs that another process was at, and seconds
REFILL = 0.05  # seconds
GRACE = 1.0  # seconds that bodies have to end when their process does
AGAIN = 0.5  # seconds between two tries of what the database did not take

ENDINGS = Counter(
    "crewship_job_attempts",
    "Attempts at background jobs and ticks of clocks that this process has made, by how they ended",
    ["job", "ending"],
)


class GivenUp(Exception):
    """The last attempt has failed. Its record must not contain a tenant's text, so it has only a name."""


def _is_news(record: logging.LogRecord) -> bool:
    """The engine logs every exception that ends a job; that one was given up is logged here, with what caused it."""
    return not (record.exc_info and isinstance(record.exc_info[1], GivenUp))


logging.getLogger("dbos").addFilter(_is_news)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A job as a process has claimed it."""

    job: Job[Any]
    id: str
    workspace_id: str
    turn: Turn
    ids: dict[str, Any]
    executor: str

    @classmethod
    def of(cls, job: Job[Any], id: str, workspace_id: str, sent: dict[str, Any], executor: str) -> "Attempt":
        return cls(
            job,
            id,
            workspace_id,
            Turn(sent.get("root", id), sent.get("round", 1), sent.get("attempt", 1)),
            sent["data"],
            executor,
        )

    async def begin(self) -> list[str]:
        """The marks of its root. From here on another one with its key may wait."""
        async with database.lease() as conn:
            if database.row_security:
                conn.sees(self.workspace_id)
            begun = await conn.fetchrow(dbos_tables.BEGIN, self.id, self.executor, self.workspace_id, self.turn.root)
        if not begun["live"]:
            raise Gone
        return list(begun["steps"])

    async def followed_by(self, turn: Turn, at: datetime) -> None:
        """Repetitions are one: the id is the turn's."""
        async with database.lease() as conn:
            await conn.fetchrow(ENQUEUE, *self.job.queued(self.workspace_id, self.ids, at, turn))
        bus.ring(Topic.jobs, TIMER)


class Work:
    """The second argument of a job's body, beside its input."""

    def __init__(self, attempt: Attempt, marks: list[str]) -> None:
        self._attempt, self._marks, self._seen = attempt, set(marks), set[str]()
        self.workspace_id, self.round, self.attempt = attempt.workspace_id, attempt.turn.round, attempt.turn.attempt
        self.next: datetime | None = None

    @property
    def now(self) -> datetime:
        return instance.clock.now()

    def key(self, step: str) -> str:
        """Names this step of this round in the world outside, whichever attempt it is: an idempotency key."""
        return f"{self._attempt.turn.root}/{self._mark(step)}"

    def done(self, step: str) -> bool:
        """Returns true if an earlier attempt has written this step."""
        return self._mark(step) in self._marks

    def _mark(self, step: str) -> str:
        return f"{self.round}/{step}"

    def _first(self, step: str) -> None:
        if step in self._seen:
            raise RuntimeError(
                f"{self._attempt.job.name}: two steps are named {step}, and the second would be left out"
            )
        self._seen.add(step)

    async def write(self, step: str, change: Callable[[Context], Awaitable[T]]) -> T | None:
        """One transaction, as the system in the job's workspace: once per cause. None if an earlier attempt has done
        it. In a job of the instance each attempt executes it, and finds the remaining work in the rows.

        Later steps read what they need from the rows, because no outcome is stored elsewhere.
        """
        self._first(step)
        if self.done(step):
            return None
        a = self._attempt
        values = (a.id, a.executor, a.workspace_id, a.turn.root, self._mark(step))
        mark = Mark(dbos_tables.HOLDS, values[:2]) if a.job.of_instance else Mark(dbos_tables.MARK, values)
        return await steps.write(a.job, a.workspace_id, mark, change)

    async def read(self, look: Callable[[Context], Awaitable[T]]) -> T:
        """Rows of the workspace."""
        return await steps.read(self._attempt.job, self.workspace_id, look)

    async def call(self, step: str, ask: Callable[[str], Awaitable[T]], *, timeout: float) -> T:  # noqa: ASYNC109
        """Calls the outside world at least once: `ask` receives the step's key, with which a server can recognise
        repetitions.
        """
        self._first(step)
        async with asyncio.timeout(timeout):
            return await ask(self.key(step))

    async def sleep(self, seconds: float) -> None:
        """For moments: a job that is to wait longer ends, and asks for `again`."""
        if seconds > LONGEST_SLEEP:
            raise RuntimeError(f"{self._attempt.job.name}: sleeps {seconds:g} s and holds a slot; use again()")
        await asyncio.sleep(seconds)

    def again(self, at: datetime) -> None:
        """Once this ended well, the next round begins at `at`; with the job's key, unless one of it waits already."""
        self.next = at


async def taken(ask: Callable[[], Awaitable[T]]) -> T:
    """Waits for the database where a wrapper itself needs it: no attempt is lost because the database was away."""
    while True:
        try:
            return await ask()
        except Gone:
            raise
        except Exception as error:
            if not passes(error):
                raise
        await asyncio.sleep(AGAIN)


Body = Callable[[Work, D], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Carried:
    job: Job[Any]
    body: Body[Any]


CARRIED: dict[str, Carried] = {}


def carries(job: Job[D]) -> Callable[[Body[D]], Body[D]]:
    """Declares the body of a job."""

    def bind(body: Body[D]) -> Body[D]:
        if job.name in CARRIED:
            raise RuntimeError(f"{job.name} has two bodies")
        CARRIED[job.name] = Carried(job, body)
        return body

    return bind


def carried() -> tuple[Carried, ...]:
    """Every declared job with its body, which stands in the module of this folder that is called like the domain."""
    modules_in("runtime")
    if strays := JOBS.keys() ^ CARRIED.keys():
        raise RuntimeError(f"jobs without a body, or bodies without a job: {', '.join(sorted(strays))}")
    return tuple(CARRIED.values())


class Carrier:
    """Executes the jobs that the engine has claimed, until it is stopped."""

    def __init__(self, jobs: tuple[Carried, ...], executor: str, claim: Callable[[str], Awaitable[None]]) -> None:
        self._jobs, self._executor, self._claim = {each.job.name: each for each in jobs}, executor, claim
        self._tasks: set[asyncio.Task[Any]] = set()
        self._rung, self._wake, self._missed = set[str](), asyncio.Event(), dict[str, int]()
        self._listening: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        self._off = bus.on(Topic.jobs, self.ring)
        self._listening = asyncio.create_task(self._listen())

    def ring(self, name: str) -> None:
        """Jobs of this name are looked for at once."""
        self._rung |= self._jobs.keys() if name == ANYTHING else self._jobs.keys() & {name}
        self._wake.set()

    async def _listen(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            rung, self._rung = self._rung, set()
            for name in rung:
                try:
                    await self._claim(name)
                    self._missed.pop(name, None)
                except Exception as error:
                    log.debug("no claim at a ring", job=name, error=type(error).__name__)
                    self._look_again(name)

    def _look_again(self, name: str) -> None:
        """Looks again a moment later, for a short time: if two processes claim at once, one is refused. If the database
        is away, the process's next look follows.
        """
        missed = self._missed[name] = self._missed.get(name, 0) + 1
        if missed <= MOST_MISSED:
            wait = random.uniform(0, FIRST_MOMENT * 2**missed)  # noqa: S311 - so that they do not meet again
            asyncio.get_running_loop().call_later(wait, self.ring, name)

    async def stop(self) -> None:
        """Stops all bodies where they are, and starts no more."""
        self._stopping = True
        if self._listening is not None:
            self._off()
            self._wake.set()
            await self._listening  # a claim that is under way ends
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def carry(self, name: str, id: str, workspace_id: str | None, sent: dict[str, Any]) -> None:
        """The engine's `Carry`."""
        task, this = asyncio.current_task(), self._jobs[name]
        assert task is not None
        assert workspace_id is not None  # enqueue() gives it
        self._tasks.add(task)
        try:
            if self._stopping:
                raise asyncio.CancelledError("the process ends")
            await self._carry(this, Attempt.of(this.job, id, workspace_id, sent, self._executor))
        finally:
            self._tasks.discard(task)
            if this.job.bounded:  # there is room for another one, once the engine has put this one's end on record
                asyncio.get_running_loop().call_later(REFILL, self.ring, name)

    async def _carry(self, this: Carried, attempt: Attempt) -> None:
        try:
            names.asker.set(names.InWorkspace(attempt.workspace_id))
            work = Work(attempt, await taken(attempt.begin))
            await this.body(work, this.job.input.model_validate(attempt.ids))
            if work.next is not None:
                at, turn = work.next, Turn(attempt.turn.root, attempt.turn.round + 1)
                await taken(lambda: attempt.followed_by(turn, at))
            ENDINGS.labels(this.job.name, "done").inc()
        except Gone:
            ENDINGS.labels(this.job.name, "gone").inc()
        except asyncio.CancelledError as error:
            if self._stopping:
                raise
            await self._failed(attempt, error)  # by itself: no other process would continue it
        except Exception as error:
            await self._failed(attempt, error)

    async def _failed(self, attempt: Attempt, error: BaseException) -> None:
        turn: Turn = attempt.turn
        told: dict[str, Any] = {"job": attempt.job.name, "root": turn.root, "attempt": turn.attempt}
        retry = log.warning
        if isinstance(error, Refusal):  # it says by itself what is wrong, as that a server cannot be reached
            told, retry = told | {"cause": error.detail}, log.debug
        else:
            told |= {"exc_info": error}
        if turn.attempt < attempt.job.attempts:
            ENDINGS.labels(attempt.job.name, "failed").inc()
            retry("job failed; another attempt follows", **told)
            pause = timedelta(seconds=min(FIRST_PAUSE * 2 ** (turn.attempt - 1), LONGEST_PAUSE))
            at, following = instance.clock.now() + pause, replace(turn, attempt=turn.attempt + 1)
            try:
                return await taken(lambda: attempt.followed_by(following, at))
            except Exception as fault:
                about = {"job": attempt.job.name, "root": turn.root, "error": type(fault).__name__}
                log.warning("no other attempt can be made", **about)
        ENDINGS.labels(attempt.job.name, "given up").inc()
        log.error("job given up", **told)
        raise GivenUp(type(error).__name__) from None
