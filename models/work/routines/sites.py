"""The texts of a step that may hold placeholders, and its expressions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.work.routines.document import (
    AgentRunStep,
    BaseStep,
    CallPipelineStep,
    CodeStep,
    CrewshipStep,
    ForeachStep,
    HttpStep,
    NotifyStep,
    ScriptStep,
    Step,
    TransformStep,
    WaitStep,
)
from models.work.routines.expressions import CODE, CONDITION, RETRY, Kind
from models.work.routines.faults import Path
from models.work.routines.templates import WORDS


@dataclass(frozen=True, slots=True)
class Site:
    """`path` is relative to the step. `after`: the text is rendered when the step's own output is there."""

    path: Path
    text: str
    foreign: bool = False
    after: bool = False


def sites(step: Step) -> Iterator[Site]:
    """All texts of a step, without the texts of its hooks and of a loop's body."""
    if step.condition is not None and "{{" in step.condition:
        yield Site(("if",), step.condition)
    for key, text in step.state_write.items():
        yield Site(("state_write", key), text, after=True)
    match step:
        case AgentRunStep():
            yield Site(("prompt",), step.prompt)
        case CallPipelineStep():
            yield from _texts(("inputs",), step.inputs)
        case HttpStep(http=http):
            yield Site(("http", "url"), http.url)
            yield from _texts(("http", "headers"), http.headers)
            yield from _texts(("http", "body"), http.body)
        case CodeStep(code=code):
            yield Site(("code", "code"), code.code, foreign=code.runtime not in ("expr", "cel"))
            yield from _texts(("code", "env"), code.env)
        case TransformStep(transform=transform):
            yield Site(("transform", "input"), transform.input)
        case WaitStep(wait=wait):
            for name in ("approval_prompt", "until", "event_type", "event_filter"):
                yield from _texts(("wait", name), getattr(wait, name))
        case NotifyStep(notify=notify):
            yield Site(("notify", "to"), notify.to)
            yield from _texts(("notify", "title"), notify.title, foreign=True)
            yield from _texts(("notify", "body"), notify.body, foreign=True)
        case ScriptStep(script=script):
            yield from _texts(("script", "args"), script.args, foreign=True)
            yield from _texts(("script", "env"), script.env, foreign=True)
        case ForeachStep(foreach=foreach):
            yield Site(("foreach", "items"), foreach.items)
        case CrewshipStep():
            yield from _texts(("args",), step.args, foreign=True)


def _texts(path: Path, value: Any, *, foreign: bool = False) -> Iterator[Site]:
    if isinstance(value, str):
        yield Site(path, value, foreign)
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _texts((*path, key), entry, foreign=foreign)
    elif isinstance(value, list):
        for n, entry in enumerate(value):
            yield from _texts((*path, n), entry, foreign=foreign)


def expressions(step: BaseStep) -> Iterator[tuple[Path, str, Kind]]:
    if step.condition is not None and "{{" not in step.condition and step.condition.strip().lower() not in WORDS:
        yield ("if",), step.condition, CONDITION
    if step.retry is not None and step.retry.retry_on is not None:
        yield ("retry", "retry_on"), step.retry.retry_on, RETRY
    if isinstance(step, CodeStep) and step.code.runtime == "cel" and "{{" not in step.code.code:
        yield ("code", "code"), step.code.code, CODE
