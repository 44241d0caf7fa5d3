"""Talking with agents on /ws (contract: websocket.messages, chat_stream, buffers). Who answers is the test."""

import asyncio
from typing import Any

import pytest

from models.staff.agents import AgentStatus
from models.staff.chats import ChatVisibility
from resolvers.kernel.declarations.events import address_of
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import unavailable
from resolvers.live import hub
from rest_compat.ws import socket
from tests.every import each_of
from tests.live.conversations import (
    DONE,
    calls,
    end_run,
    live_run,
    new_chat,
    resume,
    send,
    shown,
    text,
    write_frames,
)
from tests.live.sockets import client_of
from tests.world import World

pytestmark = pytest.mark.anyio


# ---- send_message ---------------------------------------------------------------------------------------------------


async def test_the_sender_gets_the_run_without_subscribing_and_nothing_after_it(world: World) -> None:
    chat = await new_chat(world, last_seq=10)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client, client_of(world, world.viewer) as stranger:
        await send(client, chat.id)
        await client.until(lambda: len(client.on(name)) == 2)
        run = await live_run(world, chat)
        assert (run["triggered_by"], run["prompt"], run["max_turns"]) == (world.viewer.user_id, "hello", None)
        await write_frames(world, chat, text("a"), run=run)
        await write_frames(world, chat, text("b"), text("done"), run=run)
        await end_run(world, chat, run)
        await client.until(lambda: len(client.on(name)) == 6)
        await write_frames(world, chat, text("of somebody else"))
        await client.settle()
        assert shown(client, name) == [
            ("run_begin", 11, 10), ("user_message", 12, "hello"), ("text", 13, "a"), ("text", 14, "b"),
            ("text", 15, "done"), ("done", 16, ""),
        ]  # fmt: skip
        assert client.on(name)[1]["payload"]["metadata"] == {"author_user_id": world.viewer.user_id}
        assert address_of(name, world.workspace.id) not in hub.channels
        await stranger.settle()
        assert stranger.on(name) == []


async def test_a_subscribed_sender_gets_each_frame_once_and_stays(world: World) -> None:
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client, client_of(world, world.owner) as other:
        for listener in (client, other):
            await listener.subscribe(name)
            await listener.settle()
        await send(client, chat.id)
        await client.until(lambda: len(client.on(name)) == 2)
        run = await live_run(world, chat)
        await write_frames(world, chat, text("a"), run=run)
        await end_run(world, chat, run)
        await write_frames(world, chat, text("later"))
        for listener in (client, other):
            await listener.until(lambda listener=listener: len(listener.on(name)) == 5)
            await listener.settle()
            assert listener.numbers(name) == [1, 2, 3, 4, 5]


@pytest.mark.slow
async def test_who_subscribes_while_its_message_is_answered_gets_each_frame_once_and_stays(world: World) -> None:
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client:
        await send(client, chat.id)
        await client.subscribe(name)
        await client.until(lambda: len(client.on(name)) == 2)
        run = await live_run(world, chat)
        await client.subscribe(name)
        await write_frames(world, chat, text("a"), run=run)
        await end_run(world, chat, run)
        await write_frames(world, chat, text("later"))
        await client.until(lambda: len(client.on(name)) >= 5)
        await client.settle()
        assert client.numbers(name) == [1, 2, 3, 4, 5]
        await client.say("unsubscribe", channel=name)
        await client.settle()
        assert address_of(name, world.workspace.id) not in hub.channels


