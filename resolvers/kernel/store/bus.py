"""Wake-ups between processes: a hint to look again, without content or authority.

A process that commits notifies, and processes that wait look at the tables. Anyone in the database can forge a wake-up,
and any can be lost: a forged one costs a look, a lost one a delay, because waiting processes also look by themselves,
most of them every five seconds. A wake-up that could not be sent is repeated, without its key, until it is sent.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from broadcaster import Broadcast

from resolvers.instance.telemetry import log

CHANNEL = "crewship"
GATHER = 0.001  # seconds in which the rings for other processes are gathered into one message
APART = 0.02  # seconds between two messages at least: under load a few do for all
AGAIN = 1.0  # seconds after which rings are sent once more that were lost
QUIET = 10.0  # seconds between two log lines about messages that were lost
LONGEST = 7900  # bytes of a message; PostgreSQL takes 7999
ANYTHING = ""
BETWEEN = "\x1e"  # rings of a message; a key that holds it, as a chat's may that a client has named, is left out

Callback = Callable[[str], None]


class Topic(StrEnum):
    """The kind of change; the comment names what the key contains. The values travel between processes."""

    events = "e"  # rows of the outbox
    frames = "f"  # frames of a chat (workspace/id)
    queue = "q"  # a run waits for a worker
    cancel = "c"  # a run is to be cancelled (its id)
    jobs = "j"  # a job waits for a worker (its name)
    access = "a"  # what a user may do (the user's id)
    settings = "s"  # what holds for the whole instance (its name)
    runners = "r"  # work of a runner, or its progress (the runner's id, or the call's)


class Bus:
    """Rings inside this process at once, in others through a broadcaster backend once `open`ed."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(4)
        self._callbacks: dict[Topic, dict[Callback, None]] = {topic: {} for topic in Topic}
        self._pending: set[str] = set()
        self._missed: set[str] = set()  # topics of rings that were lost
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._sent = 0.0
        self._broadcast: Broadcast | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost, self._silent_until = 0, 0.0

    def on(self, topic: Topic, callback: Callback) -> Callable[[], None]:
        """Calls `callback(key)` in the event loop at each ring; a key of ANYTHING means that rings may have been
        missed. Returns what ends it.
        """
        self._callbacks[topic][callback] = None
        return lambda: self._callbacks[topic].pop(callback, None)

    def ring(self, topic: Topic, key: str = ANYTHING) -> None:
        """After the commit. Never fails and never waits."""
        for callback in list(self._callbacks[topic]):
            callback(key)
        if self._broadcast is not None:
            self._pending.add(topic.value + (ANYTHING if BETWEEN in key else key))
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_at(max(loop.time() + GATHER, self._sent + APART), self._send)

    async def open(self, backend: Any) -> None:
        """`backend` has broadcaster's interface; see crewship/process/wakeups.py."""
        broadcast = Broadcast(backend=backend)
        await broadcast.connect()
        self._broadcast = broadcast
        self._spawn(self._listen(broadcast))

    async def close(self) -> None:
        broadcast, self._broadcast = self._broadcast, None
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
        self._timer = self._retry = None
        self._sent = self._silent_until = 0.0  # another loop has another time
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._retry is not None:  # set by what has ended just now
            self._retry.cancel()
            self._retry = None
        self._pending.clear()
        self._missed.clear()
        if broadcast is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await broadcast.disconnect()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self) -> None:
        self._timer, self._sent = None, asyncio.get_running_loop().time()
        pending, self._pending, self._missed = self._pending | self._missed, set(), set()
        if self._broadcast is not None and pending:
            self._spawn(self._publish(self._broadcast, pending))

    def _send_again(self) -> None:
        self._retry = None
        if self._timer is None:  # else they go with the others
            self._send()

    def _written(self, rings: set[str]) -> str:
        message = BETWEEN.join((self._name, *sorted(rings)))
        return (
            message
            if len(message.encode()) <= LONGEST
            else BETWEEN.join((self._name, *sorted({ring[:1] for ring in rings})))
        )

    async def _publish(self, broadcast: Broadcast, rings: set[str]) -> None:
        try:
            await broadcast.publish(CHANNEL, self._written(rings))
        except Exception as error:
            self._lost += 1
            loop = asyncio.get_running_loop()
            self._missed |= {ring[:1] for ring in rings}
            if self._retry is None:
                self._retry = loop.call_later(AGAIN, self._send_again)
            now = loop.time()
            if now >= self._silent_until:
                log.warning("wake-ups lost", number=self._lost, error=type(error).__name__)
                self._lost, self._silent_until = 0, now + QUIET

    async def _listen(self, broadcast: Broadcast) -> None:
        async with broadcast.subscribe(CHANNEL) as subscriber:
            while True:
                self._received((await subscriber.get()).message)

    def _received(self, message: str) -> None:
        sender, *rings = message.split(BETWEEN)
        if sender == self._name:
            return
        if not rings:  # the backend lost its connection for a while
            rings = [topic.value for topic in Topic]
        for ring in rings:
            if ring[:1] in self._known:
                for callback in list(self._callbacks[Topic(ring[:1])]):
                    callback(ring[1:])

    _known = frozenset(topic.value for topic in Topic)


bus = Bus()
