"""Transformations: a walk into JSON, or a function of it."""

import json
import re
from typing import Any, Final

from runtime.work.routines.failures import StepError

_PART: Final = re.compile(r"\.(?P<key>[^.\[\]\s|]+)|\.?\[(?P<index>[^\[\]]*)\]")
_FENCE: Final = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_OPENING: Final = re.compile(r"[\[{]")
MOST_STARTS: Final = 100
"""Places in a text at which JSON is looked for."""


class Digits(str):
    """A number as it was written, so that it loses no digit."""

    __slots__ = ()


def transform(text: str, expression: str) -> str:
    """Raises StepError."""
    expression = expression.strip()
    if expression == ".":
        return text
    try:
        value = parsed(text)
    except ValueError:
        return _of_plain_text(text, expression)
    match expression:
        case "length":
            return str(_length(value))
        case "keys":
            if not isinstance(value, dict):
                raise StepError("keys: the input is no JSON object", final=True)
            return written(sorted(value))
        case "tostring":
            return value if _is_text(value) else written(value)
        case "@json" | "tojson":
            return written(value)
    return shown(_walked(value, expression))


def _of_plain_text(text: str, expression: str) -> str:
    match expression:
        case "length":
            return str(len(text.encode(errors="replace")))
        case "tostring":
            return text
        case "@json" | "tojson":
            return json.dumps(text, ensure_ascii=False)
    raise StepError(f"the input is no JSON, which {expression} requires", final=True)


def exactly(text: str) -> Any:
    """The text as JSON, numbers as Digits. Raises ValueError."""
    return _loads(text.strip(), _decoder(digits=True))


def parsed(text: str, *, digits: bool = True) -> Any:
    """The JSON in a text; a fence of code, and words around it, are left out. Raises ValueError."""
    stripped, decoder = text.strip(), _decoder(digits)
    try:
        return _loads(stripped, decoder)
    except ValueError:
        pass
    for found in _FENCE.finditer(stripped):
        try:
            return _loads(found[1].strip(), decoder)
        except ValueError:
            continue
    for n, found in enumerate(_OPENING.finditer(stripped)):
        if n == MOST_STARTS:
            break
        try:
            return decoder.raw_decode(stripped, found.start())[0]
        except (ValueError, RecursionError):
            continue
    raise ValueError("no JSON")


def _loads(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _decoder(digits: bool) -> json.JSONDecoder:
    if digits:
        return json.JSONDecoder(parse_int=Digits, parse_float=Digits, parse_constant=_no_number)
    return json.JSONDecoder(parse_constant=_no_number)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Digits)


def _length(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, list | dict) or _is_text(value):
        return len(value)
    raise StepError("length: the input is no text, list or object", final=True)


def _walked(value: Any, expression: str) -> Any:
    position = 0
    while position < len(expression):
        found = _PART.match(expression, position)
        if found is None or (position == 0 and not expression.startswith(".")):
            raise StepError(f"the expression {expression!r} is not supported", final=True)
        position = found.end()
        value = _at_key(value, found["key"]) if found["key"] is not None else _at_index(value, found["index"])
    return value


def _at_key(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise StepError(f"cannot take the field {key!r} of what is no object", final=True)
    if key not in value:
        raise StepError(f"the field {key!r} is missing", final=True)
    return value[key]


def _at_index(value: Any, index: str) -> Any:
    if not re.fullmatch(r"[0-9]{1,9}", index):
        raise StepError(f"the index {index!r} is no number", final=True)
    if not isinstance(value, list):
        raise StepError(f"cannot take the element {index} of what is no list", final=True)
    if int(index) >= len(value):
        raise StepError(f"the index {index} is out of range", final=True)
    return value[int(index)]


def shown(value: Any) -> str:
    """A text as it is, null as nothing, others as JSON."""
    if value is None:
        return ""
    return value if _is_text(value) else written(value)


def written(value: Any) -> str:
    """Compact JSON with sorted keys. Raises StepError for what is nested too deep."""
    try:
        return _written(value)
    except RecursionError:
        raise StepError("the value is nested too deep", final=True) from None


def _written(value: Any) -> str:
    if isinstance(value, Digits):
        return str(value)
    if isinstance(value, dict):
        entries = (f"{json.dumps(key, ensure_ascii=False)}:{_written(value[key])}" for key in sorted(value))
        return "{" + ",".join(entries) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
