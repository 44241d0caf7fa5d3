"""Name lookups run in threads, which wait for name servers of strangers: lanes limit how many threads each asker holds.

An asker whose names get no answer holds only the threads of its share; others have theirs. The operator's services have
a lane of their own.
"""

import socket
import threading
import time
from asyncio import timeout, wrap_future
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from prometheus_client import Gauge

from resolvers.errors import Code, Refusal

SHARE = 4  # threads that one workspace or user holds at once, of a lane's
MOST_WAITING = 64  # look-ups that wait for a thread of one share
PATIENCE = 5.0  # seconds to the addresses of a name; its thread continues for as long as the system tries
FAILED_FOR = 2.0  # seconds in which a name that has failed is not looked up again
MOST_FAILED = 1000
WAITING = Gauge("crewship_name_lookups_waiting", "Look-ups of names that wait for a thread", ["lane"])
UNDER_WAY = Gauge("crewship_name_lookups_under_way", "Look-ups of names that hold a thread", ["lane"])


class Asker(Protocol):
    """On whose behalf a name is looked up; both are empty for the service itself."""

    @property
    def workspace_id(self) -> str | None: ...
    @property
    def user_id(self) -> str: ...


asker: ContextVar[Asker | None] = ContextVar("asker", default=None)
"""The caller that lookups are counted for; set by the code that executes operations and jobs."""


@dataclass(frozen=True, slots=True)
class InWorkspace:
    workspace_id: str
    user_id: str = ""


@dataclass(slots=True, eq=False)
class _Job:
    host: str
    port: int
    keys: tuple[str, ...]
    found: Future[list[Any]] = field(default_factory=Future)


class Lane:
    """So many threads, which are taken in turns by those who have not their share of them."""

    def __init__(self, name: str, threads: int, share: int = SHARE) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free, self._share, self._lock = threads, share, threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: list[_Job] = []
        self._failed: dict[str, float] = {}  # names, until when
        WAITING.labels(name).set_function(lambda: len(self._waiting))
        UNDER_WAY.labels(name).set_function(lambda: threads - self._free)

    async def look_up(self, host: str, port: int) -> list[Any]:
        """The addresses that the system finds; none for a name that is unknown, or was a moment ago."""
        if self._failed.get(host, 0.0) > time.monotonic():
            return []
        job = _Job(host, port, _keys())
        self._enter(job)
        try:
            async with timeout(PATIENCE):
                return await wrap_future(job.found)
        except TimeoutError:
            if job.found.running():
                self._note(host)
            raise Refusal(Code.BAD_GATEWAY, "The host's name could not be resolved in time") from None
        except (OSError, UnicodeError):
            self._note(host)
            return []
        finally:
            with self._lock:
                if job in self._waiting:
                    self._waiting.remove(job)

    def _enter(self, job: _Job) -> None:
        with self._lock:
            if self._may_begin(job):
                self._begin(job)
            elif any(sum(key in other.keys for other in self._waiting) >= MOST_WAITING for key in job.keys):
                raise Refusal(Code.RATE_LIMITED, "Too many name lookups at once")
            else:
                self._waiting.append(job)

    def _may_begin(self, job: _Job) -> bool:
        return self._free > 0 and all(self._held[key] < self._share for key in job.keys)

    def _begin(self, job: _Job) -> None:
        self._free -= 1
        self._held.update(job.keys)
        self._threads.submit(self._work, job)

    def _work(self, job: _Job) -> None:
        try:
            if job.found.set_running_or_notify_cancel():
                job.found.set_result(socket.getaddrinfo(job.host, job.port, type=socket.SOCK_STREAM))
        except Exception as error:
            job.found.set_exception(error)
        finally:
            self._end(job)

    def _end(self, job: _Job) -> None:
        with self._lock:
            self._free += 1
            self._held.subtract(job.keys)
            self._held += Counter()  # those that hold none are forgotten
            for other in list(self._waiting):
                if self._may_begin(other):
                    self._waiting.remove(other)
                    self._begin(other)

    def _note(self, host: str) -> None:
        if len(self._failed) >= MOST_FAILED:
            self._failed.clear()
        self._failed[host] = time.monotonic() + FAILED_FOR


def _keys() -> tuple[str, ...]:
    """The keys of the shares: one for the workspace and one for the user; calls without either share one."""
    known = asker.get()
    if known is None:
        return ("",)
    return tuple(filter(None, (known.workspace_id, known.user_id))) or ("",)


CHOSEN = Lane("names", 32)
"""For names that clients may have chosen."""
CONFIGURED = Lane("configured-names", 8, share=8)
"""The lane for the operator's services, for all callers."""
