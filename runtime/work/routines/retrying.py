"""Retries of steps: how often, when, and within which costs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from models.work.routines.document import BaseStep
from models.work.routines.expressions import RETRY
from models.work.routines.parts import Backoff, Retry
from runtime.work.evaluation import ExpressionError
from runtime.work.routines.failures import StepError, is_transient, status_in

TRIES: Final = 3
"""Attempts of a step whose `on_fail` is `retry_step`, if it declares no retries."""
Evaluate = Callable[[str, Any, Mapping[str, Any]], Awaitable[Any]]


def retry_of(step: BaseStep) -> Retry | None:
    if step.retry is None and step.on_fail == "retry_step":
        return Retry(max_attempts=TRIES)
    return step.retry


def delay_ms(backoff: Backoff, attempt: int, part: float) -> int:
    """The delay after the failed attempt of this number, counted from 1. `part`: a random number from 0 to 1, for the
    jitter.
    """
    delay = float(backoff.min_ms)
    for _ in range(attempt - 1):
        delay = min(delay * backoff.factor, backoff.max_ms)
    delay = min(delay, backoff.max_ms)
    return int(delay * part) if backoff.jitter else int(delay)


async def is_retried(retry: Retry | None, error: StepError, attempt: int, evaluate: Evaluate) -> bool:
    """Returns true if another attempt follows the failed one of this number. A `retry_on` without a value is no."""
    if retry is None or attempt >= retry.max_attempts:
        return False
    if retry.retry_on is None:
        return True
    variables = {"error": error.text, "transient": not error.final and is_transient(error.text)}
    try:
        answer = await evaluate(retry.retry_on, RETRY, variables | {"status": status_in(error.text)})
    except ExpressionError:
        return False
    return answer is True


def is_affordable(spent: float, attempts: Sequence[float], limit: float) -> bool:
    """Returns true if another attempt, of the mean cost of those before, stays within the run's limit; 0 is none."""
    if limit <= 0:
        return True
    mean = sum(attempts) / len(attempts) if attempts else 0.0
    return spent + mean <= limit
