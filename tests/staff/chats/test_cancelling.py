"""A run is called off by whoever started it: at once while it waits, by its worker afterwards."""

import asyncio
from datetime import timedelta

import pytest

from resolvers.kernel.store.bus import Topic, bus
from tests.staff.chats.rooms import (
    agent_of,
    cancel,
    chat_of,
    elsewhere,
    events,
    frames,
    position,
    row,
    rows,
    run_of,
    send,
)
from tests.world import World, now

pytestmark = pytest.mark.anyio


async def test_a_run_that_waits_ends_at_once(world: World) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    sent = await send(world, world.member, chat.id)
    before = await position(world)
    assert await cancel(world, world.member, chat.id) == {"cancelled": True}
    run = await row(world, "runs", sent["runId"])
    assert (run["status"], run["error_message"], run["exit_code"], run["started_at"]) == (
        "CANCELLED",
        "cancelled",
        None,
        None,
    )
    assert run["finished_at"] is not None
    assert run["data"]["duration_ms"] == 0
    assert run["data"]["tags"] == ["chat", "CLAUDE_CODE"]
    assert (await frames(world, chat.id))[2:] == [(3, "chat_event", {"type": "done", "content": ""})]
    assert (await row(world, "chats", chat.id))["message_count"] == 1
    assert (await row(world, "agents", agent.id))["status"] == "IDLE"
    assert [(type_, payload["status"]) for _, type_, payload in await events(world, before)] == [
        ("run.failed", "CANCELLED"),
        ("agent.status", "IDLE"),
    ]
    assert await cancel(world, world.member, chat.id) == {"cancelled": False}
    assert "runId" in await send(world, world.member, chat.id)


async def test_a_run_that_a_worker_has_is_asked_to_stop(world: World) -> None:
    chat, rung = await chat_of(world), list[str]()
    sent = await send(world, world.member, chat.id)
    await world.database.execute(
        "UPDATE runs SET started_at = now(), leased_until = $2, lease = 1 WHERE id = $1",
        sent["runId"],
        now() + timedelta(minutes=1),
    )
    before, ends = await position(world), bus.on(Topic.cancel, rung.append)
    try:
        assert await cancel(world, world.member, chat.id) == {"cancelled": True}
    finally:
        ends()
    run = await row(world, "runs", sent["runId"])
    assert (run["status"], run["finished_at"]) == ("RUNNING", None)
    assert run["cancel_requested_at"] is not None
    assert rung == [sent["runId"]]
    assert len(await frames(world, chat.id)) == 2
    assert await events(world, before) == []


async def test_a_run_that_was_given_back_is_not_taken_for_one_that_never_ran(world: World) -> None:
    chat = await chat_of(world)
    run = await run_of(
        world, chat, triggered_by=world.member.user_id, started_at=now(), leased_until=now() - timedelta(minutes=1)
    )
    assert await cancel(world, world.member, chat.id) == {"cancelled": True}
    assert (await row(world, "runs", run.id))["status"] == "RUNNING"


async def test_nobody_else_s_run_is_called_off(world: World) -> None:
    chat = await chat_of(world)
    sent = await send(world, world.member, chat.id)
    before = await world.snapshot()
    for person in (world.owner, world.viewer):
        assert await cancel(world, person, chat.id) == {"cancelled": False}
    assert await world.snapshot() == before
    assert (await row(world, "runs", sent["runId"]))["status"] == "RUNNING"


async def test_where_there_is_nothing_nothing_happens(world: World) -> None:
    chat = await chat_of(world)
    before = await world.snapshot()
    assert await cancel(world, world.owner, chat.id) == {"cancelled": False}
    for chat_id in ((await elsewhere(world)).id, "nothing"):
        assert (await cancel(world, world.owner, chat_id))["code"] == "NOT_FOUND"
    assert (await world.snapshot())["runs"] == before["runs"]


async def test_of_many_cancels_one_ends_the_run(world: World) -> None:
    chat = await chat_of(world)
    await send(world, world.member, chat.id)
    answers = await asyncio.gather(*(cancel(world, world.member, chat.id) for _ in range(10)))
    assert sum(answer["cancelled"] for answer in answers) == 1
    assert [seq for seq, _, _ in await frames(world, chat.id)] == [1, 2, 3]


async def test_messages_and_cancels_at_once_leave_every_run_ended_or_live(world: World) -> None:
    agent = await agent_of(world)
    chats = [await chat_of(world, agent) for _ in range(4)]
    await asyncio.gather(
        *(f(world, world.member, chat.id) for chat in chats for f in (send, cancel, send, cancel, send))
    )
    for chat in chats:
        shown = await frames(world, chat.id)
        assert [seq for seq, _, _ in shown] == list(range(1, len(shown) + 1))
        runs = await rows(world, "SELECT status FROM runs WHERE chat_id = $1", chat.id)
        assert sum(run["status"] == "RUNNING" for run in runs) <= 1
        assert sum(payload.get("type") == "done" for _, _, payload in shown) == sum(
            run["status"] == "CANCELLED" for run in runs
        )
    live = await rows(world, "SELECT 1 FROM runs WHERE agent_id = $1 AND status = 'RUNNING'", agent.id)
    assert (await row(world, "agents", agent.id))["status"] == ("RUNNING" if live else "IDLE")
