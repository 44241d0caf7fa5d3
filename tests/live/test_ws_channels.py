"""Channels on /ws: who may listen, what is heard and missed (contract: websocket.channels, messages, ui_depends)."""

import asyncio
from typing import Any

import orjson
import pytest

from models.base import new_id
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import RunFrame
from models.work.missions import Mission
from resolvers.kernel.declarations.events import address_of
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import database as pool
from resolvers.live import attendance, hub
from resolvers.live.delivered import Position, write_cursor
from rest_compat.ws import frames, subscriptions
from tests.every import each_of
from tests.live.conversations import DONE, new_chat, new_run, text, write_frames
from tests.live.outlets import OF
from tests.live.sockets import Client, client_of
from tests.world import World

pytestmark = pytest.mark.anyio


def own(world: World) -> str:
    return f"workspace:{world.workspace.id}"


async def emit(world: World, channel: str, *payloads: dict[str, Any], type: str = "test.happened") -> None:
    for payload in payloads:
        await world.database.execute(
            f"INSERT INTO events (workspace_id, channel, type, payload) VALUES ({OF}, $1, $2, $3)",
            address_of(channel, world.workspace.id),
            type,
            payload,
        )
    bus.ring(Topic.events)


async def subscribed(client: Client, *channels: str, **more: Any) -> None:
    for channel in channels:
        await client.subscribe(channel, **more)
    await client.settle()


def bare(frame: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in frame.items() if name != "cursor"}


