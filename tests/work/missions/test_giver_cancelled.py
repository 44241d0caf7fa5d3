"""A run that somebody cancels takes along what it has given other agents to do, and nothing else."""

import asyncio
from typing import Any

import pytest

from models.staff.agents import Agent
from models.staff.runs import Run
from resolvers.work.missions import dispatching
from resolvers.work.missions.calling_off import GIVER_CALLED_OFF
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import says
from tests.work.missions.harbour import Berth, Harbour
from tests.work.missions.test_asking import asked
from tests.work.missions.test_assigning import ended, given, told_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def berth(harbour: Harbour) -> Berth:
    return await harbour.crew()


class Hanging:
    """Works until it is told to go on, or is ended."""

    def __init__(self) -> None:
        self.begun, self.go, self.ends = asyncio.Event(), asyncio.Event(), list[str]()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        self.begun.set()
        try:
            await self.go.wait()
            await says(sink, "Done after all")
        except asyncio.CancelledError:
            self.ends.append(job.run_id)
            raise
        return Outcome()


async def status_of(berth: Berth, table: str, id: str) -> Any:
    return await berth.estate.owner.fetchrow(f"SELECT status, error_message FROM {table} WHERE id = $1", id)


async def run_of(berth: Berth, id: str) -> Any:
    return await berth.estate.owner.fetchrow("SELECT * FROM runs WHERE assignment_id = $1", id)


async def settled(berth: Berth, *agents: Agent) -> None:
    """Nothing of these runs any more."""
    count = "SELECT count(*) FROM runs WHERE agent_id = ANY ($1::text[]) AND status = 'RUNNING'"
    async with asyncio.timeout(30):
        while await berth.estate.owner.fetchval(count, [agent.id for agent in agents]):
            await asyncio.sleep(0.02)


async def begun(berth: Berth, does: Hanging) -> Run:
    """A run of the lead in a chat of its own, which works."""
    berth.harbour.agents.acts[berth.lead.id] = does
    run = await berth.estate.ask("Have it done", await berth.estate.chat(berth.lead))
    async with asyncio.timeout(30):
        await does.begun.wait()
    return run


@pytest.mark.slow
async def test_what_a_run_gave_is_cancelled_with_it(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    estate, agents = berth.estate, berth.harbour.agents
    monkeypatch.setattr(dispatching, "MOST_OF_CREW", 2)
    before, lead, work, answer = Hanging(), Hanging(), Hanging(), Hanging()
    early, peer = await estate.agent(crew_id=berth.crew.id), await estate.agent(crew_id=berth.crew.id)
    agents.acts |= {early.id: before, berth.worker.id: work, peer.id: answer}
    chat = await estate.chat(berth.lead)
    kept = await given(berth, chat, target_slug=early.slug)
    agents.acts[berth.lead.id] = lead
    run = await estate.ask("Have it done", chat)
    async with asyncio.timeout(30):
        await lead.begun.wait()
    first, waits = await given(berth, chat), await given(berth, chat)
    question = asyncio.create_task(asked(berth, chat, target_slug=peer.slug))
    async with asyncio.timeout(30):
        await asyncio.gather(before.begun.wait(), work.begun.wait(), answer.begun.wait())
    assert (await status_of(berth, "assignments", waits))["status"] == "QUEUED"

    await estate.cancel(chat.id)
    for id in (first, waits):
        row = await ended(estate, id)
        assert (row["status"], row["error_message"]) == ("CANCELLED", GIVER_CALLED_OFF)
        assert row["finished_at"] is not None
        told = [type for _, type in await told_of(estate, id) if type in ("assignment_failed", "assignment_completed")]
        assert told == ["assignment_failed"], "once"
        log = await estate.owner.fetch(
            "SELECT action, data FROM audit_logs WHERE entity_id = $1 ORDER BY created_at", id
        )
        assert [line["action"] for line in log] == ["assignment.created", "assignment.cancelled"]
        assert log[1]["data"]["run_id"] == run.id
    assert (await question)["status"] == "FAILED"
    await settled(berth, berth.lead, berth.worker, peer)
    carried = await run_of(berth, first)
    assert (carried["status"], work.ends) == ("CANCELLED", [carried["id"]])
    assert await run_of(berth, waits) is None, "what waited has not begun"
    assert len(answer.ends) == 1

    assert (await status_of(berth, "assignments", kept))["status"] == "RUNNING", "another run, or nobody's, gave it"
    before.go.set()
    assert (await ended(estate, kept))["status"] == "COMPLETED"


async def test_what_has_ended_stays_and_what_a_later_run_gave_goes_on(berth: Berth) -> None:
    lead, work = Hanging(), Hanging()
    run = await begun(berth, lead)
    chat = await berth.estate.stored_chat(str(run.chat_id))
    done = await given(berth, chat)
    assert (await ended(berth.estate, done))["status"] == "COMPLETED"
    await berth.estate.cancel(chat.id)
    await settled(berth, berth.lead)
    berth.harbour.agents.acts |= {berth.lead.id: (second := Hanging()), berth.worker.id: work}
    await berth.estate.ask("Once more", chat)
    async with asyncio.timeout(30):
        await second.begun.wait()
    later = await given(berth, chat)
    async with asyncio.timeout(30):
        await work.begun.wait()
    second.go.set()
    await settled(berth, berth.lead)
    assert (await status_of(berth, "assignments", done))["status"] == "COMPLETED"
    assert (await status_of(berth, "assignments", later))["status"] == "RUNNING", "its giver ended well"
    work.go.set()
    assert (await ended(berth.estate, later))["status"] == "COMPLETED"
    assert work.ends == []
