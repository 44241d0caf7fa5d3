"""Frames of chats: their listeners may go back in them, and hear of an agent's whatever chats it is at work in."""

import asyncio

import asyncpg
import pytest

from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import RunFrame
from resolvers.errors import Code, Refusal
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import database
from resolvers.live import LiveConnection, hub
from resolvers.live.hub import READERS
from resolvers.live.subscription import HELD, HELD_BYTES
from tests.live.outlets import Memory, plain, until
from tests.world import World

pytestmark = pytest.mark.anyio


async def listening(world: World, memory: Memory) -> LiveConnection:
    caller = world.owner.caller
    caller.user_id = world.owner.user_id
    return LiveConnection(caller, memory, memory)


async def chats(world: World, slug: str, *starts: int) -> tuple[Agent, list[Chat]]:
    """An agent's chats, the newest frame of each being the given number."""
    agent = Agent(workspace_id=world.workspace.id, name="Hand", slug=slug)
    made = [Chat(workspace_id=world.workspace.id, agent_id=agent.id, last_seq=start) for start in starts]
    await world.add(agent, *made)
    return agent, made


async def write(world: World, chat: Chat, *numbers: int, padding: str = "") -> None:
    async with world.database.transaction():
        await world.database.execute("UPDATE chats SET last_seq = $2 WHERE id = $1", chat.id, numbers[-1])
        for number in numbers:
            payload = {"type": "text", "content": str(number), "metadata": {"padding": padding}}
            await world.add(
                RunFrame(
                    workspace_id=world.workspace.id, chat_id=chat.id, seq=number, type="chat_event", payload=payload
                )
            )
    bus.ring(Topic.frames, f"{chat.workspace_id}/{chat.id}")


async def test_a_listener_goes_back_in_a_chat_while_it_is_live_and_while_it_is_behind(world: World) -> None:
    _, (chat,) = await chats(world, "back", 0)
    memory = Memory()
    line = await listening(world, memory)
    subscription = await line.subscribe(f"session:{chat.id}", plain)
    await write(world, chat, *range(1, 301))
    await until(lambda: len(memory.written) == 300)
    subscription.rewind(297)
    subscription.rewind(299)  # never forward
    await write(world, chat, 301)
    await until(lambda: memory.written[-1] == b"301")
    assert memory.written[300:] == [b"298", b"299", b"300", b"301"]
    subscription.rewind(50)
    await until(lambda: b"100" in memory.written[304:])
    subscription.rewind(10)
    await write(world, chat, 302)
    await until(lambda: memory.written[-1] == b"302")
    await write(world, chat, 303)
    await until(lambda: memory.written[-1] == b"303")
    line.close()
    again = [int(n) for n in memory.written[304:]]
    second = again.index(11)
    assert again[:second] == list(range(51, 51 + second))
    assert again[second:] == list(range(11, 304))
    assert memory.losses == []


async def test_an_agents_listener_hears_of_all_its_chats(world: World) -> None:
    agent, (far, near) = await chats(world, "two", 500, 0)
    memory = Memory()
    line = await listening(world, memory)
    await line.subscribe(f"agent:{agent.id}", plain)
    others = [await line.subscribe(f"session:{chat.id}", lambda *_: None) for chat in (far, near)]
    await write(world, far, 501, 502)
    await until(lambda: len(memory.written) == 2)
    await write(world, near, 1, 2)
    await until(lambda: len(memory.written) == 4)
    await write(world, far, 503)
    await until(lambda: len(memory.written) == 5)
    assert memory.written == [b"501", b"502", b"1", b"2", b"503"]
    assert [other.position.frame for other in others] == [503, 2]
    line.close()


async def test_an_agents_listener_loses_nothing_while_a_right_is_asked_for(world: World) -> None:
    agent, (chat,) = await chats(world, "doubted", 0)
    memory = Memory()
    line = await listening(world, memory)
    follower = await line.subscribe(f"agent:{agent.id}", plain)
    await line.subscribe(f"session:{chat.id}", lambda *_: None)
    for _ in range(READERS):
        await hub.reading.acquire()
    follower.doubt()
    await write(world, chat, 1, 2)
    await until(lambda: len(follower._held or []) == 2)
    assert memory.written == []
    for _ in range(READERS):
        hub.reading.release()
    await until(lambda: len(memory.written) == 2)
    await write(world, chat, 3)
    await until(lambda: len(memory.written) == 3)
    assert (memory.written, memory.losses) == ([b"1", b"2", b"3"], [])
    line.close()


