"""A message becomes a run: what is stored, shown and told, who is refused, and that it is one run at a time."""

import asyncio
import re
from typing import Any

import asyncpg
import pytest

from models.staff.agents import AgentStatus, CliAdapter
from models.staff.chats import ChatVisibility
from models.staff.runs import RunStatus
from resolvers.kernel.store.bus import Topic, bus
from tests.every import each_of
from tests.staff.chats.rooms import (
    agent_of,
    chat_of,
    crew_of,
    elsewhere,
    events,
    frames,
    position,
    refusal,
    row,
    rows,
    run_of,
    send,
)
from tests.world import World, now

pytestmark = pytest.mark.anyio


async def test_a_message_is_stored_and_becomes_a_run(world: World) -> None:
    crew = await crew_of(world)
    agent = await agent_of(world, crew_id=crew.id, slug="stoker", cli_adapter=CliAdapter.CODEX_CLI)
    chat, author = await chat_of(world, agent), world.viewer.user_id
    sent = await send(world, world.viewer, chat.id, "Shovel\n coal", max_turns=7)
    [message] = await rows(world, "SELECT * FROM messages WHERE chat_id = $1", chat.id)
    [run] = await rows(world, "SELECT * FROM runs WHERE chat_id = $1", chat.id)
    assert sent == {"runId": run["id"], "messageId": message["id"], "fromSeq": 0, "seq": 2}
    assert re.fullmatch(r"msg_\d{19}_[0-9a-f]{16}", run["id"])
    assert re.fullmatch(r"msg_\d{19}_[0-9a-f]{16}", message["id"])
    stored = {"role": "user", "content": "Shovel\n coal", "author_user_id": author, "agent_id": agent.id}
    stored |= {"parts": None, "data": None}
    assert {name: message[name] for name in stored} == stored
    begun = {"agent_id": agent.id, "prompt": "Shovel\n coal", "max_turns": 7, "triggered_by": author}
    begun |= {"status": "RUNNING", "trigger_type": "USER", "workspace_id": world.workspace.id}
    begun |= dict.fromkeys(("started_at", "finished_at", "leased_until", "cancel_requested_at", "model"))
    assert {name: run[name] for name in begun} == begun
    assert run["data"] == {
        "cli_adapter": "CODEX_CLI",
        "crew_id": crew.id,
        "crew_slug": crew.slug,
        "agent_slug": "stoker",
        "tags": ["chat", "CODEX_CLI"],
    }


async def test_a_message_is_shown_and_its_run_announced(world: World) -> None:
    agent = await agent_of(world)
    chat, before = await chat_of(world, agent), await position(world)
    sent = await send(world, world.viewer, chat.id, "Shovel\n coal")
    shown = {"content": "Shovel\n coal", "metadata": {"author_user_id": world.viewer.user_id}}
    assert await frames(world, chat.id) == [
        (1, "run_begin", {"from_seq": 0}),
        (2, "chat_event", {"type": "user_message", **shown}),
    ]
    of_runs = await rows(world, "SELECT run_id FROM run_frames WHERE chat_id = $1", chat.id)
    assert {frame["run_id"] for frame in of_runs} == {sent["runId"]}
    after = await row(world, "chats", chat.id)
    assert (after["title"], after["last_seq"], after["message_count"]) == ("Shovel\n coal", 2, 0)
    assert (await row(world, "agents", agent.id))["status"] == "RUNNING"
    channel = f"workspace:{world.workspace.id}"
    running = {"agent_id": agent.id, "agent_name": "Hand", "status": "RUNNING"}
    assert await events(world, before) == [
        (channel, "run.started", {"run_id": sent["runId"], **running}),
        (channel, "agent.status", running),
    ]


async def test_an_agent_without_a_crew(world: World) -> None:
    chat = await chat_of(world)
    await send(world, world.owner, chat.id)
    [run] = await rows(world, "SELECT data FROM runs WHERE chat_id = $1", chat.id)
    assert (run["data"]["crew_id"], run["data"]["crew_slug"]) == (None, None)


@each_of(
    ("content", "title"),
    [
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 57 + "..."),
        ("漢" * 100, "漢" * 57 + "..."),
        (" ", " "),
        ("🎉" * 60, "🎉" * 60),
    ],
)
async def test_the_first_message_names_the_chat(world: World, content: str, title: str) -> None:
    chat = await chat_of(world)
    await send(world, world.owner, chat.id, content)
    assert (await row(world, "chats", chat.id))["title"] == title


