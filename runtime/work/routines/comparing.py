"""The runtime `expr` of code: one comparison of two texts."""

import re
from collections.abc import Mapping
from typing import Final

from runtime.work.routines.failures import StepError

OPERATORS: Final = (">=", "<=", "==", "!=", ">", "<")
"""In the order in which they are looked for."""
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def compare(code: str, variables: Mapping[str, str]) -> str:
    """Returns "true" or "false". Each side is the value of the variable of that name, else the text without outer
    quotes. Raises StepError.
    """
    operator = next((each for each in OPERATORS if each in code), None)
    if operator is None:
        raise StepError(f"expr requires one of the comparisons {' '.join(OPERATORS)}", final=True)
    sides = code.split(operator, 1)
    left, right = (_side(text.strip(), variables) for text in sides)
    return "true" if _holds(left, operator, right) else "false"


def _side(text: str, variables: Mapping[str, str]) -> str:
    if text in variables:
        return variables[text].strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _holds(left: str, operator: str, right: str) -> bool:
    a: float | str = left
    b: float | str = right
    if _NUMBER.fullmatch(left) and _NUMBER.fullmatch(right):
        a, b = float(left), float(right)
    elif operator not in ("==", "!="):
        raise StepError(f"{operator} compares numbers, and one side is none", final=True)
    match operator:
        case "==":
            return a == b
        case "!=":
            return a != b
        case ">":
            return a > b  # type: ignore[operator]
        case "<":
            return a < b  # type: ignore[operator]
        case ">=":
            return a >= b  # type: ignore[operator]
    return a <= b  # type: ignore[operator]


def variables_of(inputs: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """The variables that a program is given."""
    return {f"CREWSHIP_INPUT_{name.upper()}": value for name, value in inputs.items()} | dict(env)
