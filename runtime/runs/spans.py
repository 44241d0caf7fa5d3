"""The trace of one attempt at a run: spans from the events of its adapter, which have passed the guard."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.bounds import CUT, LINE, PROMPT, cut
from models.staff.run_spans import SpanKind, SpanStatus
from models.staff.runs import ChatEventType, SystemEvent
from resolvers.staff.runs.booking import Charge
from resolvers.staff.runs.tracing import Span
from runtime.runs.storable import size_of

MOST_OF_INPUT = PROMPT
"""Bytes of the arguments of a call; frames have them complete."""


@dataclass(slots=True)
class _Text:
    """The text of a step since its last call of a tool."""

    began: float
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, piece: str) -> None:
        if self.size < PROMPT:
            self.pieces.append(piece)
        self.size += len(piece)


class Trace:
    """Passes each span to `changed`, which stores it: when it begins, if it takes time, and when it ends."""

    def __init__(self, changed: Callable[[Span], None]) -> None:
        self._changed = changed
        self.last = 0
        self._calls: dict[str, Span] = {}  # of tools, without a result
        self._texts: dict[str, _Text] = {}
        self._began: dict[str, float] = {}

    def step_begins(self, step: str) -> None:
        self._began[step] = time.monotonic()

    def event(self, step: str, type: str, content: str, metadata: dict[str, Any]) -> None:
        match type:
            case ChatEventType.text:
                self._texts.setdefault(step, _Text(time.monotonic())).add(content)
            case ChatEventType.tool_call:
                self._message(step)
                self._call(content, metadata)
            case ChatEventType.tool_result:
                self._answer(content, metadata)
            case ChatEventType.system if metadata.get("subtype") == SystemEvent.api_retry:
                said = str(metadata.get("error") or content)
                began = self._began.get(step, time.monotonic())
                self._ended(self._begin(SpanKind.RETRY, "api_retry", began), SpanStatus.FAILED, said)

    def step_ends(self, step: str, charge: Charge | None) -> None:
        began = self._began.pop(step, time.monotonic())
        if charge is None:
            return self._message(step)
        text = self._texts.pop(step, None)
        span = self._begin(SpanKind.MODEL_CALL, charge.model, began)
        span.model_call = charge.id
        self._ended(span, SpanStatus.COMPLETED, "".join(text.pieces) if text else None)

    def _message(self, step: str) -> None:
        if (text := self._texts.pop(step, None)) is not None:
            span = self._begin(SpanKind.MESSAGE, "message", text.began)
            self._ended(span, SpanStatus.COMPLETED, "".join(text.pieces))

    def _call(self, content: str, metadata: dict[str, Any]) -> None:
        inside = self._calls.get(str(metadata.get("parent_tool_use_id")))
        span = self._begin(SpanKind.TOOL_CALL, str(metadata.get("tool_name") or content), time.monotonic())
        span.parent = None if inside is None else inside.seq
        given = metadata.get("input")
        if given is not None:
            whole = given if isinstance(given, dict) else {"value": given}
            span.input = {"left_out": CUT} if size_of(whole) > MOST_OF_INPUT else whole
        self._calls[str(metadata.get("tool_id"))] = span
        self._changed(span)

    def _answer(self, content: str, metadata: dict[str, Any]) -> None:
        if (span := self._calls.pop(str(metadata.get("tool_use_id")), None)) is not None:
            self._ended(span, SpanStatus.FAILED if metadata.get("is_error") else SpanStatus.COMPLETED, content)

    def _begin(self, kind: SpanKind, name: str, began: float) -> Span:
        self.last += 1
        return Span(self.last, kind, cut(name, LINE), began)

    def _ended(self, span: Span, status: SpanStatus, output: str | None) -> None:
        span.ended, span.status = time.monotonic(), status
        if output:
            span.output, span.summary = cut(output, PROMPT), cut(output.strip().partition("\n")[0], LINE)
        self._changed(span)
