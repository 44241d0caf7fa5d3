"""Cancelling and repeating one run by its id: who may, what is written, and what is refused."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.staff.runs import NEVER, RunStatus
from tests.staff.runs.logbook import agent_of, chat_of, events, position, row, run_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
CANCEL = "mutation($ws: ID!, $i: ByIdInput!) { cancelRun(workspaceId: $ws, input: $i) { id state errorMessage } }"
RETRY = """mutation($ws: ID!, $i: RetryRunInput!) { retryRun(workspaceId: $ws, input: $i) {
    id state triggerType retryOf original { id } chatId triggeredBy maxTurns
} }"""


async def act(world: World, person: Person, document: str, **given: Any) -> tuple[Any, str | None]:
    """The row, or the code of the refusal."""
    answer = await world.graphql(person, document, {"i": given})
    (row,) = (answer.get("data") or {"": None}).values()
    return row, answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


async def test_a_run_without_a_worker_ends_at_once_and_once(world: World) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    for run in (
        await run_of(world, agent, RunStatus.RUNNING, chat_id=chat.id, triggered_by=world.viewer.user_id),
        await run_of(world, agent, RunStatus.RUNNING, trigger_type="ASSIGNMENT", triggered_by=world.viewer.user_id),
    ):
        since = await position(world)
        ended = {"id": run.id, "state": "CANCELLED", "errorMessage": "cancelled"}
        assert await act(world, world.viewer, CANCEL, id=run.id) == (ended, None)
        told = [type for _, type, payload in await events(world, since) if payload.get("run_id") == run.id]
        assert told == ["run.failed"]
        since = await position(world)
        assert await act(world, world.viewer, CANCEL, id=run.id) == (ended, None), "again"
        assert [type for _, type, _ in await events(world, since) if type.startswith("run")] == []
        audit = "SELECT count(*) FROM audit_logs WHERE action = 'run.cancelled' AND entity_id = $1"
        assert await world.database.fetchval(audit, run.id) >= 1
        [span] = await world.database.fetch("SELECT * FROM run_spans WHERE run_id = $1", run.id)
        assert (span["kind"], span["status"]) == ("RUN", "CANCELLED")
    frames = await world.database.fetch("SELECT payload FROM run_frames WHERE chat_id = $1", chat.id)
    assert [frame["payload"]["type"] for frame in frames] == ["done"]


async def test_a_worker_is_asked_and_a_waiting_run_is_let_go(world: World) -> None:
    agent = await agent_of(world)
    held = {"started_at": now(), "leased_until": now() + timedelta(hours=1), "worker": "w", "lease": 1}
    parked = {"started_at": now(), "leased_until": NEVER, "waits_for": "a", "waits_since": now()}
    for fields in (held, parked):
        run = await run_of(world, agent, RunStatus.RUNNING, **fields)
        found, refused = await act(world, world.manager, CANCEL, id=run.id)
        assert (found["state"], refused) == ("RUNNING" if fields is held else "WAITING", None)
        stored = await row(world, "runs", run.id)
        assert stored["cancel_requested_at"] is not None
        assert (stored["leased_until"] < now() + timedelta(minutes=1)) == (fields is parked)
        await world.database.execute("UPDATE runs SET status = 'CANCELLED', finished_at = now() WHERE id = $1", run.id)


async def test_who_may_cancel(world: World) -> None:
    agent = await agent_of(world)
    run = await run_of(world, agent, RunStatus.RUNNING, triggered_by=world.member.user_id)
    assert await act(world, world.viewer, CANCEL, id=run.id) == (None, "FORBIDDEN")
    assert (await row(world, "runs", run.id))["status"] == "RUNNING"
    for person in (world.outsider, await world.person(f"nobody-{run.id[-6:]}", None)):
        found, refused = await act(world, person, CANCEL, id=run.id)
        assert (found, refused) in ((None, "NOT_FOUND"), (None, "FORBIDDEN"))
    assert (await row(world, "runs", run.id))["status"] == "RUNNING"
    assert (await act(world, world.manager, CANCEL, id=run.id))[1] is None
    assert await act(world, world.owner, CANCEL, id="unknown") == (None, "NOT_FOUND")


async def test_a_run_of_a_message_is_repeated_in_its_chat(world: World) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    first = await run_of(world, agent, chat_id=chat.id, prompt="Look out", max_turns=7)
    since = await position(world)
    found, refused = await act(world, world.viewer, RETRY, id=first.id)
    assert refused is None
    assert found == found | {
        "state": "QUEUED", "triggerType": "USER", "retryOf": first.id, "original": {"id": first.id}, "chatId": chat.id,
        "triggeredBy": world.viewer.user_id, "maxTurns": 7,
    }  # fmt: skip
    stored = await row(world, "runs", found["id"])
    assert (stored["prompt"], stored["message_seq"], stored["data"]["agent_slug"]) == ("Look out", 1, agent.slug)
    [message] = await world.database.fetch("SELECT * FROM messages WHERE chat_id = $1", chat.id)
    assert (message["content"], message["author_user_id"], message["role"]) == (
        "Look out",
        world.viewer.user_id,
        "user",
    )
    frames = await world.database.fetch("SELECT * FROM run_frames WHERE chat_id = $1 ORDER BY seq", chat.id)
    assert [(frame["seq"], frame["type"], frame["run_id"]) for frame in frames] == [
        (1, "run_begin", found["id"]),
        (2, "chat_event", found["id"]),
    ]
    assert ("run.started", found["id"]) in [(type, each.get("run_id")) for _, type, each in await events(world, since)]
    audit = "SELECT count(*) FROM audit_logs WHERE action = 'run.retried' AND entity_id = $1"
    assert await world.database.fetchval(audit, found["id"]) == 1
    assert await act(world, world.viewer, RETRY, id=first.id) == (None, "CONFLICT"), "the chat has a live run"
    assert await act(world, world.viewer, RETRY, id=found["id"]) == (None, "CONFLICT"), "it has not ended"


async def test_the_input_is_read_by_those_who_read_chats(world: World) -> None:
    run = await run_of(world, await agent_of(world), RunStatus.COMPLETED, prompt="Hoist the sail")
    read = "query($ws: ID!, $id: ID!) { run(id: $id, workspaceId: $ws) { id input { prompt } } }"
    answer = await world.graphql(world.viewer, read, {"id": run.id})
    assert answer["data"]["run"]["input"] == {"prompt": "Hoist the sail"}


async def test_two_at_once_start_one_run(world: World) -> None:
    agent = await agent_of(world)
    first = await run_of(world, agent, chat_id=(await chat_of(world, agent)).id, prompt="Look")
    answers = await asyncio.gather(*[act(world, world.owner, RETRY, id=first.id) for _ in range(4)])
    assert sorted(refused or "" for _, refused in answers) == ["", "CONFLICT", "CONFLICT", "CONFLICT"]
    assert await world.database.fetchval("SELECT count(*) FROM runs WHERE retry_of = $1", first.id) == 1


@pytest.mark.parametrize("trigger", ["WEBHOOK", "SCHEDULED"])
async def test_other_runs_keep_their_trigger_and_their_restrictions(world: World, trigger: str) -> None:
    agent = await agent_of(world)
    of_chat = {"chat_id": (await chat_of(world, agent)).id} if trigger == "WEBHOOK" else {}
    data = {"event": "ping", "secret": "no"}
    first = await run_of(world, agent, trigger_type=trigger, restricted=True, prompt="ping", data=data, **of_chat)
    assert await act(world, world.viewer, RETRY, id=first.id) == (None, "FORBIDDEN")
    found, refused = await act(world, world.manager, RETRY, id=first.id, prompt="pong")
    assert (found["triggerType"], refused) == (trigger, None)
    stored = await row(world, "runs", found["id"])
    assert (stored["restricted"], stored["prompt"], stored["data"]) == (True, "pong", {"event": "ping"})


async def test_what_cannot_be_repeated(world: World) -> None:
    agent = await agent_of(world)
    gone = await run_of(world, agent, chat_id="a chat that was")
    task = await run_of(world, agent, trigger_type="ASSIGNMENT")
    live = await run_of(world, agent, RunStatus.RUNNING)
    for run in (gone, task, live):
        assert await act(world, world.owner, RETRY, id=run.id) == (None, "CONFLICT")
    assert (await act(world, world.owner, RETRY, id=gone.id, prompt=""))[1] == "BAD_REQUEST"
    assert (await act(world, world.outsider, RETRY, id=gone.id))[1] in ("NOT_FOUND", "FORBIDDEN")
    ended = await agent_of(world, deleted_at=now())
    assert await act(world, world.owner, RETRY, id=(await run_of(world, ended)).id) == (None, "CONFLICT")
    repeated = "SELECT count(*) FROM runs WHERE agent_id = $1 AND retry_of IS NOT NULL"
    assert await world.database.fetchval(repeated, agent.id) == 0
