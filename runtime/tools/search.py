"""Searches the files of a crew.

Literal text is searched here, in a thread, with limits on bytes and time. Regular expressions are not: Python's matcher
takes exponential time for some, holds the interpreter's lock meanwhile, and cannot be interrupted, so a thread would
stop every request of the process. grep takes them, in the sandbox, and is killed after a few seconds.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from resolvers.instance.confined import open_file
from resolvers.rules.agent_folders import OUTPUT
from runtime.runs.job import Failed
from runtime.sandbox import Sandbox, Workdir
from runtime.tools.files import DEEPEST, CrewPath, FileError, Found, directory, is_file, read, shown, walk

MATCHES = 200
LINE = 300  # characters of a line that are shown
FILE_LIMIT = 4 << 20
TOTAL_LIMIT = 128 << 20
SECONDS = 8.0
SKIPPED = frozenset({".git"})


@dataclass(slots=True)
class Matches:
    """Lines as `path:number: text`, and why there may be more."""

    lines: list[str] = field(default_factory=list)
    incomplete: str = ""

    def add(self, place: str, number: int, text: str) -> bool:
        """False if there is no room left."""
        if len(self.lines) >= MATCHES:
            self.incomplete = f"more than {MATCHES} matching lines"
            return False
        self.lines.append(f"{place}:{number}: {text.strip()[:LINE]}")
        return True


@dataclass(frozen=True, slots=True)
class SearchBudget:
    """The remaining bytes and the deadline of a search."""

    bytes: int
    until: float

    def less(self, used: int) -> "SearchBudget":
        return SearchBudget(self.bytes - used, self.until)

    @property
    def spent(self) -> str:
        if time.monotonic() > self.until:
            return f"the search ended after {SECONDS:.0f} seconds"
        return f"the search ended after {TOTAL_LIMIT >> 20} MiB" if self.bytes <= 0 else ""


def search_text(workdir: Workdir, place: CrewPath, text: str, *, ignore_case: bool) -> Matches:
    """Lines that hold `text`, in the files below `place` or in the one that it is. Blocks; for a thread."""
    matches, budget = Matches(), SearchBudget(TOTAL_LIMIT, time.monotonic() + SECONDS)
    wanted = text.casefold() if ignore_case else text
    for name, content in _contents(workdir, place):
        budget = budget.less(len(content))
        for number, line in enumerate(content.decode(errors="replace").split("\n"), 1):
            if wanted in (line.casefold() if ignore_case else line) and not matches.add(name, number, line):
                return matches
        if reason := budget.spent:
            matches.incomplete = reason
            return matches
    return matches


def _contents(workdir: Workdir, place: CrewPath) -> Iterator[tuple[str, bytes]]:
    """Texts with the path of each. Binary files and very long ones are left out."""
    if is_file(workdir, place):
        with directory(workdir, CrewPath(place.names[:-1])) as parent:
            yield from _text(parent, place.names[-1], place)
        return
    with directory(workdir, place) as start:
        for here, entries in walk(start, depth=DEEPEST, skip=SKIPPED):
            for entry in _files(entries):
                yield from _text(here, entry.names[-1], CrewPath((*place.names, *entry.names)))


def _files(entries: list[Found]) -> Iterator[Found]:
    return (entry for entry in entries if entry.kind == "file" and entry.size <= FILE_LIMIT)


def _text(parent: int, name: str, place: CrewPath) -> Iterator[tuple[str, bytes]]:
    try:
        descriptor = open_file(parent, name)
        try:
            content = read(descriptor, FILE_LIMIT)
        finally:
            os.close(descriptor)
    except OSError:
        return
    if b"\0" not in content[:8192]:
        yield str(place), content


async def search_expression(
    sandbox: Sandbox, workdir: Workdir, place: CrewPath, expression: str, *, ignore_case: bool
) -> Matches:
    """The same for an extended regular expression (POSIX), by grep in the sandbox. Raises FileError if it is wrong."""
    if not sandbox.runs_commands:
        raise FileError("Regular expressions cannot be used on this server; search for literal text")
    await asyncio.to_thread(is_file, workdir, place)  # grep would wait for the writer of a pipe
    start = "/".join(
        (OUTPUT if sandbox.isolation != "none" else str(workdir.storage.joinpath(*workdir.output)), *place.names)
    )
    options = [
        "-rHnIZsE",
        f"-m{MATCHES + 1}",
        *(f"--exclude-dir={name}" for name in sorted(SKIPPED)),
        *(["-i"] if ignore_case else []),
    ]
    try:
        ended = await sandbox.run(["grep", *options, "-e", expression, "--", start], workdir=workdir, timeout=SECONDS)
    except Failed as failed:
        raise FileError(str(failed)) from failed
    matches = Matches()
    if ended.exit_code not in (0, 1) and not ended.timed_out and not ended.stdout:
        raise FileError(
            f"The expression cannot be used: {ended.stderr.strip().removeprefix('grep: ') or 'nothing was searched'}"
        )
    for line in ended.stdout.split("\n"):
        path, found, rest = line.partition("\0")
        number, _, text = rest.partition(":")
        if (
            found
            and number.isdecimal()
            and not matches.add(shown(path.replace(start, str(place), 1)), int(number), text)
        ):
            break
    if ended.timed_out:
        matches.incomplete = f"the search ended after {SECONDS:.0f} seconds"
    elif ended.truncated and not matches.incomplete:
        matches.incomplete = "the output was too long"
    return matches
