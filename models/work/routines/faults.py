"""Faults of a document, with the place of each in its text."""

from collections.abc import Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """`line` and `column` count from 1; `pointer` is a JSON pointer (RFC 6901), empty for the document."""

    line: int
    column: int
    pointer: str
    text: str

    def __str__(self) -> str:
        return f"{self.pointer}: {self.text}" if self.pointer else self.text


@dataclass(frozen=True, slots=True)
class Found:
    """A fault whose place is a path of the document, before its line is known."""

    path: Path
    text: str


class RefusedRoutine(ValueError):
    """A document that is no valid routine, with all faults that were found, in the order of the text."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        lines = [str(fault) for fault in self.faults]
        many = f"{len(lines)} validation errors:\n" + "\n".join(f"  - {line}" for line in lines)
        super().__init__(lines[0] if len(lines) == 1 else many)


def pointer_of(path: Path) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
