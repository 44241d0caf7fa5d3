"""The canonical text of a document, its hash, and what differs between two, by step.

Order of keys, layout, comments and the language (YAML or JSON) make no difference; unknown keys do, because a document
keeps them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

_LARGEST_WHOLE: Final = 2**53


@dataclass(frozen=True, slots=True)
class StepChange:
    """`keys` are the keys of a changed step that differ."""

    id: str
    kind: Literal["added", "removed", "changed", "moved"]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoutineChange:
    """`keys` are the keys beside `steps` that differ."""

    keys: tuple[str, ...]
    steps: tuple[StepChange, ...]


def canonical_text(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, without blanks; a number that is whole has no fraction."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical_text(value).encode()).hexdigest()


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
        return int(value)
    return value


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> RoutineChange:
    """The changes between two valid documents. Steps are the same if their ids are."""
    before, after = ({step["id"]: step for step in each["steps"]} for each in (old, new))
    kept = [id_ for id_ in after if id_ in before]
    unmoved = _longest_in_order([list(before).index(id_) for id_ in kept])
    changes: list[StepChange] = [StepChange(id_, "removed") for id_ in before if id_ not in after]
    for id_ in after:
        if id_ not in before:
            changes.append(StepChange(id_, "added"))
        elif keys := _differing(before[id_], after[id_]):
            changes.append(StepChange(id_, "changed", keys))
        elif list(before).index(id_) not in unmoved:
            changes.append(StepChange(id_, "moved"))
    return RoutineChange(tuple(key for key in _differing(old, new) if key != "steps"), tuple(changes))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    absent: Any = object()
    return tuple(
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key, absent) is not new.get(key, absent)
        and (key not in old or key not in new or canonical_text({"": old[key]}) != canonical_text({"": new[key]}))
    )


def _longest_in_order(positions: list[int]) -> set[int]:
    """A longest run of increasing positions: the steps outside it are those that moved."""
    best: list[list[int]] = []
    for n, position in enumerate(positions):
        before: list[int] = max((best[k] for k in range(n) if positions[k] < position), key=len, default=[])
        best.append([*before, position])
    longest: list[int] = max(best, key=len, default=[])
    return set(longest)