async def test_a_title_stays(world: World) -> None:
    chat = await chat_of(world, title="Coal")
    await send(world, world.owner, chat.id, "Something else")
    assert (await row(world, "chats", chat.id))["title"] == "Coal"


@each_of(("given", "stored"), [(None, None), (0, None), (-5, None), (200, 200), (2**31 - 1, 200)])
async def test_turns_are_cut_to_size(world: World, given: int | None, stored: int | None) -> None:
    chat = await chat_of(world)
    await send(world, world.owner, chat.id, max_turns=given)
    [run] = await rows(world, "SELECT max_turns FROM runs WHERE chat_id = $1", chat.id)
    assert run["max_turns"] == stored


async def test_frames_go_on_where_the_chat_is(world: World) -> None:
    chat = await chat_of(world, last_seq=41)
    sent = await send(world, world.owner, chat.id)
    assert (sent["fromSeq"], sent["seq"]) == (41, 43)
    assert [(seq, payload.get("from_seq")) for seq, _, payload in await frames(world, chat.id)] == [
        (42, 41),
        (43, None),
    ]


async def test_whoever_waits_is_woken(world: World) -> None:
    chat, rung = await chat_of(world), list[tuple[str, str]]()
    ends = [
        bus.on(topic, lambda key, topic=topic: rung.append((topic.name, key)))
        for topic in (Topic.frames, Topic.queue, Topic.events)
    ]  # type: ignore[misc]
    try:
        await send(world, world.owner, chat.id)
        assert {("frames", f"{chat.workspace_id}/{chat.id}"), ("queue", ""), ("events", "")} <= set(rung)
        rung.clear()
        await send(world, world.owner, chat.id)  # refused
        assert not [ring for ring in rung if ring[0] != "events"]
    finally:
        for end in ends:
            end()


# ---- who is refused --------------------------------------------------------------------------------------------------


async def refused(world: World, person: Any, chat_id: str, content: str = "Hello") -> dict[str, Any]:
    """A refusal that wrote nothing."""
    before = await world.snapshot()
    extensions = await send(world, person, chat_id, content)
    assert await world.snapshot() == before
    return extensions


async def test_an_agent_that_waits_for_an_approval(world: World) -> None:
    agent = await agent_of(world, status=AgentStatus.PENDING_REVIEW)
    chat = await chat_of(world, agent)
    assert await refused(world, world.owner, chat.id) == {
        "code": "CONFLICT",
        "reason": "pending_review",
        "agent_id": agent.id,
    }


async def test_a_run_of_the_same_user_and_of_another(world: World) -> None:
    chat = await chat_of(world)
    await send(world, world.member, chat.id)
    assert await refused(world, world.member, chat.id) == {"code": "CONFLICT", "reason": "already_running"}
    assert await refused(world, world.owner, chat.id) == {
        "code": "CONFLICT",
        "reason": "agent_busy",
        "chat_id": chat.id,
    }
    found = await refusal("chats.send", world.owner, chat_id=chat.id, content="Hello")
    assert (found.code, found.reason, found.extra) == ("CONFLICT", "agent_busy", {"chat_id": chat.id})


async def test_a_run_that_has_ended_is_in_nobody_s_way(world: World) -> None:
    chat = await chat_of(world)
    for status in RunStatus:
        if status is not RunStatus.RUNNING:
            await run_of(world, chat, status=status, finished_at=now())
    assert "runId" in await send(world, world.owner, chat.id)


async def test_an_agent_that_was_deleted(world: World) -> None:
    chat = await chat_of(world, await agent_of(world, deleted_at=now()))
    assert await refused(world, world.owner, chat.id) == {"code": "CONFLICT", "reason": "agent_deleted"}


async def test_chats_of_others_are_no_chats(world: World) -> None:
    theirs = await elsewhere(world)
    for chat_id in (theirs.id, "nothing", ""):
        assert await refused(world, world.owner, chat_id) == {"code": "NOT_FOUND"}
    ours = await chat_of(world)
    for person in (world.outsider, world.nobody):
        assert (await refused(world, person, ours.id))["code"] == "NOT_FOUND"