@pytest.mark.slow
async def test_who_subscribes_behind_the_own_message_misses_none_of_its_frames(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await new_chat(world)
    name, real = f"session:{chat.id}", socket.send_message
    stored, answered = asyncio.Event(), asyncio.Event()

    async def slow(*given: Any) -> Any:
        answer = await real(*given)
        stored.set()
        await answered.wait()
        return answer

    monkeypatch.setattr(socket, "send_message", slow)
    async with client_of(world, world.viewer) as client:
        await send(client, chat.id)
        async with asyncio.timeout(30):
            await stored.wait()
        await client.subscribe(name)
        await asyncio.sleep(0.3)  # in which the subscription would be opened
        answered.set()
        await client.until(lambda: len(client.on(name)) == 2)
        await client.settle()
        assert client.numbers(name) == [1, 2]


@pytest.mark.slow
@each_of(("given", "stored"), [(0, None), (-5, None), (7, 7), (200, 200), (201, 200), (2**63 - 1, 200)])
async def test_turns_are_cut_to_what_is_allowed(world: World, given: int, stored: int | None) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        payload = f'{{"session_id":"{chat.id}","content":"x","max_turns":{given}}}'
        await client.connection.send(f'{{"type":"send_message","channel":"agent:{chat.agent_id}","payload":{payload}}}')
        await client.until(lambda: len(client.of("chat_event")) == 1)
        assert (await live_run(world, chat))["max_turns"] == stored


@pytest.mark.slow
async def test_the_payload_may_be_a_string(world: World) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        await client.say(
            "send_message", payload=f'{{"session_id":"{chat.id}","content":"as the web interface sends it"}}'
        )
        await client.until(lambda: len(client.of("chat_event")) == 1)
        await client.say("cancel_message", payload=f'{{"session_id":"{chat.id}"}}')
        await client.until(lambda: len(client.of("chat_event")) == 2)
        assert [frame["payload"]["type"] for frame in client.of("chat_event")] == ["user_message", "done"]


@pytest.mark.slow
@each_of(
    ("payload", "channel"),
    [
        (None, None), ([], None), (7, None), ("no JSON", None), ("[]", None), ({}, None), ({"content": "x"}, None),
        ({"session_id": 7, "content": "x"}, None),
        ({"session_id": "", "content": "x"}, None), ({"session_id": "{chat}"}, "{chat}"),
        ({"session_id": "{chat}", "content": ""}, "{chat}"),
        ({"session_id": "{chat}", "content": 7}, "{chat}"), ({"session_id": "{chat}", "content": None}, "{chat}"),
        ({"session_id": "{chat}", "content": "x", "max_turns": "7"}, "{chat}"),
        ({"session_id": "{chat}", "content": "x", "max_turns": 1.5}, "{chat}"),
        ({"session_id": "{chat}", "content": "x\0"}, "{chat}"), ({"session_id": "{chat}x", "content": "x"}, "{chat}x"),
        ({"session_id": "{foreign}", "content": "x"}, "{foreign}"), ({"session_id": "\0", "content": "x"}, "\0"),
    ],
)  # fmt: skip
async def test_a_message_that_cannot_be_sent_is_refused_to_the_sender_alone(
    world: World, payload: Any, channel: str | None
) -> None:
    chat, foreign = await new_chat(world), await new_chat(world, workspace=world.other)

    def filled(value: Any) -> Any:
        return value.replace("{chat}", chat.id).replace("{foreign}", foreign.id) if isinstance(value, str) else value

    given = {name: filled(value) for name, value in payload.items()} if isinstance(payload, dict) else filled(payload)
    before = await world.snapshot()
    async with client_of(world, world.viewer) as client, client_of(world, world.owner) as other:
        await other.subscribe(f"session:{chat.id}")
        await other.settle()
        await client.say("send_message", payload=given)
        error = await client.hears("error")
        assert error.get("channel") == (None if channel is None else f"session:{filled(channel)}")
        assert error["payload"]["error"] == error["payload"]["message"] != ""
        await client.settle()
        await other.settle()
        assert [frame["type"] for frame in client.heard if frame["type"] != "pong"] == ["error"]
        assert {frame["type"] for frame in other.heard} == {"pong"}
    assert await world.snapshot() == before


@pytest.mark.slow
async def test_one_message_at_a_time_is_answered_in_a_chat(world: World) -> None:
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client, client_of(world, world.owner) as other:
        await send(client, chat.id, "first")
        await send(client, chat.id, "second")
        assert (await client.hears("error"))["channel"] == name
        await client.until(lambda: len(client.on(name)) == 3)
        await send(other, chat.id, "third")
        await other.hears("chat_event")
        await other.settle()
        assert other.on(name) == [
            {"type": "chat_event", "channel": name,
                "payload": {"type": "agent_busy", "content": other.on(name)[0]["payload"]["content"],
             "metadata": {"chat_id": chat.id}}},
        ]  # fmt: skip
        await client.settle()
        assert sorted(frame["type"] for frame in client.on(name)) == ["chat_event", "error", "run_begin"]
        await end_run(world, chat, await live_run(world, chat))
        await client.until(lambda: client.numbers(name) == [1, 2, 3])
        await send(client, chat.id, "fourth")
        await client.until(lambda: client.numbers(name) == [1, 2, 3, 4, 5])


async def test_an_agent_that_waits_for_approval_answers_as_a_run_that_failed(world: World) -> None:
    chat = await new_chat(world, status=AgentStatus.PENDING_REVIEW)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client:
        await send(client, chat.id)
        await client.until(lambda: len(client.on(name)) == 3)
        first, second, third = client.on(name)
        assert [frame["type"] for frame in (first, second, third)] == ["chat_event"] * 3
        assert first["payload"]["metadata"] == {"reason": "pending_review", "agent_id": chat.agent_id}
        assert [frame["payload"]["type"] for frame in (first, second, third)] == ["error", "error", "done"]
        assert not any("seq" in frame for frame in (first, second, third))


@pytest.mark.slow
async def test_words_among_users_end_at_once(world: World) -> None:
    chat = await new_chat(world, visibility=ChatVisibility.group)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client:
        await send(client, chat.id, "among ourselves")
        await client.until(lambda: len(client.on(name)) == 3)
        assert shown(client, name) == [("run_begin", 1, 0), ("user_message", 2, "among ourselves"), ("done", 3, "")]
        assert client.on(name)[-1]["payload"]["metadata"] == {"no_reply": True}
        await client.settle()
        assert address_of(name, world.workspace.id) not in hub.channels


@pytest.mark.slow
async def test_messages_of_one_chat_keep_their_order_and_those_of_others_do_not_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = (
        await new_chat(world, visibility=ChatVisibility.group),
        await new_chat(world, visibility=ChatVisibility.group),
    )
    sending = socket.send_message
    gate = asyncio.Event()

    async def gated(caller: Any, raw: Any) -> Any:
        if raw["chat_id"] == slow.id and raw["content"] == "0":
            await gate.wait()
        return await sending(caller, raw)

    monkeypatch.setattr(socket, "send_message", gated)
    async with client_of(world, world.viewer) as client:
        for n in range(3):
            await send(client, slow.id, str(n))
        await send(client, quick.id, "quick")
        await client.until(lambda: len(client.on(f"session:{quick.id}")) == 3)
        await client.settle()
        assert client.on(f"session:{slow.id}") == []
        gate.set()
        await client.until(lambda: len(client.on(f"session:{slow.id}")) == 9)
        said = [content for type, _, content in shown(client, f"session:{slow.id}") if type == "user_message"]
        assert said == ["0", "1", "2"]


@pytest.mark.slow
async def test_a_bounded_number_of_messages_is_under_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = [await new_chat(world, visibility=ChatVisibility.group) for _ in range(socket.AT_ONCE + 2)]
    sending, gate = socket.send_message, asyncio.Event()
    under_way = most = 0

    async def gated(caller: Any, raw: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await gate.wait()
        under_way -= 1
        return await sending(caller, raw)

    monkeypatch.setattr(socket, "send_message", gated)
    async with client_of(world, world.viewer) as client:
        for chat in chats:
            await send(client, chat.id)
        await client.say("ping")
        await client.until(lambda: under_way == socket.AT_ONCE)
        await asyncio.sleep(0.1)
        assert client.heard == []
        gate.set()
        await client.until(lambda: len(client.of("chat_event")) == 2 * len(chats))
        assert most == socket.AT_ONCE == 8
        assert client.of("pong")


async def test_what_was_sent_before_the_socket_closed_is_carried_out(world: World) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        await send(client, chat.id)
        await client.connection.close()
    async with asyncio.timeout(30):
        while (
            await world.database.fetchval(
                "SELECT count(*) FROM runs WHERE chat_id = $1 AND status = 'RUNNING'", chat.id
            )
            == 0
        ):
            await asyncio.sleep(0.01)
        while f"session:{chat.workspace_id}/{chat.id}" in hub.channels:
            await asyncio.sleep(0.01)


async def test_a_failure_of_ours_is_told_without_a_word_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(caller: Any, raw: Any) -> Any:
        raise ValueError("a secret")

    chat = await new_chat(world)
    monkeypatch.setattr(socket, "send_message", broken)
    async with client_of(world, world.viewer) as client:
        await send(client, chat.id)
        error = await client.hears("error", channel=f"session:{chat.id}")
        assert error["payload"]["error"] == "Internal error"
        await client.settle()


# ---- cancel_message -------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_sender_calls_its_run_off_and_nobody_else_does(world: World) -> None:
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    async with (
        client_of(world, world.viewer) as client,
        client_of(world, world.owner) as other,
        client_of(world, world.outsider) as outsider,
    ):
        await send(client, chat.id)
        await client.until(lambda: len(client.on(name)) == 2)
        before = calls("chats.cancel")
        for somebody in (other, outsider):
            await somebody.say("cancel_message", payload={"session_id": chat.id})
            await somebody.settle()
        await client.until(lambda: calls("chats.cancel") == before + 2)
        assert (await live_run(world, chat))["cancel_requested_at"] is None
        await client.say("cancel_message", payload={"session_id": chat.id})
        await client.until(lambda: client.numbers(name) == [1, 2, 3])
        assert shown(client, name)[-1] == ("done", 3, "")
        await client.say("cancel_message", payload={"session_id": chat.id})
        await client.say("cancel_message", payload={"session_id": "no such chat"})
        await client.until(lambda: calls("chats.cancel") == before + 5)
        await client.settle()
        assert await world.database.fetchval("SELECT status FROM runs WHERE chat_id = $1", chat.id) == "CANCELLED"
        assert [somebody.heard for somebody in (other, outsider)] == [[{"type": "pong", "payload": None}]] * 2
        assert client.of("error") == []
        await client.say("cancel_message", payload={})
        await client.hears("error")


async def test_a_send_and_its_cancel_keep_their_order(world: World) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        for _ in range(5):
            await send(client, chat.id)
            await client.say("cancel_message", payload={"session_id": chat.id})
        await client.until(lambda: len(client.numbers(f"session:{chat.id}")) == 15)
        assert client.numbers(f"session:{chat.id}") == list(range(1, 16))
        assert client.of("error") == []


# ---- at any time -----------------------------------------------------------------------------------------------------


async def test_a_database_that_is_away_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(caller: Any, raw: Any) -> Any:
        raise unavailable()

    chat = await new_chat(world)
    for name in ("send_message", "cancel_message", "resume_chat"):
        monkeypatch.setattr(socket, name, away)
    async with client_of(world, world.viewer) as client:
        await send(client, chat.id)
        await client.say("cancel_message", payload={"session_id": chat.id})
        await resume(client, chat.id)
        await client.until(lambda: len(client.of("error")) == 3)
        assert {frame["channel"] for frame in client.of("error")} == {f"session:{chat.id}"}


@pytest.mark.slow
async def test_a_right_that_ends_ends_what_a_sender_follows(world: World) -> None:
    leaver = await world.person("following", None)
    chat = await new_chat(world)
    await world.database.execute(
        "INSERT INTO memberships (id, workspace_id, user_id, role, created_at, updated_at)"
        " VALUES ($1, $2, $3, 'MEMBER', now(), now())",
        f"c{'f' * 24}", world.workspace.id, leaver.user_id,
    )  # fmt: skip
    async with client_of(world, leaver) as client:
        await send(client, chat.id)
        await client.until(lambda: len(client.on(f"session:{chat.id}")) == 2)
        await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
        bus.ring(Topic.access, leaver.user_id)
        await client.hears("error", channel=f"session:{chat.id}")
        await write_frames(world, chat, DONE)
        await client.settle()
        assert len(client.on(f"session:{chat.id}")) == 3
