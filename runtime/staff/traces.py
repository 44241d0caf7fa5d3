"""Exports traces of finished runs by OTLP over HTTP, in the GenAI conventions of OpenTelemetry.

Ids follow from the run, so that a repeated export, of an attempt that did not hear the answer, is the same trace. The
texts of a run leave the server only with CREWSHIP_OTEL_CONTENT; the trace stored them after redaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from resolvers.instance import collector, trace_context
from resolvers.instance.running import instance
from resolvers.staff.runs.exporting import Traced

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

MICROS: Final = 1_000_000
OPERATIONS: Final = {
    SpanKind.RUN: "invoke_agent",
    SpanKind.MODEL_CALL: "chat",
    SpanKind.TOOL_CALL: "execute_tool",
    SpanKind.MESSAGE: "message",
    SpanKind.RETRY: "retry",
    SpanKind.WAIT: "wait_for_approval",
}


def has_collector() -> bool:
    return instance.settings.otel_traces is not None


async def send(spans: "Sequence[ReadableSpan]") -> None:
    """Raises NotExported; a refusal is logged."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    address = instance.settings.otel_traces
    assert address is not None
    await collector.post(address, encode_spans(spans).SerializeToString(), of="traces")


def spans_of(found: Traced, *, content: bool) -> "Iterator[ReadableSpan]":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    resource = Resource({"service.name": "crewship", "service.version": version("crewship")})
    scope = InstrumentationScope("crewship", version("crewship"))
    calls = {call.id: call for call in found.calls}
    for span in found.spans:
        yield ReadableSpan(
            _name(found, span),
            context=_context(found, found.run.id, span.seq),
            parent=_parent(found, span),
            resource=resource,
            attributes=_attributes(found, span, calls, content),
            kind=_side(span),
            status=_status(span, content),
            start_time=_nanoseconds(span.started_at),
            end_time=_nanoseconds(span.finished_at or found.run.finished_at or span.started_at),
            instrumentation_scope=scope,
        )


def _context(found: Traced, run_id: str, seq: int) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    trace = trace_context.trace_id(found.root.id, found.root.traceparent)
    return SpanContext(trace, trace_context.span_id(run_id, seq), False, TraceFlags(TraceFlags.SAMPLED))


def _caller(found: Traced) -> "SpanContext | None":
    from opentelemetry.trace import SpanContext, TraceFlags

    parent = trace_context.parent_of(found.root.traceparent)
    return None if parent is None else SpanContext(parent.trace, parent.span, True, TraceFlags(TraceFlags.SAMPLED))


def _parent(found: Traced, span: RunSpan) -> "SpanContext | None":
    if span.seq:
        return _context(found, found.run.id, span.parent_seq or 0)
    if found.run.id == found.root.id:
        return _caller(found)
    return None if found.run.parent_id is None else _context(found, found.run.parent_id, 0)


def _name(found: Traced, span: RunSpan) -> str:
    of = found.agent.name if span.kind is SpanKind.RUN and found.agent else span.name
    return OPERATIONS[span.kind] if span.kind in (SpanKind.MESSAGE, SpanKind.WAIT) else f"{OPERATIONS[span.kind]} {of}"


def _side(span: RunSpan) -> Any:
    from opentelemetry.trace import SpanKind as Side

    return Side.CLIENT if span.kind is SpanKind.MODEL_CALL else Side.INTERNAL


def _status(span: RunSpan, content: bool) -> Any:
    from opentelemetry.trace import Status, StatusCode

    if span.status is SpanStatus.FAILED:
        return Status(StatusCode.ERROR, span.summary if content else None)
    return Status(StatusCode.OK if span.status is SpanStatus.COMPLETED else StatusCode.UNSET)


def _attributes(found: Traced, span: RunSpan, calls: Mapping[str, Any], content: bool) -> dict[str, Any]:
    run = found.run
    own = [call for id, call in calls.items() if id == span.model_call_id]
    booked = list(calls.values()) if span.kind is SpanKind.RUN else own
    made: dict[str, Any] = {
        "gen_ai.operation.name": OPERATIONS[span.kind],
        "gen_ai.agent.id": run.agent_id,
        "gen_ai.agent.name": found.agent and found.agent.name,
        "gen_ai.conversation.id": run.chat_id,
        "session.id": run.chat_id or run.id,
        "user.id": run.triggered_by,
        "crewship.workspace.id": run.workspace_id,
        "crewship.run.id": run.id,
        "crewship.trigger": run.trigger_type,
        "error.type": span.status.value if span.status in (SpanStatus.FAILED, SpanStatus.CANCELLED) else None,
        "crewship.approval.id": span.approval_id,
    }
    if booked:
        made |= {
            "gen_ai.provider.name": booked[0].provider.lower(),
            "gen_ai.request.model": booked[0].model,
            "gen_ai.usage.input_tokens": sum(each.input_tokens for each in booked),
            "gen_ai.usage.output_tokens": sum(each.output_tokens for each in booked),
            "gen_ai.usage.cache_read.input_tokens": sum(each.cached_input_tokens for each in booked),
            "crewship.cost_usd": sum(each.cost_micros or 0 for each in booked) / MICROS,
        }
    if span.kind is SpanKind.TOOL_CALL:
        made["gen_ai.tool.name"] = span.name
    if content:
        made |= _content(span)
    return {name: value for name, value in made.items() if value is not None}


def _content(span: RunSpan) -> dict[str, Any]:
    import orjson

    asked = None if span.input is None else orjson.dumps(span.input).decode()
    if span.kind is SpanKind.TOOL_CALL:
        return {"gen_ai.tool.call.arguments": asked, "gen_ai.tool.call.result": span.output}
    return {"crewship.input": asked, "crewship.output": span.output}


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * MICROS) * 1_000
