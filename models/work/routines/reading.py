"""Reads a document: from text to a routine, or to all of its faults with their lines."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from models.work.routines.canonical import content_hash
from models.work.routines.checks import Partial, faults_of
from models.work.routines.document import Routine
from models.work.routines.faults import Found, Path, RefusedRoutine
from models.work.routines.parts import MOST_STEPS, STEP_ID
from models.work.routines.source import Source, load, of_value

MOST_FAULTS: Final = 100
STANDS_FOR: Final = {"type": "query", "query": {"source": "pipeline_runs"}}
_HOOKS: Final = ("before", "after", "before_all", "after_all", "on_failure")


@dataclass(frozen=True, slots=True)
class ReadRoutine:
    """`value` is the document as plain values, unknown keys included. `source` has the lines of its parts."""

    routine: Routine
    value: dict[str, Any]
    hash: str
    source: Source


def read_routine(text: str | bytes) -> ReadRoutine:
    """Reads YAML or JSON of at most 1 MiB. Raises RefusedRoutine, and nothing else.

    A large document takes tenths of a second: call it in a thread.
    """
    return _read(load(text))


def read_value(value: Any) -> ReadRoutine:
    """Reads a document that was part of another one, and has no lines of its own. Raises RefusedRoutine."""
    return _read(of_value(value))


def _read(source: Source) -> ReadRoutine:
    value = source.value
    if not isinstance(value, dict):
        raise RefusedRoutine([source.locate(Found((), "a routine is a mapping of keys to values"))])
    steps = value.get("steps")
    if isinstance(steps, list) and len(steps) > MOST_STEPS:
        text = f"{len(steps)} steps are more than {MOST_STEPS}"
        raise RefusedRoutine([source.locate(Found(("steps",), text))])
    found = list(source.faults)
    partial: Partial | None
    try:
        routine = Routine.model_validate(value)
        partial = Partial(routine)
    except ValidationError as error:
        shape = [_found(each) for each in error.errors(include_url=False, include_input=False)]
        found += shape
        partial = _partial(value, [each.path for each in shape])
    if partial is not None:
        found += islice(faults_of(partial), MOST_FAULTS)
    if found:
        raise RefusedRoutine(sorted(source.locate(each) for each in found)[:MOST_FAULTS])
    return ReadRoutine(routine, value, content_hash(value), source)


def _partial(value: dict[str, Any], faulty: Iterable[Path]) -> Partial | None:
    """The document without its faulty parts, so that one answer has all faults; None if nothing can be said."""
    kept = dict(value)
    broken: dict[int, Path] = {}
    inputs_known = True
    for path in faulty:
        if len(path) > 1 and path[0] == "steps" and isinstance(path[1], int):
            broken[path[1]] = path[:2]
        elif path and path[0] != "name":
            kept.pop(str(path[0]), None)
            inputs_known = inputs_known and path[0] != "inputs"
        else:
            kept["name"] = "unnamed"
    steps = kept.get("steps")
    if not isinstance(steps, list) or not steps:
        return None
    kept["steps"] = [_stand_in(step, n) if n in broken else step for n, step in enumerate(steps)]
    try:
        routine = Routine.model_validate(kept)
    except ValidationError:
        return None
    return Partial(routine, frozenset(broken.values()), inputs_known)


def _stand_in(step: Any, n: int) -> dict[str, Any]:
    """A step that only has the id and the needs of a faulty one."""
    named = step if isinstance(step, dict) else {}
    id_, needs = named.get("id"), named.get("needs")
    fits = [each for each in needs if _is_id(each)] if isinstance(needs, list) else []
    return {**STANDS_FOR, "id": id_ if _is_id(id_) else f"unnamed-{n}", "needs": fits}


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(STEP_ID[1:-1], value) is not None


def _found(error: Any) -> Found:
    path = _path(error["loc"])
    context = error.get("ctx") or {}
    match error["type"]:
        case "missing":
            return Found(path, "is required")
        case "value_error":
            return Found(path, str(context["error"]))
        case "union_tag_invalid":
            return Found(
                (*path, "type"), f"unsupported type (allowed: {context['expected_tags'].replace(chr(39), '')})"
            )
        case "union_tag_not_found":
            return Found((*path, "type"), "is required")
    return Found(path, error["msg"].removeprefix("Input ").replace("should", "must", 1).replace("String", "text", 1))


def _path(location: tuple[str | int, ...]) -> Path:
    """Without the types of steps, which the location of an error has behind each step."""
    path: list[str | int] = []
    parts = list(location)
    while parts:
        part = parts.pop(0)
        path.append(part)
        in_list = len(path) > 1 and path[-2] == "steps" and isinstance(part, int)
        in_hook = len(path) > 1 and path[-2] == "hooks" and part in _HOOKS
        if (in_list or in_hook) and parts:
            parts.pop(0)
    return tuple(path)
