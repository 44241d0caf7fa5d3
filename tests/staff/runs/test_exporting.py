"""Traces of finished runs at a collector of OpenTelemetry: once, whole, and without texts unless they are wanted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr

from models.base import new_id
from models.resources.costs import ModelCall
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from models.staff.runs import Run, RunStatus
from resolvers.instance.running import instance
from resolvers.instance.settings import SettingsError, load_settings
from resolvers.kernel import across_workspaces
from resolvers.staff.runs.exporting import enqueue_exports
from runtime.staff import traces
from runtime.staff.traces import has_collector
from tests.attention.notification_channels.test_channels import Receiver
from tests.people.recovery.mailbox import delivering, idle
from tests.world import World, now

pytestmark = pytest.mark.anyio
SECRET = "the text of a call"


@contextlib.contextmanager
def collecting(receiver: Receiver, **more: Any) -> Iterator[None]:
    where = {
        "otel_endpoint": SecretStr(receiver.url.removesuffix("/hook")),
        "otel_headers": SecretStr("api-key=se%20cret"),
    }
    with mock.patch.object(instance, "_settings", instance.settings.model_copy(update=where | more)):
        yield


@pytest.fixture
async def collector(world: World) -> AsyncIterator[Receiver]:
    await follow()
    async with Receiver().listening() as receiver, delivering(world):
        yield receiver


async def follow() -> None:
    while await across_workspaces(enqueue_exports):
        pass


async def ended(
    world: World, parent: Run | None = None, status: RunStatus = RunStatus.COMPLETED, traceparent: str | None = None
) -> Run:
    """A run with a call of a model and, below it, a call of a tool that failed."""
    here = {"workspace_id": world.workspace.id}
    began = now() - timedelta(minutes=1)
    agent = Agent(name="Ada", slug=f"ada-{new_id()}", **here)
    chat = Chat(id=new_id(), agent_id=agent.id, **here)
    run = Run(
        agent_id=agent.id, chat_id=chat.id, status=status, created_at=began, started_at=began, finished_at=now(),
        triggered_by=world.owner.user_id, parent_id=parent and parent.id, traceparent=traceparent, **here,
    )  # fmt: skip
    call = ModelCall(
        run_id=run.id, step="1", agent_id=agent.id, provider="ANTHROPIC", model="m-1", input_tokens=10,
        output_tokens=5, cached_input_tokens=3, cost_micros=1500, **here,
    )  # fmt: skip
    await world.add(agent, chat, run, call)
    await world.database.execute("DELETE FROM run_spans WHERE run_id = $1", run.id)  # those that triggers wrote
    of = {"run_id": run.id, "created_at": began, "changed": "0", "started_at": began, "finished_at": now(), **here}
    text = {"input": {"text": SECRET}, "output": SECRET, "summary": SECRET}
    done, failed = {"status": SpanStatus.COMPLETED}, {"status": SpanStatus.FAILED}
    await world.add(
        RunSpan(seq=0, kind=SpanKind.RUN, name="USER", **done, **of),
        RunSpan(seq=1, kind=SpanKind.MODEL_CALL, name="m-1", model_call_id=call.id, **text, **done, **of),
        RunSpan(seq=2, parent_seq=1, kind=SpanKind.TOOL_CALL, name="read_file", **text, **failed, **of),
    )
    type = "run.completed" if status is RunStatus.COMPLETED else "run.failed"
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, 'workspace:' || $1::text, $2, $3)",
        world.workspace.id, type, {"run_id": run.id, "agent_id": agent.id, "status": status},
    )  # fmt: skip
    return run


async def until(receiver: Receiver, world: World, requests: int) -> None:
    async with asyncio.timeout(30):
        while len(receiver.got) < requests:
            await follow()
            await asyncio.sleep(0.02)
    await idle(world)


def spans(body: bytes) -> list[Any]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


async def test_a_run_is_one_trace_with_its_cost_and_without_its_texts(world: World, collector: Receiver) -> None:
    with collecting(collector):
        run = await ended(world)
        await until(collector, world, 1)
    [(headers, body)] = collector.got
    assert (headers["api-key"], headers["content-type"]) == ("se cret", "application/x-protobuf")
    of_run, of_model, of_tool = spans(body)
    assert [each.name for each in (of_run, of_model, of_tool)] == [
        "invoke_agent Ada",
        "chat m-1",
        "execute_tool read_file",
    ]
    assert len({each.trace_id for each in (of_run, of_model, of_tool)}) == 1
    assert (of_run.parent_span_id, of_model.parent_span_id) == (b"", of_run.span_id)
    assert of_tool.parent_span_id == of_model.span_id
    assert (of_run.status.code, of_tool.status.code) == (1, 2)
    assert 59e9 < of_run.end_time_unix_nano - of_run.start_time_unix_nano < 120e9
    for each in (of_run, of_model, of_tool):
        shown = attributes(each)
        assert shown["crewship.run.id"] == run.id
        assert shown["session.id"] == run.chat_id
        assert shown["user.id"] == world.owner.user_id
        assert shown["gen_ai.agent.id"] == run.agent_id
    for each in (of_run, of_model):
        assert attributes(each)["gen_ai.usage.input_tokens"] == 10
        assert attributes(each)["crewship.cost_usd"] == 0.0015
    assert attributes(of_model)["gen_ai.provider.name"] == "anthropic"
    assert attributes(of_tool)["error.type"] == "FAILED"
    assert SECRET.encode() not in body


async def test_texts_leave_the_server_only_if_the_operator_says_so(world: World, collector: Receiver) -> None:
    with collecting(collector, otel_content=True):
        await ended(world, status=RunStatus.FAILED)
        await until(collector, world, 1)
    _, of_model, of_tool = spans(collector.got[0][1])
    assert attributes(of_tool)["gen_ai.tool.call.arguments"] == f'{{"text":"{SECRET}"}}'
    assert attributes(of_tool)["gen_ai.tool.call.result"] == SECRET
    assert attributes(of_model)["crewship.output"] == SECRET


async def test_a_run_that_another_asked_for_is_in_its_trace(world: World, collector: Receiver) -> None:
    with collecting(collector):
        above = await ended(world)
        below = await ended(world, parent=above)
        await until(collector, world, 2)
    (of_above, *_), (of_below, *_) = sorted(
        (spans(body) for _, body in collector.got), key=lambda each: attributes(each[0])["crewship.run.id"] == below.id
    )
    assert of_below.trace_id == of_above.trace_id
    assert of_below.parent_span_id == of_above.span_id


async def test_a_run_continues_the_trace_of_its_caller(world: World, collector: Receiver) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with collecting(collector):
        above = await ended(world, traceparent=f"00-{trace}-{span}-01")
        below = await ended(world, parent=above)
        await until(collector, world, 2)
    found = {attributes(each[0])["crewship.run.id"]: each for each in (spans(body) for _, body in collector.got)}
    (of_above, of_model, _), (of_below, *_) = found[above.id], found[below.id]
    assert {each.trace_id.hex() for each in (of_above, of_model, of_below)} == {trace}
    assert of_above.parent_span_id.hex() == span
    assert (of_model.parent_span_id, of_below.parent_span_id) == (of_above.span_id, of_above.span_id)


async def test_a_wait_for_an_approval_is_a_span(world: World, collector: Receiver) -> None:
    with collecting(collector):
        run = await ended(world)
        await world.add(
            RunSpan(
                seq=3, kind=SpanKind.WAIT, name="approval", status=SpanStatus.COMPLETED, approval_id="a-1",
                run_id=run.id, created_at=run.created_at, changed="0", started_at=run.created_at, finished_at=now(),
                workspace_id=run.workspace_id,
            )
        )  # fmt: skip
        await until(collector, world, 1)
    *_, of_wait = spans(collector.got[0][1])
    assert (of_wait.name, attributes(of_wait)["crewship.approval.id"]) == ("wait_for_approval", "a-1")
    assert attributes(of_wait)["session.id"] == run.chat_id


async def test_a_busy_collector_is_asked_again_and_a_refusal_is_not(world: World, collector: Receiver) -> None:
    with collecting(collector):
        collector.answers = [503, 200, 400]
        await ended(world)
        await until(collector, world, 2)
        assert collector.got[0][1] == collector.got[1][1], "a repeated export is the same trace"
        await ended(world)
        await until(collector, world, 3)
    assert len(collector.got) == 3


async def test_a_collector_that_is_away_is_asked_again(world: World, collector: Receiver) -> None:
    sent, away = list[bytes](), [True, False]

    async def send(spans: Any) -> None:
        address = {"otel_traces_endpoint": SecretStr("http://127.0.0.1:9/v1/traces")} if away.pop(0) else {}
        sent.append(b"")
        with collecting(collector, **address):
            await real(spans)

    real = traces.send
    with collecting(collector), mock.patch.object(traces, "send", send):
        await ended(world)
        await until(collector, world, 1)
    assert (len(sent), len(collector.got)) == (2, 1)


async def test_without_a_collector_nothing_is_followed(world: World, collector: Receiver) -> None:
    assert not has_collector()
    await ended(world)
    await follow()
    await idle(world)
    assert collector.got == []


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}, "http://t/x"),
    ],
)
def test_the_variables_are_those_of_opentelemetry(
    variables: dict[str, str], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load_settings().otel_traces == address
    for wrong in ("localhost:4318", "ftp://c", "http://user:password@c"):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", wrong)
        with pytest.raises(SettingsError, match="takes the URL of a collector") as refused:
            load_settings()
        assert "password" not in str(refused.value)
