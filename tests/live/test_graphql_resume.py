"""Subscriptions go on: behind a cursor after any cut, through a lost database, in chats, for slow and quick readers."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from models.staff.chats import Chat
from models.staff.runs import RunFrame
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import hub
from tests.live.conversations import DONE, new_chat, text, write_frames
from tests.live.graphql import CREWS, Talk, crews_made, own, socket, streaming, talking
from tests.live.outlets import OF, until
from tests.world import World

pytestmark = pytest.mark.anyio

CREW = f"""
    INSERT INTO events (workspace_id, channel, type, payload)
    VALUES ({OF}, $1, 'crew.created', jsonb_build_object('id', 'c', 'name', $2::int::text, 'slug', 's'))
"""
CHAT = """
    subscription($chat: ID!, $after: String, $seq: Int) {
      chatEvents(chatId: $chat, after: $after, afterSeq: $seq) {
        __typename
        ... on Event { cursor }
        ... on RunBegin { fromSeq seq }
        ... on ChatFrame { type content metadata seq }
        ... on SteeringQueuedEvent { chatId inFlight }
        ... on StreamReset { reason }
      }
    }
"""


async def _some(world: World, how: str, cursor: str | None, enough: int) -> list[dict[str, Any]]:
    """What a client hears from a cursor on, until it is cut off at any point. It is connected before: cut while
    connecting, clients leak sockets.
    """
    variables, heard = {"ws": world.workspace.id, "after": cursor}, list[dict[str, Any]]()

    async def listen(hear: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.001, 0.25)):
                while len(heard) < enough:
                    heard.append((await hear())["workspaceEvents"])

    if how == "ws":
        async with talking(world, world.owner) as talk:
            await talk.subscribe("s", CREWS, **variables)
            await listen(lambda: talk.next("s"))
    else:
        async with streaming(world, world.owner, CREWS, variables, how=how) as stream:
            await listen(stream.next)
    return heard


async def test_whatever_is_cut_and_however_nothing_is_lost_or_doubled(world: World) -> None:
    numbers, stop = itertools.count(), asyncio.Event()

    async def write() -> None:
        conn = await asyncpg.connect(world.settings.database_url.get_secret_value())  # type: ignore[union-attr]
        await conn.execute("SET crewship.workspaces = '*'")
        while not stop.is_set():
            async with conn.transaction():
                await conn.execute(CREW, own(world), next(numbers))
                await asyncio.sleep(random.random() / 300)
            bus.ring(Topic.events)
        await conn.close()

    async with streaming(world, world.owner, CREWS, {"ws": world.workspace.id}) as stream:
        cursor = stream.response.extensions["cursor"]
    writers = [asyncio.create_task(write()) for _ in range(3)]
    heard = list[dict[str, Any]]()
    for number in range(45):
        heard += await _some(world, ("ws", "sse", "multipart")[number % 3], cursor, random.randint(1, 60))
        cursor = heard[-1]["cursor"] if heard else cursor
    stop.set()
    await asyncio.gather(*writers)
    rows = await world.database.fetch(
        "SELECT payload->>'name' FROM events WHERE channel = $1 ORDER BY xid, seq", own(world)
    )
    written = [row[0] for row in rows]
    async with talking(world, world.owner) as talk:
        await talk.subscribe("s", CREWS, ws=world.workspace.id, after=cursor)
        while len(heard) < len(written):
            heard.append((await talk.next("s"))["workspaceEvents"])
        assert await talk.silent()
    assert [item.get("name") for item in heard] == written
    assert len(heard) > 100


@pytest.mark.slow
async def test_subscribers_go_on_when_the_reader_loses_its_connection(world: World) -> None:
    killer = await asyncpg.connect(world.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    async with (
        talking(world, world.owner) as talk,
        streaming(world, world.viewer, CREWS, {"ws": world.workspace.id}) as events,
        streaming(world, world.admin, CREWS, {"ws": world.workspace.id}, how="multipart") as parts,
    ):
        await talk.listen("s", CREWS, ws=world.workspace.id)
        for name in range(0, 9, 3):
            await crews_made(world, name)
            await killer.execute("SELECT pg_terminate_backend($1)", hub.tail._conn.get_server_pid())
            await crews_made(world, name + 1, name + 2)
            for number in range(name, name + 3):
                assert (await talk.next("s"))["workspaceEvents"]["name"] == str(number)
                assert (await events.next())["workspaceEvents"]["name"] == str(number)
                assert (await parts.next())["workspaceEvents"]["name"] == str(number)
    await killer.close()


async def test_two_selections_of_one_event_are_each_their_own(world: World) -> None:
    async with talking(world, world.owner) as talk, talking(world, world.viewer) as other:
        one = "subscription($ws: ID) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { name } } }"
        two = """
            subscription($ws: ID, $no: Boolean!) {
                made: workspaceEvents(workspaceId: $ws) { ...F @skip(if: $no) kind: __typename } }
            fragment F on CrewCreatedEvent { slug }
        """
        await talk.listen("1", one, ws=world.workspace.id)
        await talk.listen("2", two, ws=world.workspace.id, no=False)
        await talk.listen("3", two, ws=world.workspace.id, no=True)
        await other.listen("1", two, ws=world.workspace.id, no=False)
        await crews_made(world, 1)
        heard = {message["id"]: message["payload"] for message in [await talk.hear() for _ in range(3)]}
        whole = {"data": {"made": {"slug": "s-1", "kind": "CrewCreatedEvent"}}}
        assert heard == {
            "1": {"data": {"workspaceEvents": {"name": "1"}}},
            "2": whole,
            "3": {"data": {"made": {"kind": "CrewCreatedEvent"}}},
        }
        assert (await other.hear())["payload"] == whole


@pytest.mark.slow
async def test_a_slow_socket_gets_everything_later_and_holds_nobody_up(world: World) -> None:
    many = 300
    document = "subscription($ws: ID) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { name slug } } }"
    async with talking(world, world.owner) as slow, talking(world, world.admin) as quick:
        await slow.listen("s", document, ws=world.workspace.id)
        await quick.listen("s", document, ws=world.workspace.id)
        slow.socket.transport.pause_reading()
        for number in range(many):
            insert = CREW.replace("'slug', 's'", "'slug', repeat('s', 20000)")
            await world.database.execute(insert, own(world), number)
            bus.ring(Topic.events)
            assert (await quick.next("s"))["workspaceEvents"]["name"] == str(number)
        behind: list[Any] = [s for listeners in hub.channels.values() for s in listeners if s._behind is not None]  # type: ignore[attr-defined]
        assert len(behind) == 1
        slow.socket.transport.resume_reading()
        for number in range(many):
            assert (await slow.next("s"))["workspaceEvents"]["name"] == str(number)
        await until(lambda: behind[0]._behind is None)
        await crews_made(world, "live again")
        assert (await slow.next("s"))["workspaceEvents"]["name"] == "live again"


# ---- chats -----------------------------------------------------------------------------------------------------------


async def begin(world: World, chat: Any, after: int) -> None:
    async with world.database.transaction():
        await world.database.execute("UPDATE chats SET last_seq = $2 WHERE id = $1", chat.id, after + 1)
        await world.add(
            RunFrame(
                workspace_id=chat.workspace_id,
                chat_id=chat.id,
                seq=after + 1,
                type="run_begin",
                payload={"from_seq": after},
            )
        )


async def hear(talk: Talk, number: int) -> list[dict[str, Any]]:
    return [(await talk.next("s"))["chatEvents"] for _ in range(number)]


async def test_a_chat_shows_the_whole_turn_and_goes_on_anywhere_in_it(world: World) -> None:
    chat = await new_chat(world)
    async with talking(world, world.owner) as talk:
        await talk.listen("s", CHAT, chat=chat.id)
        await begin(world, chat, 0)
        await write_frames(
            world,
            chat,
            {"type": "user_message", "content": "Hi", "metadata": {"author_user_id": "u"}},
            text("Hel"),
            text("lo"),
        )
        steering = f"INSERT INTO events (workspace_id, channel, type, payload) VALUES ({OF}, $1, 'steering_queued', $2)"
        await world.database.execute(
            steering,
            f"session:{chat.workspace_id}/{chat.id}",
            {"chat_id": chat.id, "in_flight": True, "content": "And then?"},
        )
        bus.ring(Topic.events)
        turn = await hear(talk, 5)
        await write_frames(world, chat, DONE)
        turn += await hear(talk, 1)
    frames = [item for item in turn if item["__typename"] in ("RunBegin", "ChatFrame")]
    assert [(item["__typename"], item["seq"]) for item in frames] == [
        ("RunBegin", 1),
        *[("ChatFrame", n) for n in range(2, 6)],
    ]
    assert frames[0]["fromSeq"] == 0
    assert [item["content"] for item in frames[1:]] == ["Hi", "Hel", "lo", ""]
    assert frames[1]["metadata"] == {"author_user_id": "u"}
    assert [item["chatId"] for item in turn if item["__typename"] == "SteeringQueuedEvent"] == [chat.id]
    for number, item in enumerate(turn):
        async with talking(world, world.viewer) as talk:
            await talk.subscribe("s", CHAT, chat=chat.id, after=item["cursor"])
            again = await hear(talk, len(turn) - number - 1)
            assert {(i["__typename"], i.get("seq")) for i in again} == {
                (i["__typename"], i.get("seq")) for i in turn[number + 1 :]
            }
            assert await talk.silent(0.05)
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", CHAT, chat=chat.id, seq=2)
        assert [item["seq"] for item in await hear(talk, 3)] == [3, 4, 5]
        assert await talk.silent(0.05)


async def test_an_agents_log_tells_its_chats_apart(world: World) -> None:
    first = await new_chat(world)
    second = Chat(workspace_id=first.workspace_id, agent_id=first.agent_id)
    await world.add(second)
    document = "subscription($agent: ID!) { agentEvents(agentId: $agent) { ... on ChatFrame { content chatId } } }"
    async with talking(world, world.viewer) as talk:
        for chat in (first, second):
            await talk.listen(
                chat.id,
                "subscription($c: ID!) { chatEvents(chatId: $c) { ... on ChatFrame { content chatId } } }",
                c=chat.id,
            )
        await talk.listen("s", document, agent=first.agent_id)
        for chat, content in ((first, "a"), (second, "b"), (first, "c")):
            await write_frames(world, chat, text(content))
            heard = [message["payload"]["data"] for message in [await talk.hear(), await talk.hear()]]
            shown = {"content": content, "chatId": chat.id}
            assert sorted(heard, key=str) == [{"agentEvents": shown}, {"chatEvents": shown}]


async def test_an_agents_log_begins_with_the_run_and_has_no_places(world: World) -> None:
    chat = await new_chat(world)
    document = """
        subscription($agent: ID!, $after: String) {
          agentEvents(agentId: $agent, after: $after) {
            __typename ... on RunBegin { fromSeq seq chatId } ... on ChatFrame { content seq chatId }
            ... on StreamReset { reason }
          }
        }
    """
    async with socket(world) as talk:
        await talk.begin(authorization=f"Bearer {world.viewer.token}")
        await talk.listen("s", document, agent=chat.agent_id)
        await talk.listen("c", CHAT, chat=chat.id)
        await begin(world, chat, 0)
        await write_frames(world, chat, text("Hello"))
        heard = [
            message["payload"]["data"]["agentEvents"]
            for message in [await talk.hear() for _ in range(4)]
            if message["id"] == "s"
        ]
        assert heard == [
            {"__typename": "RunBegin", "fromSeq": 0, "seq": 1, "chatId": chat.id},
            {"__typename": "ChatFrame", "content": "Hello", "seq": None, "chatId": chat.id},
        ]
        await talk.subscribe("again", document, agent=chat.agent_id, after=hub.cursor(hub.tail.position))
        assert await talk.next("again") == {"agentEvents": {"__typename": "StreamReset", "reason": "not_kept"}}
