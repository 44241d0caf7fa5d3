"""The trace of a run, for every trigger: what an adapter does becomes spans that outlive the run."""

import asyncio
from typing import Any

import pytest

from models.staff.runs import Run
from resolvers.staff.runs import work
from runtime.runs.job import Charge, Job, Outcome, Sink
from runtime.runs.turn import TurnSink
from tests.runtime.doubles import E, LocalEngine, WordGuard, says
from tests.runtime.estate import Estate
from tests.runtime.shop import Shop, never
from tests.runtime.test_without_a_chat import held, sink_of, waiting

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def spans(estate: Estate, run_id: str) -> list[dict[str, Any]]:
    rows = await estate.owner.fetch("SELECT * FROM run_spans WHERE run_id = $1 ORDER BY seq", run_id)
    return [dict(row) for row in rows]


def shown(span: dict[str, Any]) -> tuple[Any, ...]:
    return span["kind"], span["name"], span["status"], span["output"]


async def calls(sink: Sink, name: str, input: dict[str, Any], result: str, **more: Any) -> None:
    id = f"{name}-1"

    async def body() -> None:
        await sink.emit(E.tool_call, name, {"tool_name": name, "tool_id": id, "input": input})
        await sink.emit(E.tool_result, result, {"tool_use_id": id, **more})

    await sink.step(f"tool {name}", body, acts=True)


async def thinks(sink: Sink, text: str, step: str = "1 model") -> None:
    async def body() -> None:
        await sink.emit(E.text, text)
        sink.charge(Charge("TEST", "m-1", 10, 5, cost_micros=30))

    await sink.step(step, body)


async def works(job: Job, sink: Sink) -> Outcome:
    await thinks(sink, "I look around.")
    await calls(sink, "list_files", {"path": "/"}, "a.txt\nb.txt")
    await calls(sink, "read_file", {"path": "c"}, "No such file", is_error=True)
    await says(sink, "Done.", step="says")
    return Outcome()


DONE = [
    ("MODEL_CALL", "m-1", "COMPLETED", "I look around."),
    ("TOOL_CALL", "list_files", "COMPLETED", "a.txt\nb.txt"),
    ("TOOL_CALL", "read_file", "FAILED", "No such file"),
    ("MESSAGE", "message", "COMPLETED", "Done."),
]


@pytest.mark.parametrize("trigger", ["USER", "ASSIGNMENT", "SCHEDULED"])
async def test_what_a_run_does_can_be_read_when_it_has_ended(estate: Estate, shop: Shop, trigger: str) -> None:
    await shop.worker(works)
    if trigger == "USER":
        run = await estate.ask()
    else:
        agent = await estate.agent()
        run = Run(agent_id=agent.id, workspace_id=estate.workspace.id, prompt="p", trigger_type=trigger)
        await estate.add(run)
    await estate.ended(run.id)
    first, *rest = await spans(estate, run.id)
    assert shown(first) == ("RUN", trigger, "COMPLETED", None)
    assert [shown(span) for span in rest] == DONE
    assert rest[1]["input"] == {"path": "/"}
    assert rest[1]["summary"] == "a.txt"
    [call] = await estate.owner.fetch("SELECT id, step FROM model_calls WHERE run_id = $1", run.id)
    assert rest[0]["model_call_id"] == call["id"]
    for span in (first, *rest):
        assert span["started_at"] <= span["finished_at"]
    left = await estate.owner.fetchval("SELECT count(*) FROM run_steps WHERE outcome IS NOT NULL OR said IS NOT NULL")
    assert left == 0, "what only a take-over needs is gone"


async def test_a_call_is_there_while_it_lasts(estate: Estate) -> None:
    run = await waiting(estate)
    sink = await sink_of(await held(estate, run))

    async def body() -> None:
        await sink.emit(E.tool_call, "wait", {"tool_name": "wait", "tool_id": "t", "input": {"s": 9}})
        await never().wait()

    task = asyncio.create_task(sink.step("tool 1", body, acts=True))
    async with asyncio.timeout(10):
        while len(found := await spans(estate, run.id)) < 2:
            await asyncio.sleep(0.01)
    assert shown(found[1]) == ("TOOL_CALL", "wait", "RUNNING", None)
    assert found[1]["input"] == {"s": 9}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await sink.close()
    # another worker takes it over, numbers on, and says that the call has no result
    second = await sink_of(await held(estate, run))
    await says(second, "Again.", step="says")
    assert [shown(span) for span in (await spans(estate, run.id))[1:]] == [
        ("TOOL_CALL", "wait", "CANCELLED", None),
        ("MESSAGE", "message", "COMPLETED", "Again."),
    ]
    await second.close()


async def test_what_is_open_at_the_end_is_cancelled(estate: Estate, shop: Shop) -> None:
    async def fails(job: Job, sink: Sink) -> Outcome:
        async def body() -> None:
            await sink.emit(E.tool_call, "break", {"tool_name": "break", "tool_id": "t", "input": {}})
            raise RuntimeError("broken")

        await sink.step("tool 1", body, acts=True)
        return Outcome()

    await shop.worker(fails)
    run = await waiting(estate)
    assert (await estate.ended(run.id)).status == "FAILED"
    first, call = await spans(estate, run.id)
    assert (first["status"], call["status"]) == ("FAILED", "CANCELLED")
    assert first["summary"]
    assert call["finished_at"] is not None


@pytest.mark.parametrize("chat", [True, False])
async def test_a_secret_is_in_no_span(estate: Estate, chat: bool) -> None:
    run = await estate.ask() if chat else await waiting(estate)
    [claim] = await work.claim("w", 1, seconds=30.0)
    sink = TurnSink(claim, LocalEngine(), WordGuard("SECRET"))
    await sink.open()
    await thinks(sink, "It is SECRET.")
    await calls(sink, "SECRET", {"key": ["the SECRET"]}, "SECRET\nSECRET")
    await says(sink, "It is SEC", "RET.", step="says")
    await sink.close()
    written = await spans(estate, run.id)
    assert [span["kind"] for span in written] == ["RUN", "MODEL_CALL", "TOOL_CALL", "MESSAGE"]
    assert "SECRET" not in str(written)
    assert str(written).count("[REDACTED]") == 9


async def test_calls_inside_a_call_name_it(estate: Estate) -> None:
    run = await waiting(estate)
    sink = await sink_of(await held(estate, run))

    async def body() -> None:
        await sink.emit(E.tool_call, "task", {"tool_name": "task", "tool_id": "t1", "input": {}})
        inner = {"tool_name": "grep", "tool_id": "t2", "input": {}, "parent_tool_use_id": "t1"}
        await sink.emit(E.tool_call, "grep", inner)
        await sink.emit(E.tool_result, "3", {"tool_use_id": "t2"})
        await sink.emit(E.tool_result, "three", {"tool_use_id": "t1"})

    await sink.step("turn 1", body)
    await sink.close()
    _, outer, inner = await spans(estate, run.id)
    assert (outer["parent_seq"], inner["parent_seq"]) == (None, outer["seq"])
    assert (outer["output"], inner["output"]) == ("three", "3")


async def test_long_texts_are_cut(estate: Estate) -> None:
    run = await waiting(estate)
    sink = await sink_of(await held(estate, run))
    await calls(sink, "cat", {"data": "x" * 100_000}, "y" * 100_000)
    await sink.close()
    _, call = await spans(estate, run.id)
    assert (call["input"], len(call["output"]), len(call["summary"])) == ({"left_out": "… (cut)"}, 64_000, 200)
