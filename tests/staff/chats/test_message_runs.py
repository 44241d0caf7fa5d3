"""Messages and the runs that they start, or that wrote them."""

import importlib
from datetime import timedelta
from typing import Any

import pytest

from models.staff.chats import ChatVisibility, MessageRole
from models.staff.runs import RunStatus
from tests.process.players import playing, text
from tests.staff.chats.rooms import agent_of, chat_of, crew_of, run_of, said, send
from tests.world import World, now

pytestmark = pytest.mark.anyio
MIGRATION = importlib.import_module("models.migrations.versions.2026_12_01_14_message_run")
READ = """query($id: ID!) { chat(id: $id) { messages { nodes { id role content runId
    run { id status message { id content } } } } } }"""
BRANCH = """mutation($c: ID!, $m: ID!) { branchChat(input: {chatId: $c, messageId: $m}) {
    id messages { nodes { content runId run { chatId message { id } } } } } }"""


async def read(world: World, chat_id: str) -> list[dict[str, Any]]:
    answer = await world.graphql(world.viewer, READ, {"id": chat_id})
    return list(answer["data"]["chat"]["messages"]["nodes"])


async def test_a_message_and_its_answer_have_one_run(world: World) -> None:
    chat = await chat_of(world)
    async with playing(world) as player:
        player.play("Rain?", text("Rain"))
        sent = await send(world, world.viewer, chat.id, "Rain?")
        while await world.database.fetchval("SELECT status FROM runs WHERE id = $1", sent["runId"]) == "RUNNING":
            pass
    asked, answered = await read(world, chat.id)
    message = {"id": sent["messageId"], "content": "Rain?"}
    assert asked["run"] == answered["run"] == {"id": sent["runId"], "status": "COMPLETED", "message": message}
    assert asked["runId"] == sent["runId"]
    branch = (await world.graphql(world.viewer, BRANCH, {"c": chat.id, "m": answered["id"]}))["data"]["branchChat"]
    first = {"chatId": chat.id, "message": {"id": sent["messageId"]}}
    assert [(one["runId"], one["run"]) for one in branch["messages"]["nodes"]] == [(sent["runId"], first)] * 2


async def test_a_message_that_asks_no_agent_has_no_run(world: World) -> None:
    chat = await chat_of(world, visibility=ChatVisibility.group)
    sent = await send(world, world.viewer, chat.id, "Good morning")
    assert sent["runId"] is None
    [message] = await read(world, chat.id)
    assert (message["runId"], message["run"]) == (None, None)


async def test_messages_that_were_stored_before_get_their_runs(world: World) -> None:
    """By the place of each in its chat; what agents passed on to each other was no message of a user."""
    crew = await crew_of(world)
    agent, other = await agent_of(world, crew_id=crew.id), await agent_of(world, crew_id=crew.id)
    chat = await chat_of(world, agent)
    began = now() - timedelta(hours=1)
    done: dict[str, Any] = {"status": RunStatus.COMPLETED}
    user, minute = {"role": MessageRole.user}, timedelta(minutes=1)
    ours = {"agent_id": agent.id}

    async def at(seq: int, content: str, **values: Any) -> None:
        await said(world, chat, content, seq=seq, created_at=began + seq * minute, **values)

    first = await run_of(world, chat, message_seq=1, created_at=began + minute, **done)
    passed = await run_of(
        world, chat, message_seq=3, created_at=began + 2.5 * minute,
        data={"group_turns": {"number": 2, "next": []}}, status=RunStatus.FAILED,
    )  # fmt: skip
    await world.database.execute("UPDATE runs SET agent_id = $2 WHERE id = $1", passed.id, other.id)
    failed = await run_of(world, chat, message_seq=4, created_at=began + 4 * minute, status=RunStatus.FAILED)
    last = await run_of(
        world, chat, message_seq=5, created_at=began + 5 * minute, data={"group_turns": {"number": 1, "next": []}},
        **done,
    )  # fmt: skip
    await at(1, "asks", **user)
    await at(2, "answers", **ours)
    await at(3, "to nobody", **user)
    await at(4, "asks in vain", **user)
    await at(5, "asks again", **user)
    await at(6, "answers again", **ours)
    for statement in (MIGRATION.OF_USERS, MIGRATION.OF_AGENTS):
        await world.database.execute(statement)
    stored = await world.database.fetch("SELECT run_id FROM messages WHERE chat_id = $1 ORDER BY seq", chat.id)
    assert [one["run_id"] for one in stored] == [first.id, first.id, None, failed.id, last.id, last.id]