@pytest.mark.parametrize(
    ("large", "small", "held"),
    [(2, 1, 3), (2, HELD - 2, HELD), (2, HELD - 1, HELD), (3, 1, 2)],
    ids=["both bounds kept", "as many as may", "one too many", "too large together, and a small one behind"],
)
async def test_what_waits_for_a_right_is_bounded_by_number_and_bytes(
    world: World, large: int, small: int, held: int
) -> None:
    agent, (chat,) = await chats(world, f"bounded-{large}-{small}", 0)
    memory = Memory()
    line = await listening(world, memory)
    follower = await line.subscribe(f"agent:{agent.id}", plain)
    await line.subscribe(f"session:{chat.id}", lambda *_: None)
    for _ in range(READERS):
        await hub.reading.acquire()
    follower.doubt()
    last = large + small
    await write(world, chat, *range(1, large + 1), padding="x" * (HELD_BYTES * 2 // 5))
    await write(world, chat, *range(large + 1, last + 1))
    await until(lambda: hub.tail.watched[chat.workspace_id, chat.id].frame == last)
    assert (len(follower._held or []), memory.written, memory.losses) == (held, [], [])
    for _ in range(READERS):
        hub.reading.release()
    await until(lambda: len(memory.written) == held)
    await write(world, chat, last + 1)
    await until(lambda: len(memory.written) == held + 1)
    line.close()
    assert memory.written == [str(n).encode() for n in (*range(1, held + 1), last + 1)]
    assert memory.losses == ([] if held == last else ["too_slow"])


async def test_what_an_agents_slow_listener_cannot_read_again_is_told(world: World) -> None:
    agent, (chat,) = await chats(world, "slow", 0)
    memory = Memory(room=2)
    line = await listening(world, memory)
    follower = await line.subscribe(f"agent:{agent.id}", plain)
    await line.subscribe(f"session:{chat.id}", lambda *_: None)
    # else frames are held until its right was asked for, and come whatever room there is
    await until(lambda: follower._behind is None)
    await write(world, chat, 1, 2, 3, 4)
    await until(lambda: hub.tail.watched[chat.workspace_id, chat.id].frame == 4)
    assert (memory.written, memory.losses) == ([b"1", b"2"], [])
    memory.read()
    await until(lambda: memory.losses)
    await write(world, chat, 5)
    await until(lambda: len(memory.written) == 3)
    assert (memory.written[-1], memory.losses) == (b"5", ["too_slow"])
    memory.read()
    await line.subscribe(f"agent:{agent.id}", plain, after=follower.cursor)
    assert memory.losses == ["too_slow", "not_kept"]
    line.close()


@pytest.mark.slow
async def test_after_the_database_was_restored_a_chat_is_followed_from_where_it_stands_then(world: World) -> None:
    _, (chat,) = await chats(world, "restored", 7)
    memory = Memory()
    line = await listening(world, memory)
    await line.subscribe(f"session:{chat.id}", plain)
    await write(world, chat, 8)
    await until(lambda: memory.written)
    await world.database.execute("DELETE FROM run_frames WHERE chat_id = $1", chat.id)
    await world.database.execute("UPDATE chats SET last_seq = 3 WHERE id = $1", chat.id)
    hub.tail.epoch = "of another database"
    hub.tail._conn.terminate()
    await until(lambda: memory.losses)
    await write(world, chat, 4)
    await until(lambda: len(memory.written) == 2)
    line.close()
    assert (memory.written, memory.losses) == ([b"8", b"4"], ["restored"])
    await asyncio.sleep(0)
    assert hub.tail.watched == {}


@pytest.mark.slow
async def test_a_listener_that_is_behind_survives_the_loss_of_any_connection(world: World) -> None:
    _, (chat,) = await chats(world, "lost", 0)
    memory = Memory()
    line = await listening(world, memory)
    subscription = await line.subscribe(f"session:{chat.id}", plain)
    await write(world, chat, *range(1, 1501))
    await until(lambda: len(memory.written) == 1500)
    for _ in range(5):
        subscription.rewind(0)
        for _ in range(3):
            await asyncio.sleep(0.002)
            async with database.lease() as conn:
                sql = (
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND usename = current_user AND pid <> $1"
                )
                await conn.fetch(sql, conn.get_server_pid())
    await until(lambda: memory.written[-1] == b"1500" and subscription._behind is None)
    await write(world, chat, 1501)
    await until(lambda: memory.written[-1] == b"1501")
    line.close()
    last = len(memory.written) - 1 - memory.written[::-1].index(b"1")
    assert memory.written[last:] == [str(n).encode() for n in range(1, 1502)]
    assert (memory.losses, memory.refusals) == ([], [])


async def test_a_database_that_goes_while_somebody_subscribes_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (chat,) = await chats(world, "gone", 0)

    async def away(*_: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError

    line = await listening(world, Memory())
    monkeypatch.setattr(hub.tail, "_standing", away)
    with pytest.raises(Refusal) as refused:
        await line.subscribe(f"session:{chat.id}", plain)
    assert refused.value.code is Code.UNAVAILABLE
    assert line.subscriptions == {}
    line.close()
