"""Runs from the message to the end: every ending, cancellation, time, take-over, and nobody left behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from models.runs import Run
from resolvers.kernel.bus import Topic, bus
from resolvers.kernel.errors import Code, Refusal
from resolvers.runs import work
from resolvers.runs.finishing import GENERAL, NO_OUTPUT, SERVER_RESTART, finish_run
from runtime import execution
from runtime.execution import AGENT_GONE, GIVEN_UP, INTERNAL, MOST_LEASES
from runtime.job import Failed, Job, Outcome, Sink, StuckLoop
from runtime.supervisor import Supervisor, Timing
from tests.runtime.doubles import Does, E, LocalEngine, Wardrobe, says, speaks
from tests.runtime.estate import Estate

pytestmark = pytest.mark.anyio

QUICK = Timing(lease=2.0, extend=0.3, poll=0.1, begin=1.0, patience=0.5, watch=0.2)
DONE = {"type": "done", "content": ""}
FINAL = {"type": "error", "content": GENERAL}


@pytest.fixture(autouse=True)
async def _nothing_waits(estate: Estate) -> AsyncIterator[None]:
    yield
    await estate.owner.execute("UPDATE runs SET status = 'CANCELLED' WHERE status = 'RUNNING'")


class Shop:
    """Workers in this process, each with an engine of its own."""

    def __init__(self) -> None:
        self.open: list[Supervisor] = []

    async def worker(self, does: Does = speaks, *, slots: int = 8, timing: Timing = QUICK, engine: LocalEngine | None = None, word: str = "") -> Supervisor:
        made = Supervisor(engine or LocalEngine(), Wardrobe(does, word), slots=slots, timing=timing)
        await made.start()
        self.open.append(made)
        return made

    async def kill(self, worker: Supervisor) -> None:
        """As kill -9 does: nothing of it runs on, and nobody is told."""
        self.open.remove(worker)
        for off in worker._off:
            off()
        tasks = [*worker._loops, *worker._tasks, *worker._engine.tasks]  # type: ignore[attr-defined]
        for held in worker._held.values():
            if held.sink is not None:
                held.sink.fail(RuntimeError("killed"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    yield made
    for worker in made.open:
        await worker.stop()


def never() -> asyncio.Event:
    return asyncio.Event()


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
    assert ended.data == run.data | {"usage": usage, "num_turns": 2, "total_cost_usd": 0.01, "model_usage": {"m-1": {}}, "model": "m-1"}  # type: ignore[operator]
    answer = await estate.answer(str(run.chat_id))
    assert [event["type"] for event in answer] == ["system", "thinking", "text", "tool_call", "tool_result", "text", "result", "done"]
    message = (await estate.messages(str(run.chat_id)))[1]
    assert (message["role"], message["content"], message["tool_summary"]) == ("assistant", "hello there", "[tool: Bash]\n[result: README.md]")
    assert [part["type"] for part in message["parts"]] == ["thinking", "text", "tool_call", "tool_result", "text"]
    assert (await estate.stored_chat(str(run.chat_id))).message_count == 2
    assert await estate.agent_status(run) == "IDLE"


async def raises(error: Exception) -> Any:
    raise error


def failing(error: Exception) -> Does:
    async def does(job: Job, sink: Sink) -> Outcome:
        await says(sink, "partly")
        raise error

    return does


async def calls_the_same_tool(job: Job, sink: Sink) -> Outcome:
    async def body() -> None:
        while True:
            with contextlib.suppress(StuckLoop):  # an adapter that takes it for an error of the tool
                await sink.emit(E.tool_call, "Bash", {"input": {"command": "ls"}})
            await asyncio.sleep(0)

    async with asyncio.timeout(1):
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
async def test_a_failure_says_what_it_was(estate: Estate, shop: Shop, does: Does, error: str, exit_code: int | None) -> None:
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
    assert (await estate.answer(str(run.chat_id)))[-2:] == [{"type": "error", "content": NO_OUTPUT, "metadata": {"reason": "no_output"}}, DONE]
    assert [m["role"] for m in await estate.messages(str(run.chat_id))] == ["user", "system"]


async def test_a_run_without_a_chat_ends_with_what_it_said(estate: Estate, shop: Shop) -> None:
    async def does(job: Job, sink: Sink) -> Outcome:
        if job.prompt == "say":
            await says(sink, "x")
        return Outcome()

    await shop.worker(does)
    agent = await estate.agent()
    runs = [Run(agent_id=agent.id, workspace_id=estate.workspace.id, prompt=prompt, trigger_type="CRON") for prompt in ("say", "nothing")]
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


async def test_a_reply_that_cannot_be_stored_does_not_keep_the_run_from_ending(estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_an_end_is_tried_until_the_database_is_back(estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
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


# ---- time and cancellation -------------------------------------------------------------------------------------------


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Hanging:
    """Says something and hangs; then cleans up as it likes."""

    def __init__(self, *, stubborn: bool = False, mute: bool = False) -> None:
        self.reached, self.cancelled = asyncio.Event(), asyncio.Event()
        self.stubborn, self.mute, self.late = stubborn, mute, list[BaseException]()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        async def body() -> None:
            if not self.mute:
                await sink.emit(E.text, "partly")
            self.reached.set()
            while True:
                try:
                    await never().wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    if not self.stubborn:
                        raise
                    await self._goes_on(sink)

        await sink.step("hangs", body)
        return Outcome()

    async def _goes_on(self, sink: Sink) -> None:
        for _ in range(40):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
            try:
                await sink.emit(E.text, "zombie")
            except Exception as error:
                self.late.append(error)
                raise


async def test_a_run_that_takes_too_long_times_out(estate: Estate, shop: Shop) -> None:
    hanging = Hanging()
    await shop.worker(hanging)
    agent = await estate.agent(timeout_seconds=1)
    run = await estate.ask(chat=await estate.chat(agent))
    ended = await estate.ended(run.id)
    error = "The agent did not finish within 1 seconds"
    assert (ended.status, ended.error_message) == ("TIMEOUT", error)
    assert await estate.answer(str(run.chat_id)) == [{"type": "text", "content": "partly"}, {"type": "error", "content": error}, FINAL, DONE]
    assert hanging.cancelled.is_set()
    assert await estate.agent_status(run) == "ERROR"
    assert (await estate.stored_chat(str(run.chat_id))).message_count == 0


async def test_time_runs_on_when_a_run_is_taken_over(estate: Estate, shop: Shop) -> None:
    agent = await estate.agent(timeout_seconds=60)
    run = await estate.ask(chat=await estate.chat(agent))
    await estate.owner.execute("UPDATE runs SET started_at = now() - interval '2 minutes', lease = 1, leased_until = now() WHERE id = $1", run.id)
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
    await estate.owner.execute("UPDATE runs SET lease = 1, leased_until = now(), started_at = now() WHERE id = $1", left.id)  # a worker had it, and is gone
    for run in (waiting, left):
        await estate.cancel(str(run.chat_id))
        ended = await estate.ended(run.id, 5.0)
        assert (ended.status, ended.error_message) == ("CANCELLED", "cancelled")
        assert (await estate.answer(str(run.chat_id)))[-1] == DONE
    assert (await estate.run(busy.id)).status == "RUNNING"
    assert engine.cancelled == [left.id]
    assert [id for _, id in engine.begun] == [busy.id]


# ---- leases ----------------------------------------------------------------------------------------------------------


async def test_thirty_runs_on_three_workers_are_each_carried_out_once(estate: Estate, shop: Shop) -> None:
    counts: dict[str, int] = {}
    most = now = 0

    async def does(job: Job, sink: Sink) -> Outcome:
        nonlocal most, now
        now += 1
        most = max(most, now)
        counts[job.run_id] = counts.get(job.run_id, 0) + 1
        await says(sink, "x")
        await asyncio.sleep(0.02)
        now -= 1
        return Outcome()

    for _ in range(3):
        await shop.worker(does, slots=4)
    runs = [await estate.ask() for _ in range(30)]
    for run in runs:
        assert (await estate.ended(run.id)).status == "COMPLETED"
    assert counts == {run.id: 1 for run in runs}
    assert most <= 12


async def test_a_run_goes_on_where_a_dead_worker_has_left_it(estate: Estate, shop: Shop) -> None:
    effects: list[str] = []
    reached = asyncio.Event()

    async def does(job: Job, sink: Sink) -> Outcome:
        async def tool() -> str:
            effects.append("tool")
            return "made"

        await says(sink, "first ", step="model 1")
        assert await sink.step("tool 1", tool, acts=True) == "made"
        if not reached.is_set():
            reached.set()

            async def quiet() -> None:
                await never().wait()

            await sink.step("model 2", quiet)
        await says(sink, "second", step="model 3")
        return Outcome()

    dead = await shop.worker(does)
    run = await estate.ask()
    await reached.wait()
    await asyncio.sleep(0.05)
    await shop.kill(dead)
    engine = LocalEngine()
    await shop.worker(does, engine=engine)
    ended = await estate.ended(run.id)
    assert (ended.status, ended.lease) == ("COMPLETED", 2)
    assert effects == ["tool"]
    assert engine.begun == [("resume", run.id)]
    assert [e["content"] for e in await estate.answer(str(run.chat_id))] == ["first ", "second", ""]
    assert [m["content"] for m in await estate.messages(str(run.chat_id))] == ["hello", "first second"]


async def test_a_run_cut_off_in_a_step_ends_with_the_recovery_message(estate: Estate, shop: Shop) -> None:
    hanging = Hanging()
    dead = await shop.worker(hanging)
    run = await estate.ask()
    await hanging.reached.wait()
    await asyncio.sleep(0.1)
    await shop.kill(dead)
    await shop.worker(hanging)
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("CANCELLED", "server_restart")
    assert ended.data is not None
    assert ended.data["reason"] == "server_restart"
    assert await estate.answer(str(run.chat_id)) == [{"type": "text", "content": "partly"}, DONE]
    message = (await estate.messages(str(run.chat_id)))[1]
    assert (message["id"], message["role"], message["content"]) == (f"msg_recovery_{run.id}", "system", SERVER_RESTART)
    notice = {"type": "error", "content": SERVER_RESTART, "metadata": {"reason": "server_restart", "run_id": run.id}}
    assert await estate.events(f"session:{run.chat_id}") == [("chat_event", notice)]
    assert await estate.agent_status(run) == "IDLE"


async def test_an_adapter_cannot_go_on_after_an_interruption(estate: Estate, shop: Shop) -> None:
    hanging = Hanging()
    dead = await shop.worker(hanging)
    run = await estate.ask()
    await hanging.reached.wait()
    await asyncio.sleep(0.1)
    await shop.kill(dead)

    async def swallows(job: Job, sink: Sink) -> Outcome:
        with contextlib.suppress(Exception):
            await says(sink, "x", step="hangs")
        return Outcome(error="a tool failed")

    await shop.worker(swallows)
    assert (await estate.ended(run.id)).error_message == "server_restart"


async def test_a_worker_whose_leases_are_gone_stops_at_once(estate: Estate, shop: Shop) -> None:
    hanging = Hanging()
    worker = await shop.worker(hanging)
    run = await estate.ask()
    await hanging.reached.wait()
    await estate.owner.execute("UPDATE runs SET lease = lease + 1, leased_until = now() + interval '1 hour' WHERE id = $1", run.id)
    await until(lambda: not worker.held, 3.0)
    assert hanging.cancelled.is_set()
    assert (await estate.run(run.id)).status == "RUNNING"
    assert DONE not in await estate.answer(str(run.chat_id))


async def test_a_worker_that_cannot_extend_its_leases_gives_up_when_they_end(estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Refusal(Code.UNAVAILABLE, "away")

    hanging = Hanging()
    worker = await shop.worker(hanging, timing=Timing(lease=1.0, extend=0.2, poll=0.1, patience=0.5))
    await estate.ask()
    await hanging.reached.wait()
    monkeypatch.setattr(work, "extend", away)
    monkeypatch.setattr(work, "claim", away)
    began = asyncio.get_running_loop().time()
    await until(lambda: not worker.held, 3.0)
    assert 0.5 < asyncio.get_running_loop().time() - began < 1.5
    assert hanging.cancelled.is_set()


async def test_a_worker_that_stops_hands_its_runs_on(estate: Estate, shop: Shop) -> None:
    """At once, and without an end: a step that had shown nothing is done by the next."""
    attempts: list[str] = []

    async def does(job: Job, sink: Sink) -> Outcome:
        async def quiet() -> None:
            attempts.append(job.run_id)
            if len(attempts) == 1:
                await never().wait()

        await says(sink, "a ", step="model 1")
        await sink.step("quiet", quiet)
        await says(sink, "b", step="model 2")
        return Outcome()

    first = await shop.worker(does, timing=Timing(patience=0.5))
    run = await estate.ask()
    await until(lambda: attempts)
    await shop.worker(does, timing=Timing(patience=0.5))
    shop.open.remove(first)
    await first.stop()
    ended = await estate.ended(run.id, 3.0)  # a lease lasts 30 s
    assert (ended.status, ended.lease) == ("COMPLETED", 2)
    assert [m["content"] for m in await estate.messages(str(run.chat_id))] == ["hello", "a b"]


async def test_stopping_does_not_wait_for_the_stubborn(estate: Estate, shop: Shop) -> None:
    hanging = Hanging(stubborn=True)
    worker = await shop.worker(hanging)
    await estate.ask()
    await hanging.reached.wait()
    shop.open.remove(worker)
    async with asyncio.timeout(3):
        await worker.stop()


async def test_stopping_at_the_moment_of_a_ring_stops(estate: Estate, shop: Shop) -> None:
    worker = await shop.worker(timing=Timing())
    await asyncio.sleep(0.1)
    shop.open.remove(worker)
    worker._wake.set()
    worker._look.set()
    async with asyncio.timeout(3):
        await worker.stop()


async def test_a_run_that_ended_so_many_workers_is_not_begun_again(estate: Estate, shop: Shop) -> None:
    run = await estate.ask()
    await estate.owner.execute("UPDATE runs SET lease = $2, leased_until = now(), started_at = now() WHERE id = $1", run.id, MOST_LEASES)
    engine = LocalEngine()
    await shop.worker(engine=engine)
    assert (await estate.ended(run.id)).error_message == "server_restart"
    assert engine.begun == []
    assert engine.cancelled == [run.id]


async def test_a_run_that_the_engine_does_not_begin_is_tried_again(estate: Estate, shop: Shop) -> None:
    engine = LocalEngine()
    engine.refuses = 2
    await shop.worker(engine=engine)
    run = await estate.ask()
    ended = await estate.ended(run.id)
    assert (ended.status, ended.lease) == ("COMPLETED", 3)
    assert engine.begun == [("start", run.id), ("resume", run.id), ("resume", run.id)]


async def test_a_run_that_the_engine_forgets_is_tried_again(estate: Estate, shop: Shop) -> None:
    engine = LocalEngine()
    engine.silent = True
    await shop.worker(engine=engine)
    run = await estate.ask()
    await until(lambda: engine.begun)
    engine.silent = False
    assert (await estate.ended(run.id)).status == "COMPLETED"


async def test_the_engine_may_not_begin_what_is_not_held_or_twice(estate: Estate, shop: Shop) -> None:
    hanging, engine = Hanging(), LocalEngine()
    await shop.worker(hanging, engine=engine)
    run = await estate.ask()
    await hanging.reached.wait()
    for run_id in (run.id, "msg_unknown"):
        with pytest.raises(asyncio.CancelledError):
            await engine.body(run_id)


async def test_no_run_stays_behind_while_a_worker_lives(estate: Estate, shop: Shop) -> None:
    """Whatever becomes of workers and adapters: each run has a live lease or an end, and the count of those left behind falls to nothing."""
    stopped = timedelta(hours=1)
    runs = [await estate.ask() for _ in range(6)]
    states = ["lease = 3, leased_until = now() - interval '2 minutes'", "lease = 1, leased_until = now() - interval '1 hour'", "lease = 0"]
    for n, run in enumerate(runs):
        await estate.owner.execute(f"UPDATE runs SET {states[n % 3]}, started_at = now() - $2::interval WHERE id = $1", run.id, stopped if n % 3 else None)
    assert await work.stranded() == 4
    await shop.worker(failing(ValueError("x")))
    await shop.worker(speaks)
    for run in runs:
        assert (await estate.ended(run.id)).status in ("COMPLETED", "FAILED", "TIMEOUT")
    assert await work.stranded() == 0
    await until(lambda: work.STRANDED._value.get() == 0)


async def test_waiting_is_woken_by_a_ring(estate: Estate, shop: Shop) -> None:
    await shop.worker(timing=Timing(poll=30.0))
    await asyncio.sleep(0.2)
    assert (await estate.ended((await estate.ask()).id, 2.0)).status == "COMPLETED"
