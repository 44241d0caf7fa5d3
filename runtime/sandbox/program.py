"""A program in a sandbox that is listened to while it works."""

import asyncio
import os
import select
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.sandbox.boundary import Network
from runtime.sandbox.process import COLLECT_AFTER, PIECE, ready, write_all


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory of the host that a program finds at a path of the sandbox, and cannot change."""

    source: Path
    at: str


@dataclass(frozen=True, slots=True)
class Start:
    """The start of a program: its input, environment and files."""

    argv: tuple[str, ...]
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    network: Network | None = None
    talks: bool = False
    """True if input is written while the program works, instead of at the start."""
    for_people: bool = False
    """True if the program changes no files of the crew and has a temporary, empty home: the agent's home holds what its
    programs know.
    """


class Program:
    """`watching` has the reason for which it was killed, if any; `code` is its exit code otherwise."""

    def __init__(
        self,
        stdout: int,
        watching: Coroutine[Any, Any, str],
        code: Callable[[], int | None],
        stderr: Callable[[], str],
        stdin: int | None = None,
    ) -> None:
        self._stdout = stdout
        self._watch = asyncio.ensure_future(watching)
        self._code, self._stderr, self._stdin = code, stderr, stdin
        self.excess = ""

    async def read(self) -> bytes:
        """The program's next output; empty when it has ended. Other processes that hold its output are not
        waited for.
        """
        while True:
            waiting = asyncio.ensure_future(ready(self._stdout))
            try:
                timeout = COLLECT_AFTER if self._watch.done() else None
                await asyncio.wait(
                    {waiting} if self._watch.done() else {waiting, self._watch},
                    timeout=timeout,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if waiting.done():
                    if piece := os.read(self._stdout, PIECE):
                        return piece
                    await asyncio.wait({self._watch})
                elif timeout is None:
                    continue  # it has just ended: once more for what is left
                self.excess = self._watch.result()
                return b""
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    async def write(self, content: bytes) -> None:
        """To one that talks. Waits while it reads nothing."""
        assert self._stdin is not None
        await write_all(self._stdin, content)

    @property
    def has_more(self) -> bool:
        """True if some of its output was not read yet."""
        return bool(select.select([self._stdout], [], [], 0)[0])

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and if it was killed."""
        return self._code()

    @property
    def stderr(self) -> str:
        """The beginning of it."""
        return self._stderr()

    async def close(self) -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
