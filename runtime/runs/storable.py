"""JSON values as PostgreSQL takes them: no NUL, no lone surrogates, only JSON's numbers, and not endlessly deep."""

import math
from typing import Any

import orjson

from models.bounds import CUT, TURN, cut
from runtime.runs.job import Failed

MOST = TURN // 4  # bytes of one text or value in what is stored: PostgreSQL may take more for the same
DEEPEST = 64  # levels; what lies below is cut off
LEFT_OUT = "…"
INT64 = 1 << 63


def storable(value: Any) -> Any:
    """The value, or the nearest one that can be stored, so that no output of an agent can end its run."""
    if isinstance(value, str):
        return value if "\0" not in value and value.isascii() else _text(value)
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        return _cleaned(value, 0)
    if b"\\u0000" in encoded or encoded.count(b"[") + encoded.count(b"{") > DEEPEST:
        return _cleaned(value, 0)
    return orjson.loads(encoded)


def size_of(value: Any) -> int:
    """Bytes of a value that is storable."""
    return 0 if value is None else len(orjson.dumps(value))


def within(content: str, metadata: Any) -> tuple[str, Any]:
    """Content and metadata of an event, truncated to the size of a frame."""
    if len(content) * 4 > MOST and len(content.encode()) > MOST:
        content = cut(content, MOST // 4)
    return content, {"left_out": CUT} if size_of(metadata) > MOST else metadata


def kept(outcome: Any) -> Any:
    """The outcome of a step, which cannot be cut: a part of it is another one. Raises Failed."""
    if size_of(outcome) > 2 * MOST:
        raise Failed("The outcome of a step is too large to store")
    return outcome


def some(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the events, from the first one, as one step keeps."""
    left = 2 * MOST
    for number, event in enumerate(events):
        left -= size_of(event)
        if left < 0:
            return events[:number]
    return events


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _cleaned(value: Any, level: int) -> Any:
    if level > DEEPEST:
        return LEFT_OUT
    if isinstance(value, dict):
        return {_text(str(key)): _cleaned(item, level + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item, level + 1) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if -INT64 <= value < INT64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(str(value))
