"""Runs from the message to the end: every ending, cancellation, time."""

import asyncio
import contextlib
from typing import Any

import pytest
from structlog.testing import capture_logs

from models.staff.runs import Run
from resolvers.errors import Code, Refusal
from resolvers.kernel.store.bus import Topic, bus
from resolvers.staff.runs import work
from resolvers.staff.runs.finishing import GENERAL, NO_OUTPUT, finish_run
from resolvers.staff.runs.work import RunClaim
from runtime.engine.supervisor import Timing
from runtime.runs import execution
from runtime.runs.execution import AGENT_GONE, GIVEN_UP, INTERNAL, TRIES
from runtime.runs.job import Failed, Job, Outcome, Sink, StuckLoop
from tests.runtime.doubles import Does, E, LocalEngine, says
from tests.runtime.estate import Estate
from tests.runtime.shop import DONE, Hanging, Shop, failing, never, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]

FINAL = {"type": "error", "content": GENERAL}


# ---- endings ---------------------------------------------------------------------------------------------------------


async def test_a_message_is_answered(estate: Estate, shop: Shop) -> None:
    usage = {"input_tokens": 10, "output_tokens": 20}

    async def does(job: Job, sink: Sink) -> Outcome:
        async def body() -> None:
            await sink.emit(E.system, "init", {"subtype": "init", "model": "m-1"})
            await sink.emit(E.thinking, "hm", {"streaming": True})
            await sink.emit(E.text, "hello ")
            await sink.emit(E.tool_call, "Bash", {"tool_name": "Bash", "tool_id": "t1", "input": {"command": "ls"}})
            await sink.emit(E.tool_result, "README.md", {"tool_use_id": "t1"})
            await sink.emit(E.text, "there")
            await sink.emit(E.result, "hello there", {"usage": usage, "num_turns": 2, "total_cost_usd": 0.01})

        await sink.step("model 1", body)
        return Outcome(data={"model_usage": {"m-1": {}}})

    await shop.worker(does)
    run = await estate.ask("hi", max_turns=7)
    ended = await estate.ended(run.id)
    assert (ended.status, ended.exit_code, ended.error_message, ended.model) == ("COMPLETED", 0, None, "m-1")
    assert ended.data is not None
    duration = ended.data.pop("duration_ms")
    assert 0 <= duration < 10_000
    assert ended.data == run.data | {
        "usage": usage,
        "num_turns": 2,
        "total_cost_usd": 0.01,
        "model_usage": {"m-1": {}},
        "model": "m-1",
    }  # type: ignore[operator]
    answer = await estate.answer(str(run.chat_id))
    assert [event["type"] for event in answer] == [
        "system",
        "thinking",
        "text",
        "tool_call",
        "tool_result",
        "text",
        "result",
        "done",
    ]
    message = (await estate.messages(str(run.chat_id)))[1]
    assert (message["role"], message["content"], message["tool_summary"]) == (
        "assistant",
        "hello there",
        "[tool: Bash]\n[result: README.md]",
    )
    assert [part["type"] for part in message["parts"]] == ["thinking", "text", "tool_call", "tool_result", "text"]
    assert (await estate.stored_chat(str(run.chat_id))).message_count == 2
    assert await estate.agent_status(run) == "IDLE"


async def raises(error: Exception) -> Any:
    raise error


async def calls_the_same_tool(job: Job, sink: Sink) -> Outcome:
    async def body() -> None:
        while True:
            with contextlib.suppress(StuckLoop):  # an adapter that takes it for an error of the tool
                await sink.emit(E.tool_call, "Bash", {"input": {"command": "ls"}})
            await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await sink.step("loop", body)
    return Outcome()


async def gives_an_error(job: Job, sink: Sink) -> Outcome:
    await says(sink, "partly")
    return Outcome(error="the provider refused", exit_code=7, data={"num_turns": 1})


async def fails_among_others(job: Job, sink: Sink) -> Outcome:
    async with asyncio.TaskGroup() as group:
        group.create_task(raises(Failed("no key is set")))
        group.create_task(never().wait())
    return Outcome()


