"""What agents ask each other, by the internal API: the answer, what is told of it, and whoever gets none."""

import asyncio
from typing import Any

import orjson
import pytest

from models.staff.chats import Chat
from models.staff.runs import BY_WEBHOOK
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.work.missions import ask_peer, asking
from runtime.runs.job import Failed, Job, Outcome, Sink
from tests.runtime.doubles import says
from tests.runtime.estate import Estate
from tests.work.missions.harbour import Berth, Harbour
from tests.work.missions.test_assigning import begun, chat_of

pytestmark = pytest.mark.anyio
TOLD = "SELECT channel, type, payload FROM events WHERE payload->>'id' = $1 ORDER BY xid, seq"


@pytest.fixture
async def berth(harbour: Harbour) -> Berth:
    return await harbour.crew()


async def asked(berth: Berth, chat: Chat, **changes: Any) -> dict[str, Any]:
    here = berth.estate.workspace.id
    raw = {"workspace_id": here, "crew_id": berth.crew.id, "chat_id": chat.id, "target_slug": berth.worker.slug}
    answer = await ask_peer(Caller.service("test", here), raw | {"question": "What is the plan?"} | changes, place=here)
    made: dict[str, Any] = orjson.loads(answer.body or b"")
    return made


async def told_of(estate: Estate, id: str, last: str = "peer_conversation.updated") -> list[Any]:
    async with asyncio.timeout(30):
        while True:
            found = await estate.owner.fetch(TOLD, id)
            if any(row["type"] == last for row in found):
                return [row for row in found if row["type"].startswith("peer")]
            await asyncio.sleep(0.02)


