"""What agents give each other to do, by the internal API: the run, what is told of it, and what is refused."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest

from models.staff.chats import Chat
from models.staff.runs import BY_WEBHOOK, Run
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.work.missions import assigning, create_assignment, dispatching
from runtime.runs.job import Failed, Job, Outcome, Sink
from tests.runtime.doubles import says
from tests.runtime.estate import Estate
from tests.work.missions.harbour import Berth, Harbour
from tests.world import now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/internal/assignments"
TOLD = "SELECT channel, type, payload->>'status' AS status FROM events WHERE payload->>'id' = $1 ORDER BY xid, seq"
LINES = "SELECT entry_type FROM journal WHERE row_id = $1 ORDER BY at, kind"


@pytest.fixture
async def berth(harbour: Harbour) -> Berth:
    return await harbour.crew()


async def chat_of(estate: Estate, agent_id: str) -> Chat:
    chat = Chat(agent_id=agent_id, workspace_id=estate.workspace.id)
    await estate.add(chat)
    return chat


async def given(berth: Berth, chat: Chat, **changes: Any) -> str:
    here = berth.estate.workspace.id
    raw = {"workspace_id": here, "crew_id": berth.crew.id, "chat_id": chat.id, "target_slug": berth.worker.slug}
    raw |= {"task": "Write the report"} | changes
    made = orjson.loads((await create_assignment(Caller.service("test", here), raw, place=here)).body or b"")
    assert made["status"] == "PENDING"
    return str(made["assignment_id"])


async def ended(estate: Estate, id: str) -> Any:
    """Once it has ended, and that was told."""
    async with asyncio.timeout(30):
        while True:
            told = await estate.owner.fetch(TOLD, id)
            if any(row["type"] == "assignment.updated" and row["status"] != "RUNNING" for row in told):
                return await estate.owner.fetchrow("SELECT * FROM assignments WHERE id = $1", id)
            await asyncio.sleep(0.02)


async def told_of(estate: Estate, id: str) -> list[tuple[str, str]]:
    found = await estate.owner.fetch(TOLD, id)
    return [(row["channel"].partition(":")[0], row["type"]) for row in found if row["type"].startswith("assignment")]


async def test_the_target_runs_with_the_task_and_its_result_is_told(berth: Berth) -> None:
    estate, chat = berth.estate, await chat_of(berth.estate, berth.lead.id)
    id = await given(berth, chat)
    row = await ended(estate, id)
    assert (row["status"], row["result_summary"]) == ("COMPLETED", f"Done by {berth.worker.name}")
    assert (row["assigned_by_id"], row["assigned_to_id"], row["chat_id"]) == (berth.lead.id, berth.worker.id, chat.id)
    (job,) = berth.harbour.agents.of(berth.worker)
    assert (job.prompt, job.chat_id) == ("Write the report", None)
    run = await estate.owner.fetchrow("SELECT * FROM runs WHERE assignment_id = $1", id)
    assert (run["trigger_type"], run["status"]) == ("ASSIGNMENT", "COMPLETED")
    assert "mission_id" not in run["data"]
    assert sorted(await told_of(estate, id)) == [
        ("session", "assignment_completed"), ("session", "assignment_created"), ("session", "assignment_running"),
        ("workspace", "assignment.updated"), ("workspace", "assignment.updated"),
    ]  # fmt: skip
    kinds = [row["entry_type"] for row in await estate.owner.fetch(LINES, id)]
    assert sorted(kinds) == ["assignment.completed", "assignment.created", "assignment.running"]
    audit = await estate.owner.fetchrow("SELECT * FROM audit_logs WHERE entity_id = $1", id)
    assert (audit["action"], audit["entity_type"]) == ("assignment.created", "ASSIGNMENT")


async def begun(estate: Estate, chat: Chat, **changes: Any) -> Run:
    """A run of the chat's agent that goes on, of which no worker knows."""
    run = Run(agent_id=chat.agent_id, workspace_id=chat.workspace_id, chat_id=chat.id, started_at=now(), **changes)
    run.worker, run.leased_until = "somebody", now() + timedelta(hours=1)
    await estate.add(run)
    return run


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "queued"])
async def test_what_somebody_outside_has_begun_is_restricted_in_other_hands_too(
    berth: Berth, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """Whoever sends to a webhook would else have an agent with a way out by asking for it."""
    estate, go = berth.estate, asyncio.Event()

    async def works(job: Job, sink: Sink) -> Outcome:
        await go.wait()
        return Outcome()

    berth.harbour.agents.acts[berth.worker.id] = works
    ours, theirs = await chat_of(estate, berth.lead.id), await chat_of(estate, berth.lead.id)
    await begun(estate, ours)
    await begun(estate, theirs, trigger_type=BY_WEBHOOK, restricted=True)
    if waits:
        monkeypatch.setattr(dispatching, "MOST_OF_CREW", 1)
    ids = [await given(berth, chat) for chat in (ours, theirs)]
    go.set()
    for id in ids:
        await ended(estate, id)
    told = "SELECT restricted FROM runs WHERE assignment_id = ANY ($1) ORDER BY restricted"
    assert [row["restricted"] for row in await estate.owner.fetch(told, ids)] == [False, True]
    assert sorted(job.restricted for job in berth.harbour.agents.of(berth.worker)) == [False, True]


async def test_a_failure_is_told_as_one(berth: Berth) -> None:
    async def fails(job: Job, sink: Sink) -> Outcome:
        raise Failed("no luck")

    berth.harbour.agents.acts[berth.worker.id] = fails
    id = await given(berth, await chat_of(berth.estate, berth.lead.id))
    row = await ended(berth.estate, id)
    assert (row["status"], row["error_message"], row["result_summary"]) == ("FAILED", "no luck", None)
    assert ("session", "assignment_failed") in await told_of(berth.estate, id)
    assert ("session", "assignment_completed") not in await told_of(berth.estate, id)


async def test_what_a_crew_has_no_room_for_waits(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def waits(job: Job, sink: Sink) -> Outcome:
        await go.wait()
        await says(sink, "At last")
        return Outcome()

    monkeypatch.setattr(dispatching, "MOST_OF_CREW", 1)
    monkeypatch.setattr(assigning, "MOST_WAITING", 1)
    berth.harbour.agents.acts[berth.worker.id] = waits
    chat = await chat_of(berth.estate, berth.lead.id)
    first, second = await given(berth, chat), await given(berth, chat)
    with pytest.raises(Refusal) as refused:
        await given(berth, chat)
    assert refused.value.code is Code.CONFLICT
    state = "SELECT status FROM assignments WHERE id = $1"
    assert await berth.estate.owner.fetchval(state, second) == "QUEUED"
    go.set()
    assert [(await ended(berth.estate, id))["status"] for id in (first, second)] == ["COMPLETED"] * 2
    assert {("session", "assignment_queued"), ("session", "assignment_unqueued")} <= {
        *await told_of(berth.estate, second)
    }
