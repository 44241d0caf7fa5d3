"""Waits for processes and their output on any event loop, through file descriptors alone.

The loop's own subprocesses are not used: they differ from loop to loop, cannot wait for processes that are not
children, and read output as fast as it is printed.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, TypeVar

from runtime.sandbox.boundary import Finished

log = logging.getLogger("crewship.sandbox")

T = TypeVar("T")

PIECE = 65536  # what a pipe holds
PAUSE = 0.005  # seconds between pieces that are dropped: 13 MB/s, so that endless output does not keep the loop busy
END_TIMEOUT = 10.0

COLLECT_AFTER: Final = 1.0  # seconds for the last output of a process that has ended


async def ready(descriptor: int) -> None:
    """Until the descriptor can be read without waiting: a pipe has bytes or its end, a pidfd's process has ended."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[None] = loop.create_future()

    def see() -> None:
        if not seen.done():
            seen.set_result(None)

    loop.add_reader(descriptor, see)
    try:
        await seen
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    """Waits until the descriptor can be written to, or its reader is gone."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[None] = loop.create_future()

    def see() -> None:
        if not seen.done():
            seen.set_result(None)

    loop.add_writer(descriptor, see)
    try:
        await seen
    finally:
        loop.remove_writer(descriptor)


async def write_all(descriptor: int, content: bytes) -> None:
    """Writes to a non-blocking descriptor. Waits while the reader does not read; drops the rest if the reader
    is gone.
    """
    view = memoryview(content)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await writable(descriptor)
        except OSError:
            return


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """The outcome of `work`, which is not cancelled with the caller: a cancellation waits until it is done."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        task.exception()  # seen; the cancellation says more
        raise cancelled
    return task.result()


Listener = Callable[[int, bytes], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Inside the block, `listener` receives the output of commands while they run: the number of the output (1 or 2),
    and bytes within the limit of what is kept.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Collector:
    """The first bytes of a pipe; what follows `limit` is read and counted, so that no full pipe stops the writer."""

    def __init__(self, descriptor: int, limit: int, number: int) -> None:
        self._descriptor, self._limit, self._number = descriptor, limit, number
        self._listener = _listener.get()
        self._kept = bytearray()
        self._dropped = 0

    async def run(self) -> None:
        """Until the end of the pipe: the last writer has closed it."""
        while True:
            await ready(self._descriptor)
            piece = os.read(self._descriptor, PIECE)
            if not piece:
                return
            room = self._limit - len(self._kept)
            self._kept += piece[:room]
            if self._listener is not None and room > 0:
                self._listener(self._number, piece[:room])
            if len(piece) > room:
                self._dropped += len(piece) - room
                await asyncio.sleep(PAUSE)

    @property
    def truncated(self) -> bool:
        return self._dropped > 0

    @property
    def text(self) -> str:
        text = self._kept.decode(errors="replace")
        return f"{text}\n[{self._dropped} more bytes of output were omitted]\n" if self._dropped else text


class Outputs:
    """Both outputs of a process, collected while it runs."""

    def __init__(self, limit: int) -> None:
        self._ours: list[int] = []
        self.theirs: list[int] = []
        for _ in range(2):
            read, write = os.pipe()
            self._ours.append(read)
            self.theirs.append(write)
        self._collectors = [Collector(descriptor, limit, number) for number, descriptor in enumerate(self._ours, 1)]
        self._tasks: list[asyncio.Task[None]] = []

    def started(self) -> None:
        """The process has its ends."""
        for descriptor in self.theirs:
            os.close(descriptor)
        self.theirs = []

    async def greeting(self) -> bool:
        """Waits for the first byte of stdout, which is not the program's; False when there is none."""
        await ready(self._ours[0])
        return bool(os.read(self._ours[0], 1))

    def collect(self, first: int = 0) -> None:
        """`first` is 1 if another task reads stdout."""
        self._tasks = [asyncio.ensure_future(collector.run()) for collector in self._collectors[first:]]

    @property
    def stdout(self) -> int:
        return self._ours[0]

    def stderr(self) -> str:
        return self._collectors[1].text

    async def rest(self) -> None:
        """The rest in the pipes of an ended process. Waits only a moment: if processes cannot be killed as a whole, a
        remaining one may keep the pipe open for ever.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=COLLECT_AFTER)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for descriptor in (*self._ours, *self.theirs):
            os.close(descriptor)

    def finished(self, exit_code: int, *, timed_out: bool, excess: str = "") -> Finished:
        out, err = self._collectors
        return Finished(
            exit_code, out.text, err.text, timed_out=timed_out, truncated=out.truncated or err.truncated, excess=excess
        )


def child_of(pid: int) -> int | None:
    """The only child of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        children = [
            entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _parent_of(entry) == pid
        ]
    return int(children[0]) if children else None


def _parent_of(process: Path) -> int:
    try:
        return int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def memory_file(content: bytes) -> int:
    """A descriptor that reads as a file with this content, and that no file system ever sees."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def keep(stack: contextlib.ExitStack, descriptor: int) -> int:
    """The descriptor, which is closed with the stack."""
    stack.callback(os.close, descriptor)
    return descriptor


async def end(*pidfds: int) -> None:
    """Kills the processes and waits for their end. The end of a pid namespace's first process ends all others."""
    for pidfd in pidfds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    try:
        async with asyncio.timeout(END_TIMEOUT):
            for pidfd in pidfds:
                await ready(pidfd)
    except TimeoutError:
        log.error("a process did not end %s seconds after SIGKILL", END_TIMEOUT)
