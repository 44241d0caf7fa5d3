"""Validation errors in our own words, never the validator's, and only a few at a time."""

from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

MOST: Final = 20
"""The most fields that one error names."""
LONGEST_KEY: Final = 80
"""Characters of a key that the client chose."""
NOT_ALLOWED: Final = "is not an allowed value"

FAULTS: Final[dict[str, str]] = {
    "missing": "is required",
    "none_required": "must be null",
    "string_type": "takes a text",
    "string_unicode": "takes a text that UTF-8 can hold",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "takes a whole number",
    "int_parsing": "takes a whole number",
    "int_parsing_size": "takes a whole number",
    "int_from_float": "takes a whole number",
    "float_type": "takes a number",
    "float_parsing": "takes a number",
    "finite_number": "takes a finite number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "date_type": "takes a date, such as 2026-12-31",
    "date_parsing": "takes a date, such as 2026-12-31",
    "date_from_datetime_parsing": "takes a date, such as 2026-12-31",
    "date_from_datetime_inexact": "takes a date, such as 2026-12-31",
    "bool_type": "takes true or false",
    "bool_parsing": "takes true or false",
    "list_type": "takes a list",
    "tuple_type": "takes a list",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "dict_type": "takes an object",
    "model_type": "takes an object",
    "model_attributes_type": "takes an object",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
}
VALIDATORS_OWN: Final = frozenset(get_args(ErrorType)) - {"value_error", "assertion_error"}
"""Kinds whose words are the library's; any other kind was raised by a rule of ours, with ours."""


def told(error: ValidationError, given: Any, forms: dict[str, str]) -> dict[str, str]:
    """A text for each field, the first of each; keys are names of the wire. `forms`: pattern -> what it asks for."""
    fields: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_input=False):
        context = fault.get("ctx", {})
        where = place(fault, given) or str(context.get("field", "input"))
        fields.setdefault(where, worded(fault["type"], context, fault["msg"], forms))
        if len(fields) == MOST:
            break
    return fields


def first(error: ValidationError, given: Any) -> tuple[str, str]:
    """The place and the text of the first fault."""
    fault = error.errors(include_url=False, include_input=False)[0]
    return place(fault, given), worded(fault["type"], fault.get("ctx", {}), fault["msg"], {})


def place(fault: Any, given: Any) -> str:
    """The path of a fault through what was given: a validator's path also names the branches it tried."""
    path, value = "", given
    for number, part in enumerate(fault["loc"]):
        if isinstance(value, list) and isinstance(part, int):
            path += f"[{part}]"
            value = value[part] if part < len(value) else None
        elif number == 0 or (
            isinstance(value, dict) and (part in value or fault["type"] == "missing") and part != "[key]"
        ):
            path += f".{part}"[: LONGEST_KEY + 1] if path else str(part)[:LONGEST_KEY]
            value = value.get(part) if isinstance(value, dict) else None
    return path


def worded(kind: str, context: dict[str, Any], message: str, forms: dict[str, str]) -> str:
    if kind == "string_pattern_mismatch":
        return forms.get(context.get("pattern", ""), NOT_ALLOWED)
    if kind in ("string_too_short", "too_short") and context.get("min_length") == 1:
        return "must not be empty"
    words = FAULTS.get(kind)
    if words is not None:
        return words.format_map(context)
    return NOT_ALLOWED if kind in VALIDATORS_OWN else message
