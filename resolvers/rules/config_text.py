"""Configuration that a client sends as text inside a field (JSON, mostly): its size, grammar and shape.

Every function here is total: for any text the result is a value or a `Refusal` that names the field.
"""

from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from resolvers.kernel import invalid
from resolvers.kernel.ground import faults

MAX_DEPTH = 64
"""The maximum nesting of JSON. It is far below orjson's own limits (1024 to read, 254 to write), so everything that was
read can be written.
"""

T = TypeVar("T")


def shown(text: str) -> str:
    """Text of a client as an error may quote it: cut, and free of what cannot be encoded or printed."""
    return repr(text if len(text) <= 80 else text[:80] + "…")


def size(text: str) -> int:
    """Bytes of UTF-8; a lone surrogate counts as the three bytes it would take."""
    return len(text.encode("utf-8", "surrogatepass"))


def check_size(text: str, field: str, limit: int) -> None:
    if size(text) > limit:
        raise invalid(field, f"must be at most {limit} bytes")


def _too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(v, dict | list) for v in level)


def parse_json(text: str, field: str) -> Any:
    """The value of a JSON text (RFC 8259). Of equal keys the last wins; no NaN, infinity or number beyond a double."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(field, f"is not valid JSON ({error.msg})") from None
    if _too_deep(value):
        raise invalid(field, f"nests deeper than {MAX_DEPTH} levels")
    return value


def parse_object(text: str, field: str) -> dict[str, Any]:
    value = parse_json(text, field)
    if not isinstance(value, dict):
        raise invalid(field, "must be a JSON object")
    return value


def shaped(adapter: TypeAdapter[T], value: Any, field: str) -> T:
    """The value in its declared shape. The first violation is reported; values never are, because they may be
    secret.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        where, problem = faults.first(error, value)
        raise invalid(field, f"{where}: {problem}" if where else problem) from None
