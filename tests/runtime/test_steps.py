"""Steps of a run: done once, with all they have shown, whoever holds the run."""

import asyncio
from typing import Any

import pytest

from resolvers.staff.runs import work
from runtime.runs.job import Interrupted
from tests.runtime.doubles import E, says
from tests.runtime.turns import Batches, Turn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def test_a_step_is_done_once(turn: Turn) -> None:
    sink, calls = await turn.sink(), 0

    async def body() -> dict[str, Any]:
        nonlocal calls
        calls += 1
        await sink.emit(E.text, "once")
        return {"n": (1, 2), "text": "ä\0"}

    first = await sink.step("s", body)
    again = await sink.step("s", body)
    sink = await (await turn.taken_over()).sink()
    later = await sink.step("s", body)
    assert first == again == later == {"n": [1, 2], "text": "ä\ufffd"}
    assert calls == 1
    assert await turn.said() == [("text", "once")]


async def test_a_finished_step_has_all_its_frames(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome goes with the last frames: there is no moment in which the one is stored without the others."""
    batches = Batches(turn, monkeypatch)
    sink = await turn.sink("hunter2")
    await says(sink, "a", "b", " hunt")
    [last] = [batch for batch in batches.all if batch.finished]
    assert "".join(f["content"] for b in batches.all for f in b.frames) == "ab hunt"
    assert batches.all[-1] is last
    assert (await work.steps(turn.claim))["model 1"].finished


async def test_a_step_that_has_shown_something_is_not_repeated(turn: Turn) -> None:
    sink = await turn.sink()
    shown = asyncio.Event()

    async def body() -> None:
        await sink.emit(E.text, "half")
        await asyncio.sleep(0.1)
        shown.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(sink.step("s", body))
    await shown.wait()
    heir = await (await turn.taken_over()).sink()
    with pytest.raises(Interrupted):
        await heir.step("s", body)
    assert isinstance(heir.fatal, Interrupted)
    task.cancel()
    await asyncio.wait([task])
    assert await turn.said() == [("text", "half")]


async def test_a_step_that_acts_is_announced_before_it_begins(turn: Turn) -> None:
    sink, seen = await turn.sink(), dict[str, Any]()

    async def body() -> None:
        seen.update(await work.steps(turn.claim))

    await sink.step("s", body, acts=True)
    assert not seen["s"].finished
    assert (await work.steps(turn.claim))["s"].finished


async def test_a_step_that_acts_and_was_cut_off_is_not_repeated(turn: Turn) -> None:
    sink, began, calls = await turn.sink(), asyncio.Event(), 0

    async def body() -> None:
        nonlocal calls
        calls += 1
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(sink.step("s", body, acts=True))
    await began.wait()
    task.cancel()
    heir = await (await turn.taken_over()).sink()
    with pytest.raises(Interrupted):
        await heir.step("s", body, acts=True)
    assert calls == 1


async def test_a_step_that_showed_nothing_and_does_not_act_runs_again(turn: Turn) -> None:
    sink, began, calls = await turn.sink(), asyncio.Event(), 0

    async def body() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            began.set()
            await asyncio.Event().wait()
        return "done"

    task = asyncio.create_task(sink.step("s", body))
    await began.wait()
    task.cancel()
    heir = await (await turn.taken_over()).sink()
    assert await heir.step("s", body) == "done"
    assert calls == 2


async def test_what_a_step_raises_is_the_adapters(turn: Turn) -> None:
    sink = await turn.sink()

    async def quiet() -> None:
        raise ValueError("no")

    async def loud() -> None:
        await sink.emit(E.text, "said")
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await sink.step("quiet", quiet)
    with pytest.raises(ValueError, match="no"):
        await sink.step("loud", loud)
    with pytest.raises(Interrupted):
        await sink.step("loud", loud)
    await sink.close()
    assert await turn.said() == [("text", "said")]


async def test_steps_side_by_side_keep_apart(turn: Turn) -> None:
    sink = await turn.sink()

    async def tool(n: int) -> int:
        await sink.emit(E.tool_call, f"T{n}", {"input": n})
        await asyncio.sleep(0.01 * (3 - n))
        await sink.emit(E.tool_result, str(n), {"tool_use_id": str(n)})
        return n

    async def call(n: int) -> int:
        return await sink.step(f"tool {n}", lambda: tool(n), acts=True)

    assert await asyncio.gather(*(call(n) for n in range(3))) == [0, 1, 2]
    assert {name: step.outcome for name, step in (await work.steps(turn.claim)).items()} == {
        "tool 0": 0,
        "tool 1": 1,
        "tool 2": 2,
    }
    assert sorted(await turn.said()) == sorted(
        [("tool_call", f"T{n}") for n in range(3)] + [("tool_result", str(n)) for n in range(3)]
    )


async def test_nothing_is_emitted_outside_a_step(turn: Turn) -> None:
    sink = await turn.sink()
    with pytest.raises(RuntimeError, match="inside a step"):
        await sink.emit(E.text, "x")
    assert await turn.answer() == []
