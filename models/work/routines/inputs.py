"""The inputs of a run: defaults, types and bounds. Every start of a run checks them alike, except a dry run.

A missing required input, a wrong type and a value out of bounds are refused with the name of the input.
"""

from collections.abc import Mapping, Set
from typing import Any, Final

from models.work.routines.document import Routine, RoutineInput
from models.work.routines.faults import Fault, pointer_of

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


class RefusedInputs(ValueError):
    """Inputs that a routine does not take, each with a pointer to its name."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, faults)))


def merge_inputs(
    routine: Routine, given: Mapping[str, Any], *, checked: bool = True, untyped: Set[str] = frozenset()
) -> dict[str, Any]:
    """The given values, then defaults. Names that are not declared are passed on. Raises RefusedInputs. The values of
    `untyped` inputs may have any type.
    """
    merged = dict(given)
    faults: list[Fault] = []
    for each in routine.inputs:
        if merged.get(each.name) is None and each.default is not None:
            merged[each.name] = each.default
        value = merged.get(each.name)
        if value is not None and each.name in untyped:
            continue
        text = ("is required" if each.required else None) if value is None else unfit_for(each, value)
        if text is not None:
            faults.append(Fault(1, 1, pointer_of((each.name,)), text))
    if checked and faults:
        raise RefusedInputs(faults)
    return merged


def unfit_for(declared: RoutineInput, value: Any) -> str | None:
    """The reason why a value is none of this input."""
    if isinstance(value, bool) is not (declared.type == "boolean") or not isinstance(value, _TYPES[declared.type]):
        return f"must be of the type {declared.type}"
    size: float
    if isinstance(value, (str, list)):
        size, unit = len(value), " characters" if isinstance(value, str) else " elements"
    elif isinstance(value, (int, float)) and declared.type != "boolean":
        size, unit = value, ""
    else:
        return None
    if declared.min is not None and not size >= declared.min:
        return f"must have at least {declared.min:g}{unit}" if unit else f"must be at least {declared.min:g}"
    if declared.max is not None and not size <= declared.max:
        return f"must have at most {declared.max:g}{unit}" if unit else f"must be at most {declared.max:g}"
    return None
