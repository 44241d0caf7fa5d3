"""W3C Trace Context: the trace of a caller, and that of a run for the servers that it calls.

Ids follow from runs, so that what is exported after a run's end fits what was sent while it ran.
"""

import hashlib
import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

SANE: Final = re.compile(r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}")
LONGEST: Final = 200  # characters: a later version may have more fields

current: ContextVar[str | None] = ContextVar("current", default=None)
"""The `traceparent` of the run that this task works for, if traces are exported."""


@dataclass(frozen=True, slots=True)
class CallingSpan:
    """The span that asked for a run."""

    trace: int
    span: int


def sane(given: bytes) -> str | None:
    """Returns the first four fields of a `traceparent`, or None if it is malformed."""
    if len(given) > LONGEST or not given.isascii():
        return None
    text = given.decode()
    found = SANE.match(text)
    if found is None or (found.end() < len(text) and (found[1] == "00" or text[found.end()] != "-")):
        return None
    return found[0]


def parent_of(traceparent: str | None) -> CallingSpan | None:
    found = None if traceparent is None else SANE.fullmatch(traceparent)
    return None if found is None else CallingSpan(int(found[2], 16), int(found[3], 16))


def trace_id(root: str, traceparent: str | None) -> int:
    """Returns the trace of the caller, or else one that follows from `root`, the run that no other run asked for."""
    parent = parent_of(traceparent)
    return int.from_bytes(hashlib.sha256(root.encode()).digest()[:16]) if parent is None else parent.trace


def span_id(run_id: str, seq: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{run_id}/{seq}".encode()).digest()[:8])


def traceparent_of(run_id: str, root: str, given: str | None) -> str:
    """The span of a run."""
    return f"00-{trace_id(root, given):032x}-{span_id(run_id, 0):016x}-01"


def headers() -> dict[str, str]:
    """For a server that the run of this task calls."""
    own = current.get()
    return {} if own is None else {"traceparent": own}
