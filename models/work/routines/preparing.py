"""The needs of a definition that is to run: its inputs, its key, and the parts that this server does not execute.

It is imported when a run starts: other processes do not load the language.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from models.bounds import LINE
from models.work.routines.document import AgentRunStep, BaseStep, CodeStep, ForeachStep, HttpStep, Routine
from models.work.routines.inputs import merge_inputs
from models.work.routines.overriding import overridden
from models.work.routines.reading import read_routine
from models.work.routines.sites import sites
from models.work.routines.templates import Values, references, render

EXECUTED: Final = frozenset({"http", "code", "transform", "wait", "foreach", "notify", "query", "agent_run"})
"""Types of steps. A routine with another type is refused when it starts (docs/work.md)."""
RUNTIMES: Final = frozenset({"expr", "cel"})


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """`key`: the concurrency key; empty if it rendered empty, and None without one."""

    steps: int
    inputs: dict[str, Any]
    key: str | None
    most: int
    integrations: tuple[str, ...]
    credentials: tuple[str, ...]
    unsupported: tuple[str, ...]
    overrides: Mapping[str, Any]


def prepare(
    source: str, inputs: Mapping[str, Any], overrides: Mapping[str, Any], untyped: Set[str] = frozenset()
) -> PreparedRun:
    """Raises RefusedRoutine and RefusedInputs. A large document takes tenths of a second, in a thread."""
    routine = overridden(read_routine(source).routine, overrides)
    unsupported = tuple(_unsupported(routine))
    merged = dict(inputs) if unsupported else merge_inputs(routine, inputs, untyped=untyped)
    return PreparedRun(
        steps=len(routine.steps),
        inputs=merged,
        key=_key_of(routine, merged),
        most=max(routine.max_concurrent, 1),
        integrations=integrations_of(routine),
        credentials=credentials_of(routine),
        unsupported=unsupported,
        overrides=overrides,
    )


def integrations_of(routine: Routine) -> tuple[str, ...]:
    return tuple(dict.fromkeys(routine.integrations_required))


def credentials_of(routine: Routine) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.type.strip().upper() for each in routine.credentials_required))


def needs_of_run(routine: Routine) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The integrations and credentials of a run; None if this server does not execute a part of the routine."""
    if any(_unsupported(routine)):
        return None
    return integrations_of(routine), credentials_of(routine)


def _unsupported(routine: Routine) -> Iterator[str]:
    """The parts that would have to be ignored, as the ends of a sentence."""
    seen = set[str]()
    for step in _steps_of(routine):
        for text in unsupported_in(step):
            if text not in seen:
                seen.add(text)
                yield text
    if routine.guardrails.input.prompt_injection.action == "sanitize":
        yield "the action `sanitize` of guardrails"
    if routine.resources.datastores or routine.resources.tools:
        yield "the requirement `resources`"
    if routine.evaluation.online.sample_rate > 0:
        yield "the evaluation `eval.online`"


def _steps_of(routine: Routine) -> Iterator[BaseStep]:
    """All steps, with hooks and the bodies of loops."""
    hooks = routine.hooks
    left: list[BaseStep | None] = [*routine.steps, hooks.before_all, hooks.after_all, hooks.on_failure]
    while left:
        step = left.pop(0)
        if step is not None:
            yield step
            left += [step.hooks.before, step.hooks.after]
            left += step.foreach.steps if isinstance(step, ForeachStep) else []


def unsupported_in(step: BaseStep) -> Iterator[str]:
    """The parts of one step that this server does not execute."""
    type_ = getattr(step, "type", "")
    if type_ not in EXECUTED:
        yield f"steps of the type {type_}"
    if isinstance(step, CodeStep) and step.code.runtime not in RUNTIMES:
        yield f"code in {step.code.runtime}"
    if isinstance(step, HttpStep) and step.http.credential_ref is not None:
        yield "`credential_ref` of HTTP requests"
    if isinstance(step, AgentRunStep):
        parts = (("validation", step.validation), ("outcomes", step.outcomes))
        yield from (f"`{name}` of agents" for name, part in parts if part)
    if isinstance(step, ForeachStep) and any(isinstance(each, AgentRunStep) for each in step.foreach.steps):
        yield "agents in loops"
    named = (name for site in sites(step) for name in references(site.text))  # type: ignore[arg-type]
    if any(name.partition(".")[0] == "secrets" for name in named):
        yield "placeholders of `secrets`"


def _key_of(routine: Routine, inputs: Mapping[str, Any]) -> str | None:
    if routine.concurrency_key is None:
        return None
    key = render(routine.concurrency_key, Values(inputs=inputs)).replace("\0", "").strip()
    return key if len(key) <= LINE else sha256(key.encode(errors="replace")).hexdigest()
