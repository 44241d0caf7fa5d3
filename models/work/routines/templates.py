"""Placeholders in texts: `{{ inputs.x }}`. They hold names, no calls, and a rendered value is not rendered again."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from models.work.routines.canonical import plain

NAMESPACES: Final = ("inputs", "steps", "env", "run", "secrets", "routine")
MOST_RENDERED: Final = 8 << 20
"""Bytes of one rendered text."""
SKIPPED: Final = "<skipped>"

Fence = Callable[[str, str], str]
_PLACEHOLDER: Final = re.compile(r"\{\{([^{}]+)\}\}")
_FALSE: Final = frozenset({"", "false", "0", "null", "nil", "no", "off"})
WORDS: Final = _FALSE | {"true", "1", "yes", "on"}
"""Conditions that are a constant and no expression."""


class RenderedTooLargeError(ValueError):
    """A text would have more bytes than MOST_RENDERED."""

    def __init__(self) -> None:
        super().__init__(f"the rendered text has more than {MOST_RENDERED} bytes")


@dataclass(frozen=True, slots=True)
class Values:
    """The values for placeholders. `outputs` are texts by the id of the step; `secrets` are by type, in lower case."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reach:
    """The names that a text may use: `inputs` of None allows any name; `foreign` allows braces of other programs."""

    inputs: frozenset[str] | None
    steps: frozenset[str]
    namespaces: tuple[str, ...] = NAMESPACES
    foreign: bool = False


def references(text: str) -> Iterator[str]:
    return (found[1].strip() for found in _PLACEHOLDER.finditer(text))


def literal(text: str) -> str:
    """The text without its placeholders."""
    return _PLACEHOLDER.sub("", text)


def fault_of(reference: str, reach: Reach) -> str | None:
    """The reason why a reference cannot be resolved."""
    namespace, dot, rest = reference.partition(".")
    if namespace not in NAMESPACES and reach.foreign:
        return None
    if not dot or not rest:
        return f"invalid reference {reference!r} (expected inputs.X or steps.Y.output)"
    if namespace not in reach.namespaces:
        return f"{reference!r} uses the unknown namespace {namespace!r} (allowed: {', '.join(reach.namespaces)})"
    if namespace == "inputs":
        name = rest.partition(".")[0]
        if reach.inputs is None or name in reach.inputs:
            return None
        return f"{reference!r} names the unknown input {name!r}{near(name, reach.inputs)}"
    if namespace == "steps":
        step, _, output = rest.partition(".")
        if output != "output" and not output.startswith("output."):
            return f"invalid reference {reference!r} (expected steps.{step}.output)"
        if step not in reach.steps:
            return f"{reference!r} names the step {step!r}, which is not sure to have run{near(step, reach.steps)}"
    if namespace == "routine" and not re.fullmatch(r"state\..+", rest, re.DOTALL):
        return f"invalid reference {reference!r} (expected routine.state.<key>)"
    return None


def near(word: str, words: frozenset[str] | set[str]) -> str:
    found = get_close_matches(word[:64], sorted(words)[:1000], 3)
    return f" (did you mean: {', '.join(found)}?)" if found else ""


def render(text: str, values: Values, *, secrets: bool = False, fence: Fence | None = None) -> str:
    """Replaces all placeholders; what is unknown is empty, and secrets are, too, unless the field may hold them. A
    fence surrounds the text of a placeholder, by its name.

    Raises RenderedTooLargeError.
    """
    parts: list[str] = []
    size = position = 0
    known: dict[str, tuple[str, int]] = {}
    for found in _PLACEHOLDER.finditer(text):
        name = found[1].strip()
        if name not in known:
            shown = text_of(value_of(name, values, secrets=secrets))
            shown = shown if fence is None else fence(name, shown)
            known[name] = shown, len(shown.encode(errors="replace"))
        shown, length = known[name]
        before = text[position : found.start()]
        size += length + len(before)
        if size > MOST_RENDERED:
            raise RenderedTooLargeError
        parts += before, shown
        position = found.end()
    return "".join([*parts, text[position:]])


def render_value(value: Any, values: Values) -> Any:
    """Renders the texts in a value. A text that is one placeholder alone keeps the type of what it names."""
    if isinstance(value, str):
        if (alone := _PLACEHOLDER.fullmatch(value.strip())) is not None:
            return value_of(alone[1].strip(), values)
        return render(value, values)
    if isinstance(value, dict):
        return {key: render_value(entry, values) for key, entry in value.items()}
    if isinstance(value, list):
        return [render_value(entry, values) for entry in value]
    return value


def value_of(reference: str, values: Values, *, secrets: bool = False) -> Any:
    """The value of a reference, or None."""
    namespace, _, rest = reference.partition(".")
    name, dot, key = rest.partition(".")
    match namespace:
        case "inputs":
            value = values.inputs.get(name)
            return value if not dot else value.get(key) if isinstance(value, Mapping) else None
        case "steps":
            field_, _, path = key.partition(".")
            return _walked(values.outputs.get(name), path) if field_ == "output" else None
        case "env":
            return values.env.get(rest)
        case "run":
            return values.metadata.get(key) if name == "metadata" else values.env.get(rest)
        case "secrets":
            return values.secrets.get(rest.lower()) if secrets else None
        case "routine":
            return values.state.get(key) if name == "state" else None
    return None


def _walked(output: str | None, path: str) -> Any:
    if output is None or not path:
        return output
    try:
        value = json.loads(output)
    except (ValueError, RecursionError):
        return None
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text_of(value: Any) -> str:
    """A text as it is, null as nothing, anything else as compact JSON with sorted keys."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def holds(text: str) -> bool:
    """The truth of a rendered condition."""
    return text.strip().lower() not in _FALSE