async def test_events_come_with_their_channel_and_a_cursor(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await subscribed(client, own(world))
        await emit(world, own(world), {"n": 1, "text": 'ü"\\\u2028'}, {})
        await emit(world, f"workspace:{world.other.id}", {"n": 0})
        await client.until(lambda: len(client.on(own(world))) == 2)
        first, second = client.on(own(world))
        assert bare(first) == {
            "type": "test.happened",
            "channel": own(world),
            "payload": {"n": 1, "text": 'ü"\\\u2028'},
        }
        assert bare(second) == {"type": "test.happened", "channel": own(world), "payload": {}}
        assert first["cursor"] != second["cursor"]


async def test_every_kind_of_channel_can_be_listened_to(world: World) -> None:
    chat = await new_chat(world)
    crew = Crew(workspace_id=world.workspace.id, name="Crew", slug=new_id())
    mission = Mission(
        workspace_id=world.workspace.id,
        crew_id=crew.id,
        lead_agent_id=chat.agent_id,
        title="Mission",
        trace_id=new_id(),
    )
    await world.add(crew, mission)
    ids = {
        "workspace": world.workspace.id,
        "crew": crew.id,
        "agent": chat.agent_id,
        "session": chat.id,
        "mission": mission.id,
    }
    ids |= {"keeper": world.workspace.id, "files": crew.id, "user": world.viewer.user_id}
    names = [*(f"{kind}:{id}" for kind, id in ids.items()), "providers"]
    async with client_of(world, world.viewer) as client:
        await subscribed(client, *names)
        for name in names:
            await emit(world, name, {"at": name})
        await client.until(lambda: len(client.of("test.happened")) == len(names))
        # in which order is a channel's matter: one whose right is asked for again is behind for so long
        heard = [(frame["channel"], frame["payload"]["at"]) for frame in client.of("test.happened")]
        assert sorted(heard) == sorted((name, name) for name in names)
        assert client.of("error") == []
        cursor = client.of("test.happened")[0]["cursor"]
    async with client_of(world, world.viewer) as client:  # and replayed
        replayed = [name for name in names[1:] if not name.startswith("agent:")]
        for name in replayed:
            await client.subscribe(name, after=cursor)
        await client.until(lambda: len(client.of("test.happened")) == len(replayed))
        assert sorted(frame["channel"] for frame in client.of("test.happened")) == sorted(replayed)
        assert client.of("error", "resync") == []


async def test_whoever_may_not_listen_is_told_on_that_channel(world: World) -> None:
    foreign = Crew(workspace_id=world.other.id, name="Foreign", slug=new_id())
    deleted = Crew(workspace_id=world.workspace.id, name="Deleted", slug=new_id())
    await world.add(foreign, deleted)
    await world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", deleted.id)
    refused = [
        f"workspace:{world.other.id}", f"crew:{foreign.id}", f"files:{foreign.id}", f"crew:{deleted.id}",
        f"user:{world.owner.user_id}",
        f"crew:{new_id()}", "kitchen:1", "workspace", "workspace:", f"workspace:{world.workspace.slug}", "session:\0",
        "x" * 300, ":", "user:\u00fc",
    ]  # fmt: skip
    async with client_of(world, world.viewer) as client:
        await subscribed(client, *refused)
        errors = client.of("error")
        assert [frame["channel"] for frame in errors] == refused
        assert all(frame["payload"]["error"] == frame["payload"]["message"] != "" for frame in errors)
        assert not {own(world), *refused} & hub.channels.keys()


async def test_an_empty_channel_is_ignored(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await client.say("subscribe")
        await client.say("subscribe", channel="")
        await client.say("subscribe", channel=None)
        await client.say("unsubscribe")
        await client.settle()
        assert [frame["type"] for frame in client.heard] == ["pong"]


async def test_subscribing_twice_is_harmless_and_unsubscribing_ends_it(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await subscribed(client, own(world), own(world))
        await emit(world, own(world), {"n": 1})
        await client.hears("test.happened")
        await client.say("unsubscribe", channel=own(world))
        await client.say("unsubscribe", channel=own(world))
        await client.say("unsubscribe", channel="kitchen:1")
        await client.settle()
        assert own(world) not in hub.channels
        await emit(world, own(world), {"n": 2})
        await subscribed(client, own(world))
        await emit(world, own(world), {"n": 3})
        await client.until(lambda: len(client.of("test.happened")) == 2)
        assert [frame["payload"]["n"] for frame in client.of("test.happened")] == [1, 3]


async def test_events_of_providers_come_on_the_bare_name(world: World) -> None:
    async with client_of(world, world.nobody) as client:
        await subscribed(client, "providers:anything", "providers", "providers:else")
        await emit(world, "providers", {"n": 1})
        await client.hears("test.happened", channel="providers")
        await client.say("unsubscribe", channel="providers:any")
        await client.settle()
        assert len(client.of("test.happened")) == 1
        assert "providers" not in hub.channels


async def test_a_new_socket_has_no_subscriptions(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await subscribed(client, own(world))
    async with client_of(world, world.viewer) as client:
        await client.settle()
        await emit(world, own(world), {"n": 1})
        await asyncio.sleep(0.1)
        await client.settle()
        assert {frame["type"] for frame in client.heard} == {"pong"}


async def test_a_cursor_brings_what_was_missed_and_then_what_is_new(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await subscribed(client, own(world))
        await emit(world, own(world), {"n": 1})
        cursor = (await client.hears("test.happened"))["cursor"]
    await emit(world, own(world), *({"n": n} for n in range(2, 502)))
    async with client_of(world, world.viewer) as client:
        await client.subscribe(own(world), after=cursor)
        await emit(world, own(world), {"n": 502})
        await client.until(lambda: len(client.of("test.happened")) == 501)
        assert [frame["payload"]["n"] for frame in client.of("test.happened")] == list(range(2, 503))
        assert len({frame["cursor"] for frame in client.of("test.happened")}) == 501
        middle = client.of("test.happened")[248]["cursor"]
        await client.subscribe(own(world), after=middle)  # over again from there, on the same socket
        await client.until(lambda: len(client.of("test.happened")) == 501 + 252)
        assert [frame["payload"]["n"] for frame in client.of("test.happened")[501:]] == list(range(251, 503))
        assert client.of("error", "resync") == []


@each_of("cursor", ["", "nonsense", write_cursor("0badc0de", Position(1, 1)), "\0", "x" * 9000])
async def test_a_cursor_that_leads_nowhere_is_told_with_one_that_does(world: World, cursor: str) -> None:
    async with client_of(world, world.viewer) as client:
        await client.subscribe(own(world), after=cursor)
        told = await client.hears("resync", channel=own(world))
        assert told["payload"]["reason"] == "unknown_cursor"
        await emit(world, own(world), {"n": 1})
        await client.hears("test.happened")
    async with client_of(world, world.viewer) as client:
        await client.subscribe(own(world), after=told["payload"]["cursor"])
        await client.hears("test.happened")
        assert client.of("resync") == []


async def test_of_a_chat_a_loss_is_also_told_in_the_words_that_the_web_interface_knows(world: World) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        await client.subscribe(f"session:{chat.id}", after="nonsense")
        await client.settle()
        assert [(frame["type"], frame.get("payload")) for frame in client.heard[1:2]] == [("resume_reset", {})]
        assert [frame["type"] for frame in client.heard] == ["resync", "resume_reset", "pong"]


async def test_frames_of_a_chat_are_numbered_and_its_other_events_are_not(world: World) -> None:
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client:
        await subscribed(client, name)
        await write_frames(world, chat, text("a"), text("b"))
        await client.until(lambda: len(client.on(name)) == 2)
        await emit(world, name, {"chat_id": chat.id, "in_flight": False, "content": "c"}, type="steering_queued")
        await client.until(lambda: len(client.on(name)) == 3)
        await emit(world, name, {"type": "error", "content": "d"}, type="chat_event")
        await client.until(lambda: len(client.on(name)) == 4)
        await write_frames(world, chat, DONE)
        await client.until(lambda: len(client.on(name)) == 5)
        heard = client.on(name)
        assert [frame.get("seq") for frame in heard] == [1, 2, None, None, 3]
        assert bare(heard[0]) == {
            "type": "chat_event",
            "channel": name,
            "payload": {"type": "text", "content": "a"},
            "seq": 1,
        }
        assert [frame["type"] for frame in heard] == [
            "chat_event",
            "chat_event",
            "steering_queued",
            "chat_event",
            "chat_event",
        ]
    for number, frame in enumerate(heard, 1):  # every cursor leads to what follows it
        async with client_of(world, world.viewer) as client:
            await client.subscribe(name, after=frame["cursor"])
            await client.settle()
            await client.until(lambda client=client, number=number: len(client.on(name)) >= len(heard) - number)
            assert sorted(map(_told, client.on(name))) == sorted(map(_told, heard[number:]))


def _told(frame: dict[str, Any]) -> bytes:
    return orjson.dumps([frame["type"], frame["payload"], frame.get("seq")])


async def test_an_agents_channel_mirrors_what_it_says_in_all_its_chats(world: World) -> None:
    chat = await new_chat(world)
    other = Chat(workspace_id=world.workspace.id, agent_id=chat.agent_id, last_seq=100)
    await world.add(other)
    runs = [await new_run(world, chat), await new_run(world, other)]
    name = f"agent:{chat.agent_id}"
    async with client_of(world, world.viewer) as client:
        await subscribed(client, name)
        begin = RunFrame(
            workspace_id=world.workspace.id,
            chat_id=other.id,
            seq=101,
            run_id=runs[1]["id"],
            type="run_begin",
            payload={"from_seq": 100},
        )
        await world.add(begin)
        await world.database.execute("UPDATE chats SET last_seq = 101 WHERE id = $1", other.id)
        await write_frames(world, other, text("far"), run=runs[1])
        await client.until(lambda: len(client.on(name)) == 1)
        await write_frames(world, chat, text("near"), DONE, run=runs[0])
        await client.until(lambda: len(client.on(name)) == 3)
        assert client.on(name) == [
            {"type": "chat_event", "channel": name, "payload": payload} for payload in (text("far"), text("near"), DONE)
        ]
        await client.subscribe(name, after=write_cursor(hub.tail.epoch, Position(1, 1)))
        assert (await client.hears("resync", channel=name))["payload"]["reason"] == "not_kept"


async def test_a_deleted_chat_ends_its_subscription_with_the_next_look(world: World) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        await subscribed(client, f"session:{chat.id}", own(world))
        await world.database.execute("DELETE FROM chats WHERE id = $1", chat.id)
        bus.ring(Topic.access, world.viewer.user_id)
        await client.hears("error", channel=f"session:{chat.id}")
        await emit(world, own(world), {"n": 1})
        await client.hears("test.happened")


async def test_channels_of_one_socket_are_bounded(world: World) -> None:
    chat = await new_chat(world)
    chats = [Chat(workspace_id=world.workspace.id, agent_id=chat.agent_id) for _ in range(subscriptions.MOST + 5)]
    await world.add(*chats)
    names = [f"session:{chat.id}" for chat in chats]
    async with client_of(world, world.viewer) as client:
        for _ in range(5):  # a thousand and more messages
            for name in names:
                await client.subscribe(name)
        await client.settle()
        assert len(client.of("error")) == 25
        assert {frame["channel"] for frame in client.of("error")} == set(names[subscriptions.MOST :])
        (connection,) = [c for c in attendance.connections if c.caller.user_id == world.viewer.user_id]
        assert len(connection.subscriptions) == subscriptions.MOST == 200
        message = {"session_id": chats[-1].id, "content": "whose answer could not be shown"}
        await client.say("send_message", payload=message)
        await client.until(lambda: len(client.of("error")) == 26)
        assert await world.database.fetchval("SELECT count(*) FROM runs WHERE chat_id = $1", chats[-1].id) == 0
        await client.say("unsubscribe", channel=names[0])
        await subscribed(client, names[-1])
        await client.say("send_message", payload=message)
        await client.hears("chat_event", channel=names[-1])
        assert len(client.of("error")) == 26


async def test_an_event_is_encoded_once_for_all_its_listeners(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    framed = frames._framed

    def counting(event: Any, *given: Any) -> bytes:
        nonlocal made
        made += event.type == "test.happened"
        return framed(event, *given)

    monkeypatch.setattr(frames, "_framed", counting)
    async with (
        client_of(world, world.viewer) as one,
        client_of(world, world.owner) as other,
        client_of(world, world.admin) as third,
    ):
        for client in (one, other, third):
            await subscribed(client, own(world))
        await emit(world, own(world), {"n": 1}, {"n": 2})
        for client in (one, other, third):
            await client.until(lambda client=client: len(client.of("test.happened")) == 2)
        assert one.of("test.happened") == other.of("test.happened") == third.of("test.happened")
        assert made == 2


async def test_the_web_interface_can_read_every_frame(world: World) -> None:
    """Type and channel are strings, a payload an object or string, but for ping and pong (contract: ui_depends)."""
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        await subscribed(client, own(world), f"session:{chat.id}", "kitchen:1")
        await client.subscribe(own(world), after="nonsense")
        await client.connection.send("{")
        await client.settle()  # to ask anew is to listen from now on
        await write_frames(world, chat, text("a"))
        await emit(world, own(world), {"n": 1})
        await client.until(lambda: client.of("chat_event") and client.of("test.happened"))
        for frame in client.heard:
            assert isinstance(frame["type"], str)
            assert isinstance(frame.get("channel", ""), str)
            assert frame["type"] == "pong" or isinstance(frame["payload"], dict)


@pytest.mark.slow
async def test_listeners_outlive_the_loss_of_the_readers_connection(world: World) -> None:
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    async with client_of(world, world.viewer) as client, pool.lease() as conn:
        await subscribed(client, own(world), name)
        for n in range(5):
            assert await conn.fetchval("SELECT pg_terminate_backend($1)", hub.tail._conn.get_server_pid())
            await emit(world, own(world), {"n": n})
            await write_frames(world, chat, text(str(n)))
            await client.until(lambda n=n: len(client.of("test.happened")) == len(client.on(name)) == n + 1)
        assert [frame["payload"]["n"] for frame in client.of("test.happened")] == list(range(5))
        assert client.numbers(name) == list(range(1, 6))
        assert client.of("error", "resync") == []
