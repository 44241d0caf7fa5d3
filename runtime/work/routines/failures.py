"""The failure of a step, and what its text says: the status, the kind of fault, and which failures are the same."""

import hashlib
import re
from typing import Final

_STATUS: Final = re.compile(r"\bHTTP ([1-5]\d\d)\b")
_TRANSIENT: Final = re.compile(
    r"\b429\b|rate.?limit|\b50[0234]\b|internal server error|bad gateway|service unavailable|gateway time-?out"
    r"|overloaded|time[ds]?[ -]?out|deadline exceeded|did not answer|refused|cannot be reached|\breset\b|broken pipe"
    r"|closed the connection|\bEOF\b",
    re.IGNORECASE,
)
_CHANGING: Final = re.compile(
    r"\b(?:run|pln|pnd|batch)_[a-z0-9]+"
    r"|\d{4}-\d\d-\d\d[t ]\d\d:\d\d:\d\d(?:\.\d+)?(?:z|[+-]\d\d:?\d\d)?"
    r"|\b(?:0x)?[0-9a-f]{8,}\b"
    r"|\d+(?:\.\d+)?"
)


class StepError(Exception):
    """An attempt at a step has failed. `final`: another attempt would fail in the same way. `cost`: US dollars that it
    has spent all the same.
    """

    def __init__(self, text: str, *, final: bool = False, cost: float = 0.0) -> None:
        super().__init__(text)
        self.text, self.final, self.cost = text, final, cost


def status_in(text: str) -> int:
    """The status of a text with 'HTTP ddd', else 0."""
    found = _STATUS.search(text)
    return int(found[1]) if found else 0


def is_transient(text: str) -> bool:
    """Returns true if the text speaks of a fault that may pass by itself."""
    return _TRANSIENT.search(text) is not None


def fingerprint(step: str, text: str) -> str:
    """16 hexadecimal digits, the same for failures that differ only in ids, times and numbers."""
    plain = " ".join(_CHANGING.sub("#", text.lower()).split())
    return hashlib.sha256(f"{step}\0{plain}".encode(errors="replace")).hexdigest()[:16]
