"""Waits of routines: for a person, a time or an event."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from models.work.routines.document import AgentRunStep, WaitStep
from runtime.work.routines.failures import StepError
from runtime.work.routines.ledger import Wait

APPROVAL: Final = timedelta(hours=24)
"""The time for a decision, if the step names none."""
LONGEST: Final = timedelta(days=366 * 10)
FROM_OUTSIDE: Final = frozenset({"event", "raw", "headers"})
"""Inputs of a run that a webhook started."""


def wait_of(step: WaitStep, render: Callable[[str], str], now: datetime) -> Wait:
    """The subject and the end of a wait. Raises StepError."""
    wait = step.wait
    seconds = timedelta(seconds=min(step.timeout_seconds, LONGEST.total_seconds()))
    match wait.kind:
        case "datetime":
            return Wait("datetime", until=time_of(render(wait.until or ""), now))
        case "approval":
            return Wait("approval", render(wait.approval_prompt or ""), now + (seconds or APPROVAL))
    event = render(wait.event_type or "").strip()
    if not event:
        raise StepError("event_type is empty", final=True)
    return Wait("event", event, now + seconds if step.timeout_seconds > 0 else None)


def fenced(name: str, shown: str) -> str:
    """A value of a webhook in a prompt, between marks that no sender can know (contract: routines-dsl.webhook_runs)."""
    namespace, _, path = name.partition(".")
    if namespace != "inputs" or path.partition(".")[0] not in FROM_OUTSIDE:
        return shown
    mark = f"untrusted-{secrets.token_hex(8)}"
    return f'<{mark} source="webhook">\n{shown}\n</{mark}>'


def question_of(step: AgentRunStep, render: Callable[[str], str], now: datetime, attempt: int) -> Wait:
    """The prompt, and the time that the step allows; without one, the agent's own limit holds. Raises StepError."""
    prompt = render(step.prompt)
    if not prompt.strip():
        raise StepError("the prompt is empty", final=True)
    seconds = timedelta(seconds=min(step.timeout_seconds, LONGEST.total_seconds()))
    return Wait("agent", prompt, now + seconds if step.timeout_seconds > 0 else None, attempt)


def time_of(text: str, now: datetime) -> datetime:
    """Raises StepError unless the text is a time of RFC 3339."""
    try:
        found = datetime.fromisoformat(text.strip())
        if found.tzinfo is None or "T" not in text.upper():
            raise ValueError
        return min(found.astimezone(UTC), now + LONGEST)
    except (ValueError, OverflowError):
        raise StepError(f"until is no time as RFC 3339 writes it: {text[:64]!r}", final=True) from None