async def test_nothing_is_no_message(world: World) -> None:
    chat = await chat_of(world)
    assert (await refused(world, world.owner, chat.id, ""))["code"] == "BAD_REQUEST"


# ---- groups ----------------------------------------------------------------------------------------------------------


async def test_in_a_group_an_agent_that_is_not_mentioned_is_not_asked(world: World) -> None:
    agent = await agent_of(world, slug="bosun")
    chat, before = await chat_of(world, agent, visibility=ChatVisibility.group), await position(world)
    sent = await send(world, world.member, chat.id, "Has anybody asked a@bosun?")
    assert sent["runId"] is None
    assert (sent["fromSeq"], sent["seq"]) == (0, 3)
    assert await frames(world, chat.id) == [
        (1, "run_begin", {"from_seq": 0}),
        (
            2,
            "chat_event",
            {
                "type": "user_message",
                "content": "Has anybody asked a@bosun?",
                "metadata": {"author_user_id": world.member.user_id},
            },
        ),
        (3, "chat_event", {"type": "done", "content": "", "metadata": {"no_reply": True}}),
    ]
    after = await row(world, "chats", chat.id)
    assert (after["message_count"], after["last_seq"], after["title"]) == (1, 3, "Has anybody asked a@bosun?")
    assert [message["id"] for message in await rows(world, "SELECT id FROM messages WHERE chat_id = $1", chat.id)] == [
        sent["messageId"]
    ]
    assert await rows(world, "SELECT id FROM runs WHERE chat_id = $1", chat.id) == []
    assert (await row(world, "agents", agent.id))["status"] == "IDLE"
    assert await events(world, before) == []


async def test_in_a_group_a_mention_asks(world: World) -> None:
    chat = await chat_of(world, await agent_of(world, slug="mate"), visibility=ChatVisibility.group)
    assert (await send(world, world.member, chat.id, "What now, @MATE?"))["runId"]
    assert (await send(world, world.owner, chat.id, "@mate hurry"))["reason"] == "agent_busy"


async def test_in_a_group_users_talk_on_while_the_agent_works(world: World) -> None:
    """No `done` in between: it would end the run for whoever listens."""
    chat = await chat_of(world, await agent_of(world, slug="cook"), visibility=ChatVisibility.group)
    await send(world, world.member, chat.id, "@cook dinner")
    sent = await send(world, world.owner, chat.id, "I am hungry")
    assert (sent["runId"], sent["fromSeq"], sent["seq"]) == (None, 2, 3)
    assert [payload.get("type") for _, _, payload in await frames(world, chat.id)] == [
        None,
        "user_message",
        "user_message",
    ]
    assert (await send(world, world.member, chat.id, "me too"))["reason"] == "already_running"


# ---- one run at a time -----------------------------------------------------------------------------------------------


async def test_of_thirty_messages_at_once_one_becomes_a_run(world: World) -> None:
    chat = await chat_of(world)
    people = [world.owner, world.admin, world.manager, world.member, world.viewer] * 6
    answers = await asyncio.gather(
        *(send(world, person, chat.id, f"Message {number}") for number, person in enumerate(people))
    )
    assert sum("runId" in answer for answer in answers) == 1
    assert {answer["reason"] for answer in answers if "reason" in answer} == {"already_running", "agent_busy"}
    for table in ("runs", "messages"):
        assert len(await rows(world, f"SELECT id FROM {table} WHERE chat_id = $1", chat.id)) == 1
    assert [seq for seq, _, _ in await frames(world, chat.id)] == [1, 2]


async def test_the_database_takes_one_live_run_a_chat(world: World) -> None:
    chat = await chat_of(world)
    await run_of(world, chat)
    await run_of(world, chat, status=RunStatus.COMPLETED)
    with pytest.raises(asyncpg.UniqueViolationError, match="runs_chat_id_running_key"):
        await run_of(world, chat)


async def test_an_agent_answers_in_many_chats_at_once(world: World) -> None:
    """Nobody waits for another in a circle."""
    agent = await agent_of(world)
    chats = [await chat_of(world, agent) for _ in range(20)]
    answers = await asyncio.gather(*(send(world, world.owner, chat.id) for chat in chats))
    assert all("runId" in answer for answer in answers), answers
    assert (await row(world, "agents", agent.id))["status"] == "RUNNING"
