"""Reports what held the event loop: while one request computes, this process answers no other.

A timer of the loop records the processor time of its thread (a beat); a thread of its own samples the loop's frames. A
beat that is late, in processor time and not by the clock, means that something held the loop, and the samples in
between show what. Processor time, so that a busy machine is no false alarm; samples, so that many small turns in one
round of the loop are none either. Requests pay nothing: the operation is read from the frames of the thread.

The thread reads its own frames, in the handler of a signal: if another thread read them while they run, the interpreter
would crash.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
from prometheus_client import Histogram

from resolvers.instance.telemetry import log
from resolvers.kernel.declarations.operation import Operation

LIMIT = 0.05  # seconds of the processor
BEAT, TICK = 0.025, 0.02  # seconds between two beats, and between two samples
DEEP = 8  # the deepest stack that is reported
SAMPLE = signal.SIGURG  # nothing else uses it, and without a handler it is ignored
HOUSE = frozenset({"crewship", "models", "resolvers", "rest_compat", "runtime", "schema"})

STALLS = Histogram(
    "crewship_loop_stall_seconds",
    "Processor time for which one turn held the event loop, where that was too long",
    ["operation"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_OPERATION, _TURN = Operation.__call__.__code__, asyncio.Handle._run.__code__


@dataclass(frozen=True, slots=True)
class Stall:
    """`operation` is empty where none was under way. `stack`: places in this project's own modules, the innermost
    first. `root`: the module where the turn began. `collector`: how much of it went to full rounds of the garbage
    collector, which look at everything the process keeps.
    """

    seconds: float
    operation: str
    stack: tuple[str, ...]
    root: str
    collector: float = 0.0


Tell = Callable[[Stall], None]


@contextlib.contextmanager
def delays() -> Iterator[Callable[[], float]]:
    """For how many seconds the thread that asks was ready to run, and was given no processor (Linux, schedstat); none
    where the system does not say.
    """
    try:
        file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        yield lambda: 0.0
        return
    try:
        yield lambda: int(os.pread(file, 64, 0).split()[1]) / 1e9
    finally:
        os.close(file)


def warn(stall: Stall) -> None:
    log.warning(
        "event loop held",
        operation=stall.operation,
        milliseconds=round(stall.seconds * 1000),
        collector=round(stall.collector * 1000),
        where=list(stall.stack),
    )


def recorder(file: Path) -> Tell:
    """Appends stalls to a file, a line of JSON each."""

    def record(stall: Stall) -> None:
        line = {
            "seconds": stall.seconds,
            "operation": stall.operation,
            "stack": stall.stack,
            "root": stall.root,
            "collector": stall.collector,
            "process": os.getpid(),
        }
        with file.open("ab") as written:
            written.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    return record


class LoopTurn:
    """One callback or task step of the loop, as samples see it: it began between `after` and `seen`, and was there
    still at `last`.
    """

    __slots__ = ("after", "frame", "last", "operation", "root", "seen", "stack")

    def __init__(self, frame: FrameType | None, after: float, seen: float) -> None:
        self.frame, self.after, self.seen, self.last = frame, after, seen, seen
        self.operation = self.root = ""
        self.stack: tuple[str, ...] = ()

    def look(self, innermost: FrameType) -> None:
        places: list[str] = []
        frame: FrameType | None = innermost
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.partition(".")[0] in HOUSE and len(places) < DEEP:
                places.append(f"{module}:{frame.f_lineno} {frame.f_code.co_name}")
            if frame.f_code is _OPERATION and not self.operation:
                self.operation = frame.f_locals["self"].name
            self.root = module
            frame = None if frame is self.frame else frame.f_back
        self.stack = tuple(places)


class Watchdog:
    """Watches the loop in which it is started: the main thread's, because only that thread handles signals."""

    def __init__(self, *tell: Tell) -> None:
        self._tell = tell
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._beat_at = 0.0  # by the processor time of the loop's thread, as all times here
        self._late: deque[tuple[float, float]] = deque(maxlen=100)  # between which two beats there was too much
        self._base: FrameType | None = None  # in which the loop runs
        self._turns: list[LoopTurn] = []  # since the last beat
        self._ident = 0
        self._asked = (0.0, 0.0)  # for a sample, between these two times
        self._handled: Any = None  # SAMPLE, before
        self._round_at = 0.0  # when the collector began
        self._rounds: deque[tuple[float, float]] = deque(maxlen=100)  # when a full one ended, and how long it took

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._beat_at = time.thread_time()
        self._ident = threading.get_ident()
        self._handled = signal.signal(SAMPLE, self._sample)
        gc.callbacks.append(self._collecting)
        self._beat()
        self._thread = threading.Thread(target=self._watch, args=(self._ident,), name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._collecting in gc.callbacks:
            gc.callbacks.remove(self._collecting)
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()
            signal.signal(SAMPLE, self._handled)
        while self._late:
            self._judge(*self._late.popleft())
        self._base, self._turns = None, []

    # ---- in the loop ---------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        now = time.thread_time()
        if now - self._beat_at > LIMIT:
            self._late.append((self._beat_at, now))
        self._beat_at = now
        frame = sys._getframe(1)
        if frame.f_code is _TURN and frame.f_back is not None:  # a loop written in Python
            frame = frame.f_back.f_back or frame
        self._base = frame
        assert self._loop is not None
        self._timer = self._loop.call_later(BEAT, self._beat)

    def _sample(self, _: int, innermost: FrameType | None) -> None:
        if innermost is None:
            return
        (before, now), frame = self._asked, self._turn_of(innermost)
        if not self._turns or self._turns[-1].frame is not frame:
            self._turns.append(LoopTurn(frame, before, now))
        self._turns[-1].last = now
        if frame is not None and now - self._beat_at > LIMIT / 2:
            self._turns[-1].look(innermost)

    def _turn_of(self, innermost: FrameType) -> FrameType | None:
        """The outermost frame of what the loop is doing; None when it is not running."""
        turn, frame = None, innermost
        while (outer := frame.f_back) is not None:
            if outer.f_code is _TURN:
                turn = frame
            if outer is self._base:
                return turn or frame
            frame = outer
        return turn

    def _collecting(self, phase: str, about: dict[str, int]) -> None:
        if about["generation"] < 2 or threading.get_ident() != self._ident:
            return
        now = time.thread_time()
        if phase == "start":
            self._round_at = now
        else:
            self._rounds.append((now, now - self._round_at))

    # ---- beside it -----------------------------------------------------------------------------------------------

    def _watch(self, thread: int) -> None:
        clock = time.pthread_getcpuclockid(thread)
        before, beat_at = time.clock_gettime(clock), self._beat_at
        with delays() as delay:
            delayed = delay()
            while not self._stopped.wait(TICK):
                now = time.clock_gettime(clock)
                call = self._call(thread, before, now) if now - before > LIMIT else None
                delays_now = delay()  # lets the loop go on
                while self._late:
                    self._judge(*self._late.popleft())
                if beat_at != self._beat_at:
                    beat_at, self._turns = self._beat_at, []
                if now - before > TICK / 10:
                    # what the loop did while this thread was not let run may have been many turns
                    began = min(before + delays_now - delayed, now)
                    self._asked = max(began, beat_at), now
                    if call is not None and now - began > LIMIT:
                        call.after = self._asked[0]
                        self._turns.append(call)
                    else:
                        signal.pthread_kill(thread, SAMPLE)
                before, delayed = now, delays_now

    def _call(self, thread: int, before: float, now: float) -> LoopTurn | None:
        """A call into C that let no other thread run: it is over before a signal is handled. Of its caller nothing but
        the frame itself is looked at.
        """
        frame = sys._current_frames().get(thread)
        if frame is None:
            return None
        turn = LoopTurn(frame, before, now)
        turn.root = frame.f_globals.get("__name__", "")
        turn.stack = (f"{turn.root}:{frame.f_lineno} {frame.f_code.co_name}",)
        return turn

    def _judge(self, begin: float, end: float) -> None:
        """Between these two beats the loop was late."""
        worst, longest = None, LIMIT
        turns = [turn for turn in self._turns if begin <= turn.after < end]
        if not turns:  # the system gave this thread no time to look
            return
        for turn, until in zip(turns, [*(turn.seen for turn in turns[1:]), end], strict=True):
            # Both ends are known to a tick, half of which is too much on average. What came after the last sample is
            # another turn's as well as this one's, where the system gave the thread that looks no time.
            held = min(until, end, turn.last + TICK) - turn.after - TICK
            if turn.frame is not None and held > longest:
                worst, longest = turn, held
        if worst is not None:
            collector = sum(took for ended, took in list(self._rounds) if begin <= ended <= end)
            stall = Stall(longest, worst.operation, worst.stack, worst.root, min(collector, longest))
            STALLS.labels(stall.operation).observe(stall.seconds)
            for tell in self._tell:
                try:
                    tell(stall)
                except Exception as error:  # such as a full disk, or a log that was closed; the watch continues
                    with contextlib.suppress(Exception):
                        log.error("stall not reported", exc_info=error)
