"""Work whose cost a document determines: done outside the event loop, in turns, within shares of slots and time.

Python runs one thread at a time, so this makes nothing faster: it lets other requests be served meanwhile.
Authenticated callers have a thread of their own, so they share the interpreter with at most one piece of work of an
unauthenticated caller, and wait behind none.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, thread_time
from typing import Any, NamedTuple, TypeVar

from resolvers.attention.channels import identify
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.instance.addresses import site

T = TypeVar("T")
MOST = 64  # pieces that wait or are under way, in one line
ALLOWED = 1.0  # seconds of processor time that a stranger may use at once; they come back within MINUTE
MINUTE = 60.0
ACCOUNTS = 10_000  # strangers whose time is kept
FULL = "Too many new documents at once; try again"
SPENT = "Your new documents have used up this minute's processor time; sign in, or try again later"


class Party(NamedTuple):
    """The client that the work is for: a user or, without a valid credential, an address. Each takes its turns by
    `key`.
    """

    is_user: bool
    key: str


class Who:
    """The client, looked up once by a request that brings a new document."""

    __slots__ = ("_caller", "_party")

    def __init__(self, caller: Caller, party: Party | None = None) -> None:
        self._caller, self._party = caller, party

    async def party(self) -> Party:
        """Raises Refusal UNAVAILABLE if the database does not answer."""
        if self._party is None:
            self._party = await self._found()
        return self._party

    async def _found(self) -> Party:
        if self._caller.kind not in (CredentialKind.NONE, CredentialKind.INVALID):
            try:
                return Party(True, await identify(self._caller))
            except Refusal as refusal:
                if refusal.code is Code.UNAVAILABLE:
                    raise
        return Party(False, site(self._caller.client))


class Budget:
    """Seconds of processor time that each key may use, given back evenly over a minute."""

    def __init__(self, allowed: float = ALLOWED) -> None:
        self._allowed = allowed
        self._used: dict[str, tuple[float, float]] = {}

    def left(self, key: str) -> float:
        used, at = self._used.get(key, (0.0, 0.0))
        return self._allowed - max(0.0, used - (monotonic() - at) * self._allowed / MINUTE)

    def charge(self, key: str, seconds: float) -> None:
        used = self._allowed - self.left(key) + seconds
        self._used.pop(key, None)
        self._used[key] = (used, monotonic())
        while len(self._used) > ACCOUNTS:
            del self._used[next(iter(self._used))]


@dataclass(eq=False, slots=True)
class Piece:
    work: Callable[[], Any]
    done: "asyncio.Future[Any]"


@dataclass(eq=False)
class Line:
    """One thread, and the pieces that wait for it. Keys take turns; where `most` wait, the key with most of them loses
    its last one. With a budget, a key that has used up its time is refused.
    """

    most: int = MOST
    budget: Budget | None = None
    _turns: dict[str, deque[Piece]] = field(default_factory=dict)
    _waiting: int = 0
    _working: bool = False
    _serving: "asyncio.Task[None] | None" = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="graphql"))

    async def run(self, work: Callable[[], T], key: str) -> T:
        """Returns or raises the result of `work`. Raises Refusal UNAVAILABLE if the queue is full, and RATE_LIMITED."""
        self._refuse_spent(key)
        piece = Piece(work, asyncio.get_running_loop().create_future())
        own = self._turns.setdefault(key, deque())
        own.append(piece)
        self._waiting += 1
        if self._waiting > self.most:
            crowd = max(self._turns.values(), key=len)
            last = crowd.pop().done
            self._waiting -= 1
            if not last.done():  # no caller waits for a cancelled one
                last.set_exception(Refusal(Code.UNAVAILABLE, FULL))
        if not self._working:
            self._working = True
            self._serving = asyncio.get_running_loop().create_task(self._serve())
        made: T = await piece.done
        return made

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._turns:
                key = next(iter(self._turns))
                waiting = self._turns.pop(key)
                if not waiting:
                    continue
                piece = waiting.popleft()
                if waiting:
                    self._turns[key] = waiting  # behind all others
                try:
                    if not piece.done.done():  # no caller waits for a cancelled one
                        self._refuse_spent(key)
                        used, made, error = await loop.run_in_executor(self._thread, _measured, piece.work)
                        if self.budget is not None:
                            self.budget.charge(key, used)
                        if not piece.done.done():
                            piece.done.set_result(made) if error is None else piece.done.set_exception(error)
                except Refusal as refusal:
                    piece.done.set_exception(refusal)
                finally:
                    self._waiting -= 1
        finally:
            self._working = False

    def _refuse_spent(self, key: str) -> None:
        if self.budget is not None and self.budget.left(key) <= 0:
            raise Refusal(Code.RATE_LIMITED, SPENT)


def _measured(work: Callable[[], T]) -> tuple[float, T | None, Exception | None]:
    """Seconds of this thread, and what the work returned or raised."""
    began, made, fault = thread_time(), None, None
    try:
        made = work()
    except Exception as error:
        fault = error
    return thread_time() - began, made, fault


class Worker:
    """The line of users, and that of strangers, who have `allowed` seconds of it a minute; None where rates are not
    limited.
    """

    def __init__(self, most: int = MOST, allowed: float | None = None) -> None:
        self.users = Line(most)
        self.strangers = Line(most, None if allowed is None else Budget(allowed))

    async def run(self, work: Callable[[], T], who: Who) -> T:
        """See Line.run."""
        party = await who.party()
        return await (self.users if party.is_user else self.strangers).run(work, party.key)
