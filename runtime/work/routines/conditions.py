"""Conditions of steps: a text with placeholders, or an expression in CEL."""

from typing import Any

from models.work.routines.expressions import CONDITION
from models.work.routines.templates import WORDS, Values, holds, render, text_of
from runtime.work.evaluation import ExpressionError
from runtime.work.routines.retrying import Evaluate


async def is_met(condition: str | None, values: Values, evaluate: Evaluate) -> bool:
    """An expression without a value is judged by its own text, and so holds."""
    if condition is None or not condition.strip():
        return True
    if "{{" in condition:
        return holds(render(condition, values))
    if condition.strip().lower() in WORDS:
        return holds(condition)
    try:
        answer = await evaluate(condition, CONDITION, variables_of_condition(values))
    except ExpressionError:
        return holds(condition)
    return answer if isinstance(answer, bool) else holds(text_of(answer))


def variables_of_condition(values: Values) -> dict[str, Any]:
    run = {name: values.env.get(name, "") for name in ("is_replay", "replay_of", "run_id")}
    return {
        "inputs": dict(values.inputs),
        "steps": dict(values.outputs),
        "run": run | {"metadata": dict(values.metadata)},
    }