async def ended(estate: Estate, id: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            row = await estate.owner.fetchrow("SELECT * FROM peer_conversations WHERE id = $1", id)
            if row["status"] != "RUNNING":
                return row
            await asyncio.sleep(0.02)


async def test_a_question_of_somebody_outside_is_answered_without_a_way_out(berth: Berth) -> None:
    estate = berth.estate
    chat = await chat_of(estate, berth.lead.id)
    over = await begun(estate, chat, trigger_type=BY_WEBHOOK, restricted=True)
    await asked(berth, chat)
    await estate.owner.execute("UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE id = $1", over.id)
    await asked(berth, chat)  # of what has just ended something may still be on its way
    await begun(estate, chat)
    await asked(berth, chat)
    assert [job.restricted for job in berth.harbour.agents.of(berth.worker)] == [True, True, False]


async def test_the_answer_is_given_kept_and_told(berth: Berth) -> None:
    estate, chat = berth.estate, await chat_of(berth.estate, berth.lead.id)
    answer = await asked(berth, chat)
    said = f"Done by {berth.worker.name}"
    assert (answer["status"], answer["response"]) == ("COMPLETED", said)
    row = await ended(estate, answer["id"])
    assert (row["status"], row["response"], row["error_message"]) == ("COMPLETED", said, None)
    assert row["duration_ms"] == answer["duration_ms"] >= 0
    assert (row["from_agent_id"], row["to_agent_id"], row["chat_id"]) == (berth.lead.id, berth.worker.id, chat.id)
    assert row["finished_at"] is not None
    (job,) = berth.harbour.agents.of(berth.worker)
    assert (job.prompt, job.chat_id) == ("What is the plan?", None)
    run = await estate.owner.fetchrow("SELECT * FROM runs WHERE id = $1", answer["id"])
    assert (run["trigger_type"], run["status"], run["agent_id"]) == ("PEER_QUERY", "COMPLETED", berth.worker.id)
    ends = {"id": answer["id"], "from": berth.lead.slug, "target": berth.worker.slug}
    assert [
        (one["channel"].partition(":")[0], one["type"], one["payload"]) for one in await told_of(estate, answer["id"])
    ] == [
        ("session", "peer_query_running", ends),
        ("session", "peer_query_completed", ends | {"response": said}),
        ("workspace", "peer_conversation.updated", ends | {"status": "COMPLETED"}),
    ]
    audit = await estate.owner.fetchrow("SELECT * FROM audit_logs WHERE entity_id = $1", answer["id"])
    assert (audit["action"], audit["entity_type"]) == ("peer_conversation.created", "PEER_CONVERSATION")


async def test_a_failure_is_told_as_one(berth: Berth) -> None:
    async def fails(job: Job, sink: Sink) -> Outcome:
        raise Failed("no luck")

    berth.harbour.agents.acts[berth.worker.id] = fails
    chat = await chat_of(berth.estate, berth.lead.id)
    answer = await asked(berth, chat)
    assert (answer["status"], answer["response"], answer["error_message"]) == ("FAILED", None, "no luck")
    row = await berth.estate.owner.fetchrow("SELECT * FROM peer_conversations WHERE chat_id = $1", chat.id)
    assert (row["status"], row["response"], row["error_message"]) == ("FAILED", None, "no luck")
    types = [one["type"] for one in await told_of(berth.estate, row["id"])]
    assert types == ["peer_query_running", "peer_query_failed", "peer_conversation.updated"]


@pytest.mark.slow
async def test_nobody_waits_for_ever_and_what_is_given_up_ends(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    ends, begun = list[str](), asyncio.Event()

    async def hangs(job: Job, sink: Sink) -> Outcome:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ends.append(job.run_id)
        return Outcome()

    monkeypatch.setattr(asking, "PATIENCE", 0.5)
    berth.harbour.agents.acts[berth.worker.id] = hangs
    chat = await chat_of(berth.estate, berth.lead.id)
    answer = await asked(berth, chat)
    assert (answer["status"], answer["error_message"], begun.is_set()) == ("FAILED", asking.TOO_LATE, True)
    id = await berth.estate.owner.fetchval("SELECT id FROM peer_conversations WHERE chat_id = $1", chat.id)
    row = await ended(berth.estate, id)
    assert (row["status"], row["response"]) == ("FAILED", None)
    assert await berth.estate.owner.fetchval("SELECT status FROM runs WHERE id = $1", id) == "CANCELLED"
    assert ends == [id]


async def test_an_answer_is_kept_although_who_waited_is_gone(berth: Berth) -> None:
    go, begun = asyncio.Event(), asyncio.Event()

    async def waits(job: Job, sink: Sink) -> Outcome:
        begun.set()
        await go.wait()
        await says(sink, "At last")
        return Outcome()

    berth.harbour.agents.acts[berth.worker.id] = waits
    chat = await chat_of(berth.estate, berth.lead.id)
    waiting = asyncio.create_task(asked(berth, chat))
    await begun.wait()
    waiting.cancel()  # as the process that held the request
    await asyncio.gather(waiting, return_exceptions=True)
    go.set()
    id = await berth.estate.owner.fetchval("SELECT id FROM peer_conversations WHERE chat_id = $1", chat.id)
    row = await ended(berth.estate, id)
    assert (row["status"], row["response"]) == ("COMPLETED", "At last")
    assert "peer_query_completed" in [one["type"] for one in await told_of(berth.estate, id)]


async def test_an_agent_is_asked_so_much_at_once(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def waits(job: Job, sink: Sink) -> Outcome:
        await go.wait()
        await says(sink, "Yes")
        return Outcome()

    monkeypatch.setattr(asking, "MOST_OF_AGENT", 2)
    berth.harbour.agents.acts[berth.worker.id] = waits
    chat = await chat_of(berth.estate, berth.lead.id)
    both = [asyncio.create_task(asked(berth, chat)) for _ in range(2)]
    open_ = "SELECT count(*) FROM peer_conversations WHERE chat_id = $1 AND status = 'RUNNING'"
    async with asyncio.timeout(30):
        while await berth.estate.owner.fetchval(open_, chat.id) < 2:
            await asyncio.sleep(0.02)
    with pytest.raises(Refusal) as refused:
        await asked(berth, chat)
    assert (refused.value.code, refused.value.detail) == (Code.CONFLICT, asking.BUSY)
    go.set()
    assert [answer["response"] for answer in await asyncio.gather(*both)] == ["Yes", "Yes"]
