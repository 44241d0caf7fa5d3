"""The unified diff of two documents, as texts of sorted keys. Its cost is bounded for documents of any size."""

import json
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, Final

CONTEXT: Final = 3
MOST_COMPARED: Final = 2_000
"""Lines between the first and the last difference: more are one change."""

Change = tuple[int, int, int, int]
"""Old lines and new lines that differ: their starts and ends."""


def unified(old: Mapping[str, Any], new: Mapping[str, Any], old_name: str, new_name: str) -> str:
    """Empty for equal documents (contract: routines.diff)."""
    before, after = _lines(old), _lines(new)
    parts = [f"--- {old_name}\n", f"+++ {new_name}\n"]
    for hunk in _hunks(list(_changes(before, after))):
        parts += _written(hunk, before, after)
    return "".join(parts) if len(parts) > 2 else ""


def _lines(document: Mapping[str, Any]) -> list[str]:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    return [f"{line}\n" for line in text.split("\n")]


def _changes(before: list[str], after: list[str]) -> Iterator[Change]:
    shorter = min(len(before), len(after))
    start = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    left = shorter - start
    end = next((n for n in range(left) if before[-1 - n] != after[-1 - n]), left)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if not old and not new:
        return
    if len(old) + len(new) > MOST_COMPARED:
        yield start, len(before) - end, start, len(after) - end
        return
    for kind, a, b, c, d in SequenceMatcher(None, old, new).get_opcodes():
        if kind != "equal":
            yield start + a, start + b, start + c, start + d


def _hunks(changes: list[Change]) -> Iterator[list[Change]]:
    """Changes that share lines of context are one hunk."""
    hunk: list[Change] = []
    for change in changes:
        if hunk and change[0] - hunk[-1][1] > 2 * CONTEXT:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _written(hunk: list[Change], before: list[str], after: list[str]) -> Iterator[str]:
    first, last = max(hunk[0][0] - CONTEXT, 0), min(hunk[-1][1] + CONTEXT, len(before))
    new_first, new_last = max(hunk[0][2] - CONTEXT, 0), min(hunk[-1][3] + CONTEXT, len(after))
    yield f"@@ -{_range(first, last)} +{_range(new_first, new_last)} @@\n"
    place = first
    for start, end, new_start, new_end in hunk:
        yield from (f" {line}" for line in before[place:start])
        yield from (f"-{line}" for line in before[start:end])
        yield from (f"+{line}" for line in after[new_start:new_end])
        place = end
    yield from (f" {line}" for line in before[place:last])


def _range(first: int, last: int) -> str:
    """Counted from 1; an empty range names the line ahead of it."""
    size = last - first
    if size == 1:
        return str(first + 1)
    return f"{first + 1 if size else first},{size}"
