"""Runs without a chat: what their steps have said outlives a worker, and nobody has seen a step that was cut off."""

import asyncio

import pytest

from models.staff.runs import Run
from resolvers.staff.runs import work
from resolvers.staff.runs.work import RunClaim
from runtime.runs.job import Interrupted, Job, Outcome, Sink
from runtime.runs.turn import TurnSink
from tests.runtime.doubles import E, LocalEngine, WordGuard, says
from tests.runtime.estate import Estate
from tests.runtime.shop import Shop, never

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def waiting(estate: Estate) -> Run:
    agent = await estate.agent()
    run = Run(agent_id=agent.id, workspace_id=estate.workspace.id, prompt="p", trigger_type="ASSIGNMENT")
    await estate.add(run)
    return run


async def held(estate: Estate, run: Run) -> RunClaim:
    """By whoever comes next."""
    await estate.owner.execute("UPDATE runs SET leased_until = now() - interval '1 s' WHERE id = $1", run.id)
    [claim] = await work.claim("w", 1, seconds=30.0)
    assert claim.run_id == run.id
    return claim


async def sink_of(claim: RunClaim) -> TurnSink:
    made = TurnSink(claim, LocalEngine(), WordGuard())
    await made.open()
    return made


async def test_pieces_of_a_text_are_said_once(estate: Estate) -> None:
    run = await waiting(estate)
    sink = await sink_of(await held(estate, run))
    await says(sink, "one ", "two ", "three")
    assert [event["content"] for event in sink.said] == ["one two three"]
    await sink.close()


async def test_what_was_said_is_known_to_the_next_worker(estate: Estate) -> None:
    run = await waiting(estate)
    first = await sink_of(await held(estate, run))
    await says(first, "one ", step="model 2")  # no order but that of their ends
    await says(first, "two ", step="model 1")
    second = await sink_of(await held(estate, run))
    await says(second, "not again", step="model 1")
    await says(second, "three", step="model 3")
    assert "".join(event["content"] for event in second.said) == "one two three"
    rows = await estate.owner.fetch("SELECT name, said FROM run_steps WHERE run_id = $1", run.id)
    assert {row["name"]: row["said"] for row in rows} == {
        f"model {n}": [{"type": "text", "content": text}] for n, text in ((2, "one "), (1, "two "), (3, "three"))
    }
    await second.close()


@pytest.mark.slow
async def test_a_step_that_was_cut_off_while_it_spoke_is_begun_anew(estate: Estate, shop: Shop) -> None:
    begun: list[str] = []
    reached = asyncio.Event()

    async def does(job: Job, sink: Sink) -> Outcome:
        async def speaks() -> None:
            begun.append(job.run_id)
            await sink.emit(E.text, "Half ")
            if len(begun) == 1:
                reached.set()
                await never().wait()
            await sink.emit(E.text, "and half")

        await says(sink, "Whole. ", step="model 1")
        await sink.step("model 2", speaks)
        return Outcome()

    dead = await shop.worker(does)
    run = await waiting(estate)
    await reached.wait()
    await shop.kill(dead)
    heard: list[str] = []

    async def listens(job: Job, sink: Sink) -> Outcome:
        outcome = await does(job, sink)
        assert isinstance(sink, TurnSink)
        heard.append("".join(event["content"] for event in sink.said))
        return outcome

    await shop.worker(listens)
    assert (await estate.ended(run.id)).status == "COMPLETED"
    assert (len(begun), heard) == (2, ["Whole. Half and half"])


async def test_a_step_that_acts_is_not_repeated(estate: Estate) -> None:
    run = await waiting(estate)
    first = await sink_of(await held(estate, run))
    task = asyncio.create_task(first.step("tool 1", never().wait, acts=True))
    while not await work.steps(first._claim):
        await asyncio.sleep(0.01)
    second = await sink_of(await held(estate, run))
    with pytest.raises(Interrupted):
        await second.step("tool 1", never().wait, acts=True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await second.close()


async def test_the_fifth_same_call_is_told_over_workers(estate: Estate) -> None:
    run = await waiting(estate)

    async def calls(sink: Sink, n: int) -> None:
        await sink.step(f"tool {n}", lambda: sink.emit(E.tool_call, "look", {"tool_name": "look", "input": {}}))

    first = await sink_of(await held(estate, run))
    for n in range(4):
        await calls(first, n)
    second = await sink_of(await held(estate, run))
    with pytest.raises(Exception, match="5 times in a row"):
        await calls(second, 4)
    await second.close()