@pytest.mark.parametrize(
    ("does", "error", "exit_code"),
    [
        (gives_an_error, "the provider refused", 7),
        (failing(Failed("no key is set")), "no key is set", None),
        (failing(ValueError("sk-secret")), INTERNAL, None),
        (fails_among_others, "no key is set", None),
        (calls_the_same_tool, "The agent called the same tool with the same input 5 times in a row", None),
    ],
    ids=["outcome", "failed", "unexpected", "in a group", "stuck"],
)
async def test_a_failure_says_what_it_was(
    estate: Estate, shop: Shop, does: Does, error: str, exit_code: int | None
) -> None:
    await shop.worker(does)
    run = await estate.ask()
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message, ended.exit_code) == ("FAILED", error, exit_code)
    assert ended.data is not None
    assert ended.data["duration_ms"] >= 0
    assert (await estate.answer(str(run.chat_id)))[-3:] == [{"type": "error", "content": error}, FINAL, DONE]
    assert len(await estate.messages(str(run.chat_id))) == 1
    assert (await estate.stored_chat(str(run.chat_id))).message_count == 0
    assert await estate.agent_status(run) == "ERROR"
    assert "sk-secret" not in str(await estate.frames(str(run.chat_id))) + str(ended)


async def test_an_error_shows_no_secret(estate: Estate, shop: Shop) -> None:
    await shop.worker(failing(Failed("the key hunter2 is wrong")), word="hunter2")
    ended = await estate.ended((await estate.ask()).id)
    assert ended.error_message == "the key [REDACTED] is wrong"


async def test_no_output_is_a_failure_of_its_own(estate: Estate, shop: Shop) -> None:
    async def does(job: Job, sink: Sink) -> Outcome:
        async def body() -> None:
            await sink.emit(E.status, "working")
            await sink.emit(E.text, "")
            await sink.emit(E.result, "", {"num_turns": 1})

        await sink.step("s", body)
        return Outcome()

    await shop.worker(does)
    run = await estate.ask()
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("FAILED", NO_OUTPUT)
    assert ended.data is not None
    assert ended.data["reason"] == "no_output"
    assert (await estate.answer(str(run.chat_id)))[-2:] == [
        {"type": "error", "content": NO_OUTPUT, "metadata": {"reason": "no_output"}},
        DONE,
    ]
    assert [m["role"] for m in await estate.messages(str(run.chat_id))] == ["user", "system"]


async def test_a_run_without_a_chat_ends_with_what_it_said(estate: Estate, shop: Shop) -> None:
    async def does(job: Job, sink: Sink) -> Outcome:
        if job.prompt == "say":
            await says(sink, "x")
        return Outcome()

    await shop.worker(does)
    agent = await estate.agent()
    runs = [
        Run(agent_id=agent.id, workspace_id=estate.workspace.id, prompt=prompt, trigger_type="CRON")
        for prompt in ("say", "nothing")
    ]
    await estate.add(*runs)
    assert [(await estate.ended(run.id)).status for run in runs] == ["COMPLETED", "FAILED"]


@pytest.mark.parametrize(("trigger", "asked", "turns"), [("USER", None, 50), ("CRON", None, 20), ("USER", 7, 7)])
async def test_turns_are_capped(estate: Estate, shop: Shop, trigger: str, asked: int | None, turns: int) -> None:
    worker = await shop.worker()
    agent = await estate.agent(timeout_seconds=0)
    run = Run(agent_id=agent.id, workspace_id=estate.workspace.id, prompt="p", trigger_type=trigger, max_turns=asked)
    await estate.add(run)
    await estate.ended(run.id)
    [job] = worker._outfit.jobs  # type: ignore[attr-defined]
    assert (job.max_turns, job.timeout_seconds) == (turns, 1800.0)


async def test_a_deleted_agent_does_nothing(estate: Estate, shop: Shop) -> None:
    agent = await estate.agent()
    run = await estate.ask(chat=await estate.chat(agent))
    await estate.owner.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", agent.id)
    await shop.worker()
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("FAILED", AGENT_GONE)


async def test_a_run_whose_workspace_is_gone_is_given_up(estate: Estate, shop: Shop) -> None:
    run = await estate.ask()
    await estate.owner.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", estate.workspace.id)
    try:
        await shop.worker()
        ended = await estate.ended(run.id)
    finally:
        await estate.owner.execute("UPDATE workspaces SET deleted_at = NULL WHERE id = $1", estate.workspace.id)
    assert (ended.status, ended.error_message) == ("FAILED", GIVEN_UP)


