"""Who carries a run out, and who goes on with it: leases, take-over, stopping, and nobody left behind."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from resolvers.errors import Code, Refusal
from resolvers.staff.runs import work
from resolvers.staff.runs.finishing import SERVER_RESTART
from runtime.engine.supervisor import Timing
from runtime.runs.execution import MOST_LEASES
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import LocalEngine, says, speaks
from tests.runtime.estate import Estate
from tests.runtime.shop import DONE, Hanging, Shop, failing, never, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def cut_off(estate: Estate, shop: Shop) -> tuple[Hanging, Any]:
    """A run whose worker was killed in the middle of a step."""
    hanging = Hanging()
    dead = await shop.worker(hanging)
    run = await estate.ask()
    await hanging.reached.wait()
    await asyncio.sleep(0.1)
    await shop.kill(dead)
    return hanging, run


@pytest.mark.slow
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


@pytest.mark.slow
async def test_a_run_cut_off_in_a_step_ends_with_the_recovery_message(estate: Estate, shop: Shop) -> None:
    hanging, run = await cut_off(estate, shop)
    await shop.worker(hanging)
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("CANCELLED", "server_restart")
    assert ended.data is not None
    assert ended.data["reason"] == "server_restart"
    assert await estate.answer(str(run.chat_id)) == [{"type": "text", "content": "partly"}, DONE]
    message = (await estate.messages(str(run.chat_id)))[1]
    assert (message["id"], message["role"], message["content"]) == (f"msg_recovery_{run.id}", "system", SERVER_RESTART)
    notice = {"type": "error", "content": SERVER_RESTART, "metadata": {"reason": "server_restart", "run_id": run.id}}
    assert await estate.events(f"session:{run.workspace_id}/{run.chat_id}") == [("chat_event", notice)]
    assert await estate.agent_status(run) == "IDLE"


@pytest.mark.slow
async def test_an_adapter_cannot_go_on_after_an_interruption(estate: Estate, shop: Shop) -> None:
    _, run = await cut_off(estate, shop)

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
    await estate.owner.execute(
        "UPDATE runs SET lease = lease + 1, leased_until = now() + interval '1 hour' WHERE id = $1", run.id
    )
    await until(lambda: not worker.held, 3.0)
    assert hanging.cancelled.is_set()
    assert (await estate.run(run.id)).status == "RUNNING"
    assert DONE not in await estate.answer(str(run.chat_id))


@pytest.mark.slow
async def test_a_worker_that_cannot_extend_its_leases_gives_up_when_they_end(
    estate: Estate, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.slow
async def test_stopping_does_not_wait_for_the_stubborn(estate: Estate, shop: Shop) -> None:
    hanging = Hanging(stubborn=True)
    worker = await shop.worker(hanging)
    await estate.ask()
    await hanging.reached.wait()
    shop.open.remove(worker)
    async with asyncio.timeout(30):
        await worker.stop()


async def test_stopping_at_the_moment_of_a_ring_stops(estate: Estate, shop: Shop) -> None:
    worker = await shop.worker(timing=Timing())
    await asyncio.sleep(0.1)
    shop.open.remove(worker)
    worker._wake.set()
    worker._look.set()
    async with asyncio.timeout(30):
        await worker.stop()


async def test_a_run_that_ended_so_many_workers_is_not_begun_again(estate: Estate, shop: Shop) -> None:
    run = await estate.ask()
    await estate.owner.execute(
        "UPDATE runs SET lease = $2, leased_until = now(), started_at = now() WHERE id = $1", run.id, MOST_LEASES
    )
    engine = LocalEngine()
    await shop.worker(engine=engine)
    assert (await estate.ended(run.id)).error_message == "server_restart"
    assert engine.begun == []
    assert engine.cancelled == [run.id]


@pytest.mark.slow
async def test_a_run_that_the_engine_does_not_begin_is_tried_again(estate: Estate, shop: Shop) -> None:
    engine = LocalEngine()
    engine.refuses = 2
    await shop.worker(engine=engine)
    run = await estate.ask()
    ended = await estate.ended(run.id)
    assert (ended.status, ended.lease) == ("COMPLETED", 3)
    assert engine.begun == [("start", run.id), ("resume", run.id), ("resume", run.id)]


@pytest.mark.slow
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
    """Whatever becomes of workers and adapters: each run has a live lease or an end, and the count of those left behind
    falls to nothing.
    """
    stopped = timedelta(hours=1)
    runs = [await estate.ask() for _ in range(6)]
    states = [
        "lease = 3, leased_until = now() - interval '2 minutes'",
        "lease = 1, leased_until = now() - interval '1 hour'",
        "lease = 0",
    ]
    for n, run in enumerate(runs):
        await estate.owner.execute(
            f"UPDATE runs SET {states[n % 3]}, started_at = now() - $2::interval WHERE id = $1",
            run.id,
            stopped if n % 3 else None,
        )
    assert await work.stranded() == 4
    await shop.worker(failing(ValueError("x")))
    await shop.worker(speaks)
    for run in runs:
        assert (await estate.ended(run.id)).status in ("COMPLETED", "FAILED", "TIMEOUT")
    assert await work.stranded() == 0
    await until(lambda: work.STRANDED._value.get() == 0)


@pytest.mark.slow
async def test_waiting_is_woken_by_a_ring(estate: Estate, shop: Shop) -> None:
    await shop.worker(timing=Timing(poll=30.0))
    await asyncio.sleep(0.8)  # it has looked
    assert (await estate.ended((await estate.ask()).id, 2.0)).status == "COMPLETED"
