"""The interface of a sandbox: its boundary, inputs and results."""

import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from runtime.sandbox.workdir import Workdir

MIB = 1 << 20


class Isolation(StrEnum):
    """The boundary between a command and the machine. `container` is a name so far: nothing detects it."""

    container = "container"
    namespace = "namespace"
    none = "none"


class Network(Protocol):
    """The network of processes in a sandbox: they have a loopback of their own, and the service answers a listener
    there from outside.
    """

    @property
    def listens(self) -> Sequence[tuple[str, int]]:
        """Addresses of the sandbox's loopback, and ports."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that describe the network to programs."""

    def serve(self, listening: Sequence[socket.socket]) -> AbstractAsyncContextManager[None]:
        """Answers at these sockets, one for each of `listens`, while the block lasts, and closes them."""


UNLIMITED: Final = 1 << 47  # bytes: what a processor can address
RESERVED: Final = 4096 * MIB  # to write to, beside what is held
MOST_THREADS: Final = 1024  # of a program that starts others


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, counts and seconds. `memory_sum`, `processes`, `temporary` and `output` limit a command as a whole, `disk`
    and `files` all files of its crew and its agent; the others each process.

    `memory` limits writable memory; `address_space` also counts reserved memory, which is 10 GiB for a JavaScript
    engine that uses 40 MiB, and shared memory. `processes` counts threads too.
    """

    memory: int = 2048 * MIB
    memory_sum: int = 4096 * MIB
    disk: int = 2048 * MIB
    files: int = 100_000
    address_space: int = 16384 * MIB
    processes: int = 256
    file_size: int = 256 * MIB
    cpu_seconds: int = 900
    open_files: int = 1024
    temporary: int = 256 * MIB
    """The size of /tmp, and of /dev/shm: both are memory."""
    output: int = 256 << 10
    """The most bytes of stdout and of stderr; the rest is read and dropped."""

    def of_a_program(self) -> "Limits":
        """The limits of a program that talks while it works. Language engines reserve more than any machine has; an
        engine without the gigabyte in which it compiles runs without compiling, many times slower, and does not report
        it.
        """
        writable = self.memory_sum + RESERVED
        return replace(self, address_space=UNLIMITED, processes=MOST_THREADS, memory=writable)


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a command: its exit code, or 128 + the number of the signal that ended it (137 if it was killed).

    Output is UTF-8, with U+FFFD for invalid bytes. `truncated`: an output was beyond the limit and ends in a note.
    """

    exit_code: int
    stdout: str
    stderr: str
    timed_out: bool = False
    truncated: bool = False
    excess: str = ""
    """The exceeded limit, if the command was killed for it."""


NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


class Sandbox(Protocol):
    @property
    def isolation(self) -> Isolation: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def runs_commands(self) -> bool:
        """False if `run` refuses every command."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        workdir: Workdir,
        timeout: float,  # noqa: ASYNC109
        stdin: bytes | None = None,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
        network: Network | None = None,
    ) -> Finished:
        """Run a program until it ends or for `timeout` seconds; then, or when cancelled, nothing of it is left.

        Starts in the agent's own folder. Without `stdin` there is nothing to read; `environment` is beside its own.
        Raises Failed when it could not be started at all, or the files of its crew are far beyond the limits; a program
        that does not exist is exit code 127. Without a `network` it reaches nothing.
        """


@dataclass(frozen=True, slots=True)
class Report:
    """The boundary of this machine in words: why there is no better one, and how to get it; empty if there is nothing
    to do.
    """

    isolation: Isolation
    runs_commands: bool
    why: str = ""
    fix: str = ""
    program: str = ""
    """The program that creates the boundary, and its version."""
    limits: str = ""
    """The means that enforces the limits of a command as a whole; empty if they are polled, for the reason in
    `no_groups`.
    """
    no_groups: str = ""


CUT_OFF: Final = 137
NOT_FOUND: Final = 127