async def test_a_reply_that_cannot_be_stored_does_not_keep_the_run_from_ending(
    estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(caller: Any, raw: Any) -> Any:
        if "reply" in raw:
            raise Refusal(Code.BAD_REQUEST, "unstorable")
        return await finish_run(caller, raw)

    monkeypatch.setattr(execution, "finish_run", refuses)
    await shop.worker()
    run = await estate.ask()
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("FAILED", INTERNAL)
    assert (await estate.answer(str(run.chat_id)))[-1] == DONE


async def test_an_end_is_tried_until_the_database_is_back(
    estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def away(caller: Any, raw: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 2:
            await finish_run(caller, raw)  # carried out, and the answer was lost
        if tries < 4:
            raise Refusal(Code.UNAVAILABLE, "away")
        return await finish_run(caller, raw)

    monkeypatch.setattr(execution, "finish_run", away)
    worker = await shop.worker(timing=Timing())
    run = await estate.ask()
    assert (await estate.ended(run.id)).status == "COMPLETED"
    await until(lambda: not worker.held)
    assert tries == 4
    assert (await estate.answer(str(run.chat_id)))[-1] == DONE
    assert len(await estate.messages(str(run.chat_id))) == 2


async def test_a_conflict_of_locks_is_tried_again(estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, looks, written = 0, 0, work.written

    async def conflicts(caller: Any, raw: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Refusal(Code.CONFLICT, "deadlock")
        return await finish_run(caller, raw)

    async def away_at_first(claim: RunClaim) -> int | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError("away")
        return await written(claim)

    monkeypatch.setattr(execution, "finish_run", conflicts)
    monkeypatch.setattr(work, "written", away_at_first)
    await shop.worker(timing=Timing())
    run = await estate.ask()
    assert (await estate.ended(run.id)).status == "COMPLETED"
    assert (tries, looks) == (3, 2)


async def test_a_run_that_was_taken_over_is_not_ended(
    estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def too_late(caller: Any, raw: Any) -> Any:
        nonlocal tries
        tries += 1
        await estate.owner.execute(
            "UPDATE runs SET lease = 2, leased_until = now() + interval '1 hour' WHERE id = $1", raw["id"]
        )
        return await finish_run(caller, raw)

    monkeypatch.setattr(execution, "finish_run", too_late)
    worker = await shop.worker(timing=Timing())
    run = await estate.ask()
    await until(lambda: tries and not worker.held)
    assert tries == 1
    assert (await estate.run(run.id)).status == "RUNNING"
    assert DONE not in await estate.answer(str(run.chat_id))


async def test_a_fault_in_looking_for_a_take_over_is_logged_and_ends_the_run(
    estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def conflicts(caller: Any, raw: Any) -> Any:
        raise Refusal(Code.CONFLICT, "deadlock")

    async def broken(claim: RunClaim) -> int | None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(execution, "finish_run", conflicts)
    monkeypatch.setattr(work, "written", broken)
    with capture_logs() as logs:
        await shop.worker(timing=Timing())
        run = await estate.ask()
        ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("FAILED", GIVEN_UP)
    told = [line for line in logs if line["event"] == "end of a run refused"]
    assert len(told) == TRIES + 1
    assert all(line["log_level"] == "error" and "ValueError: a fault of ours" in line["exception"] for line in told)


# ---- time and cancellation -------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_run_that_takes_too_long_times_out(estate: Estate, shop: Shop) -> None:
    hanging = Hanging()
    await shop.worker(hanging)
    agent = await estate.agent(timeout_seconds=1)
    run = await estate.ask(chat=await estate.chat(agent))
    ended = await estate.ended(run.id)
    error = "The agent did not finish within 1 seconds"
    assert (ended.status, ended.error_message) == ("TIMEOUT", error)
    assert await estate.answer(str(run.chat_id)) == [
        {"type": "text", "content": "partly"},
        {"type": "error", "content": error},
        FINAL,
        DONE,
    ]
    assert hanging.cancelled.is_set()
    assert await estate.agent_status(run) == "ERROR"
    assert (await estate.stored_chat(str(run.chat_id))).message_count == 0


async def test_time_runs_on_when_a_run_is_taken_over(estate: Estate, shop: Shop) -> None:
    agent = await estate.agent(timeout_seconds=60)
    run = await estate.ask(chat=await estate.chat(agent))
    await estate.owner.execute(
        "UPDATE runs SET started_at = now() - interval '2 minutes', lease = 1, leased_until = now() WHERE id = $1",
        run.id,
    )
    worker = await shop.worker()
    assert (await estate.ended(run.id)).status == "TIMEOUT"
    assert worker._outfit.jobs == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("rung", [True, False])
async def test_a_run_can_be_cancelled(estate: Estate, shop: Shop, rung: bool) -> None:
    hanging = Hanging()
    await shop.worker(hanging, timing=Timing(patience=0.5, extend=60.0 if rung else 0.2))
    run = await estate.ask()
    await hanging.reached.wait()
    await asyncio.sleep(0.1)
    if rung:
        await estate.cancel(str(run.chat_id))
    else:  # a ring that was lost
        await estate.owner.execute("UPDATE runs SET cancel_requested_at = now() WHERE id = $1", run.id)
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("CANCELLED", "cancelled")
    assert await estate.answer(str(run.chat_id)) == [{"type": "text", "content": "partly"}, DONE]
    assert [m["content"] for m in await estate.messages(str(run.chat_id))] == ["hello", "partly"]
    assert (await estate.stored_chat(str(run.chat_id))).message_count == 2
    assert await estate.agent_status(run) == "IDLE"


async def test_a_run_that_had_said_nothing_is_cancelled_without_a_reply(estate: Estate, shop: Shop) -> None:
    hanging = Hanging(mute=True)
    await shop.worker(hanging)
    run = await estate.ask()
    await hanging.reached.wait()
    await estate.cancel(str(run.chat_id))
    assert (await estate.ended(run.id)).status == "CANCELLED"
    assert await estate.answer(str(run.chat_id)) == [DONE]
    assert (await estate.stored_chat(str(run.chat_id))).message_count == 1


@pytest.mark.slow
async def test_a_body_that_does_not_stop_is_left_to_itself(estate: Estate, shop: Shop) -> None:
    hanging = Hanging(stubborn=True)
    worker = await shop.worker(hanging)
    run = await estate.ask()
    await hanging.reached.wait()
    await asyncio.sleep(0.1)
    await estate.cancel(str(run.chat_id))
    ended = await estate.ended(run.id, 5.0)
    assert ended.status == "CANCELLED"
    await until(lambda: not worker.held)
    await until(lambda: hanging.late)
    answer = await estate.answer(str(run.chat_id))
    assert answer[-1] == DONE
    await asyncio.sleep(0.2)
    assert await estate.answer(str(run.chat_id)) == answer


@pytest.mark.slow
async def test_a_ring_alone_cancels_nothing(estate: Estate, shop: Shop) -> None:
    """Anybody in the database can forge one."""
    hanging = Hanging()
    worker = await shop.worker(hanging)
    run = await estate.ask()
    await hanging.reached.wait()
    bus.ring(Topic.cancel, run.id)
    await asyncio.sleep(0.5)
    assert worker.held == {run.id}
    assert not hanging.cancelled.is_set()


async def test_what_is_cancelled_leaves_the_queue_without_a_slot(estate: Estate, shop: Shop) -> None:
    hanging, engine = Hanging(), LocalEngine()
    await shop.worker(hanging, slots=1, engine=engine)
    busy = await estate.ask()
    await hanging.reached.wait()
    waiting, left = await estate.ask(), await estate.ask()
    # a worker had it, and is gone
    await estate.owner.execute(
        "UPDATE runs SET lease = 1, leased_until = now(), started_at = now() WHERE id = $1", left.id
    )
    for run in (waiting, left):
        await estate.cancel(str(run.chat_id))
        ended = await estate.ended(run.id, 5.0)
        assert (ended.status, ended.error_message) == ("CANCELLED", "cancelled")
        assert (await estate.answer(str(run.chat_id)))[-1] == DONE
    assert (await estate.run(busy.id)).status == "RUNNING"
    assert engine.cancelled == [left.id]
    assert [id for _, id in engine.begun] == [busy.id]
