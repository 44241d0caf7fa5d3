"""What a subscription gets: everything once and in order, whatever happens on the way."""

import asyncio
import itertools
import random
from datetime import UTC, datetime

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import RunFrame
from resolvers.errors import Code, Refusal
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.declarations.events import address_of
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import LiveConnection, hub, tail
from resolvers.live.delivered import Position, read_cursor, write_cursor
from tests.conftest import Database
from tests.every import each_of
from tests.live.outlets import OF, Memory, plain, until
from tests.partitions import part_off
from tests.world import Person, World

pytestmark = pytest.mark.anyio
INSERT = (
    "INSERT INTO events (workspace_id, channel, type, payload)"
    f" VALUES ({OF}, $1, 'test.happened', jsonb_build_object('n', $2::int))"
)


async def connection(world: World, person: Person, memory: Memory) -> LiveConnection:
    caller = person.caller
    caller.user_id = person.user_id
    return LiveConnection(caller, memory, memory)


def own(world: World) -> str:
    return f"workspace:{world.workspace.id}"


async def emit(world: World, *numbers: int, channel: str | None = None) -> None:
    for number in numbers:
        await world.database.execute(INSERT, address_of(channel or own(world), world.workspace.id), number)
    bus.ring(Topic.events)


@pytest.mark.slow
async def test_a_transaction_of_another_database_holds_up_no_event(world: World, empty_database: Database) -> None:
    """A second at most, however long it runs; one of this database holds them up until it ends."""
    memory = Memory()
    line = await connection(world, world.viewer, memory)
    await line.subscribe(own(world), plain)
    foreign = await asyncpg.connect(empty_database.owner_url)
    try:
        async with foreign.transaction():
            await foreign.fetchval("SELECT pg_current_xact_id()")
            await emit(world, 1, 2)
            await until(lambda: memory.written == [b"1", b"2"])
            async with world.database.transaction():
                await world.database.fetchval("SELECT pg_current_xact_id()")
                await world.rest(world.owner, "POST", "/api/v1/crews", {"name": "waits", "slug": "waits"})
                await asyncio.sleep(1.2)
                assert memory.written == [b"1", b"2"]
            await until(lambda: len(memory.written) == 3)
    finally:
        await foreign.close()
        line.close()


async def test_events_arrive_in_the_order_of_their_commits(world: World) -> None:
    memory = Memory()
    line = await connection(world, world.viewer, memory)
    await line.subscribe(own(world), plain)
    await emit(world, 1, 2, 3)
    await until(lambda: len(memory.written) == 3)
    line.close()
    await emit(world, 4)
    await asyncio.sleep(0.05)
    assert memory.written == [b"1", b"2", b"3"]
    assert own(world) not in hub.channels


async def test_more_than_one_batch_is_read_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "BATCH", 3)
    memory = Memory()
    line = await connection(world, world.viewer, memory)
    await line.subscribe(own(world), plain)
    reader = hub.tail._conn
    async with world.database.transaction():
        await emit(world, *range(8))
    bus.ring(Topic.events)
    await until(lambda: len(memory.written) == 8)
    line.close()
    assert hub.tail._conn is reader, "it was lost on the way"


async def test_nothing_of_another_channel_arrives(world: World) -> None:
    memory = Memory()
    line = await connection(world, world.owner, memory)
    await line.subscribe(own(world), plain)
    await emit(world, 1, channel=f"workspace:{world.other.id}")
    await emit(world, 2)
    await until(lambda: memory.written)
    line.close()
    assert memory.written == [b"2"]


async def test_an_event_is_not_overtaken_by_a_later_one_that_commits_first(world: World) -> None:
    memory = Memory()
    line = await connection(world, world.owner, memory)
    await line.subscribe(own(world), plain)
    slow = await asyncpg.connect(world.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    try:
        await slow.execute("SET crewship.workspaces = '*'")
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(INSERT, own(world), 1)
        await emit(world, 2)
        await asyncio.sleep(0.1)
        assert memory.written == []  # 2 waits for whoever has a smaller number
        await transaction.commit()
        bus.ring(Topic.events)
        await until(lambda: len(memory.written) == 2)
    finally:
        line.close()
        await slow.close()
    assert memory.written == [b"1", b"2"]


@pytest.mark.slow
async def test_a_lost_ring_delays_and_loses_nothing(world: World) -> None:
    memory = Memory()
    line = await connection(world, world.owner, memory)
    await line.subscribe(own(world), plain)
    await world.database.execute(INSERT, own(world), 1)
    await until(lambda: memory.written, 2)
    line.close()


async def test_a_slow_reader_gets_everything_later_and_holds_nobody_up(world: World) -> None:
    slow, quick = Memory(room=20), Memory()
    lines = [await connection(world, world.owner, slow), await connection(world, world.admin, quick)]
    for line in lines:
        await line.subscribe(own(world), plain)
    await emit(world, *range(500))
    await until(lambda: len(quick.written) == 500, 30)
    assert len(slow.written) == 20

    async def read() -> None:
        while True:
            slow.read()
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    await emit(world, 500)
    await until(lambda: len(slow.written) == 501, 30)
    await emit(world, 501)
    await until(lambda: len(slow.written) == 502)
    reader.cancel()
    for line in lines:
        line.close()
    assert slow.written == quick.written == [str(n).encode() for n in range(502)]


@pytest.mark.slow
async def test_a_cursor_goes_on_where_it_was_in_spite_of_writers(world: World) -> None:
    numbers, stop, got = itertools.count(), asyncio.Event(), list[bytes]()

    async def write() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(writer())

    async def writer() -> None:
        conn = await asyncpg.connect(world.settings.database_url.get_secret_value())  # type: ignore[union-attr]
        await conn.execute("SET crewship.workspaces = '*'")
        while not stop.is_set():
            async with conn.transaction():
                await conn.execute(INSERT, own(world), next(numbers))
                await asyncio.sleep(random.random() / 200)
            bus.ring(Topic.events)
        await conn.close()

    writing, cursor = asyncio.create_task(write()), None
    for _ in range(25):
        memory = Memory()
        line = await connection(world, world.owner, memory)
        subscription = await line.subscribe(own(world), plain, after=cursor)
        await asyncio.sleep(random.random() / 20)
        line.close()
        cursor = subscription.cursor
        got += memory.written
        await asyncio.sleep(random.random() / 50)
    stop.set()
    await writing
    memory = Memory()
    line = await connection(world, world.owner, memory)
    await line.subscribe(own(world), plain, after=cursor)
    total = next(numbers)
    first = int(got[0])
    await until(lambda: len(set(got) | set(memory.written)) >= total - first - 4)
    await asyncio.sleep(0.1)
    line.close()
    got += memory.written
    rows = await world.database.fetch(
        "SELECT (payload->>'n')::int FROM events WHERE channel = $1 AND type = 'test.happened' ORDER BY xid, seq",
        own(world),
    )
    written = [str(row[0]).encode() for row in rows]
    assert got == written[-len(got) :]
    assert memory.losses == []


@pytest.mark.slow
async def test_the_reader_survives_the_loss_of_its_connection(world: World) -> None:
    memory = Memory()
    line = await connection(world, world.owner, memory)
    await line.subscribe(own(world), plain)
    await emit(world, 1)
    await until(lambda: memory.written)
    hub.tail._conn.terminate()
    await emit(world, 2, 3)
    await until(lambda: len(memory.written) == 3)
    line.close()
    assert memory.written == [b"1", b"2", b"3"]
    assert memory.losses == []


@each_of("cursor", ["", "nonsense", "Zm9v", write_cursor("0badc0de", Position(1, 1)), "x" * 5000, "é"])
async def test_a_cursor_that_leads_nowhere_is_told_and_live_events_follow(world: World, cursor: str) -> None:
    memory = Memory()
    line = await connection(world, world.owner, memory)
    await line.subscribe(own(world), plain, after=cursor)
    await emit(world, 7)
    await until(lambda: memory.written)
    line.close()
    assert memory.losses == ["unknown_cursor"]
    assert memory.written == [b"7"]


async def test_a_cursor_of_events_that_were_removed_is_told(world: World) -> None:
    memory = Memory()
    line = await connection(world, world.owner, memory)
    cursor = hub.cursor((await line.subscribe(own(world), plain)).position)
    await emit(world, 1)
    await until(lambda: memory.written)
    await part_off(
        world.database, "events", "19990101", datetime(1999, 1, 1, tzinfo=UTC), datetime(1999, 1, 8, tzinfo=UTC)
    )
    await world.database.execute("UPDATE events SET created_at = '1999-01-02' WHERE channel = $1", own(world))
    await sweeper.sweep(across_workspaces)
    await line.subscribe(own(world), plain, after=cursor)
    await until(lambda: memory.losses)
    await world.database.execute("DELETE FROM instance_facts WHERE name = 'events_swept'")
    line.close()
    assert memory.losses == ["too_old"]


async def test_a_replay_starts_no_earlier_than_the_membership(world: World) -> None:
    memory = Memory()
    line = await connection(world, world.owner, memory)
    subscription = await line.subscribe(own(world), plain)
    cursor = subscription.cursor
    await emit(world, 1)
    await until(lambda: memory.written)
    newcomer = await world.person("newcomer", None)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=newcomer.user_id, role=Role.MEMBER))
    await emit(world, 2)
    seen = Memory()
    other = await connection(world, newcomer, seen)
    await other.subscribe(own(world), plain, after=cursor)
    await until(lambda: seen.written)
    line.close()
    other.close()
    assert seen.written == [b"2"]


async def test_who_may_not_listen_is_refused(world: World) -> None:
    cases = [
        (world.outsider, own(world), Code.FORBIDDEN),
        (world.nobody, own(world), Code.FORBIDDEN),
        (world.owner, f"workspace:{world.other.id}", Code.FORBIDDEN),
        (world.owner, "crew:cnosuchcrewnosuchcrewno", Code.NOT_FOUND),
        (world.owner, f"user:{world.admin.user_id}", Code.NOT_FOUND),
        (world.owner, "kitchen:1", Code.NOT_FOUND),
        (world.owner, "workspace:", Code.NOT_FOUND),
        (world.owner, f"workspace:{world.workspace.slug}", Code.NOT_FOUND),
        (world.owner, "session:\0", Code.NOT_FOUND),
        (world.owner, "", Code.NOT_FOUND),
    ]
    for person, name, code in cases:
        line = await connection(world, person, Memory())
        with pytest.raises(Refusal) as refused:
            await line.subscribe(name, plain)
        line.close()
        assert refused.value.code is code, name


async def test_a_right_that_ends_ends_the_subscription(world: World) -> None:
    leaver = await world.person("leaver", None)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=leaver.user_id, role=Role.MEMBER))
    memory, stays = Memory(), Memory()
    line, other = await connection(world, leaver, memory), await connection(world, world.owner, stays)
    await line.subscribe(own(world), plain)
    await line.subscribe("providers", plain)
    await other.subscribe(own(world), plain)
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
    bus.ring(Topic.access, leaver.user_id)
    await until(lambda: memory.refusals)
    assert [s.channel.name for s in line.subscriptions] == ["providers"]
    await world.database.execute("UPDATE cli_tokens SET revoked_at = now() WHERE user_id = $1", leaver.user_id)
    bus.ring(Topic.access, leaver.user_id)
    await until(lambda: memory.revocations)
    await emit(world, 9)
    await until(lambda: stays.written)
    line.close()
    other.close()
    assert memory.written == []
    assert stays.refusals == []


async def test_frames_of_a_chat_and_of_its_agent(world: World) -> None:
    agent = Agent(workspace_id=world.workspace.id, name="Hand", slug="hand")
    chat = Chat(workspace_id=world.workspace.id, agent_id=agent.id)
    await world.add(agent, chat)
    chat_memory, agent_memory = Memory(), Memory()
    lines = [await connection(world, world.owner, chat_memory), await connection(world, world.owner, agent_memory)]
    await lines[0].subscribe(f"session:{chat.id}", plain)
    await lines[1].subscribe(f"agent:{agent.id}", plain)

    async def write(*numbers: int) -> None:
        for number in numbers:
            payload = {"type": "text", "content": str(number)}
            async with world.database.transaction():
                await world.database.execute("UPDATE chats SET last_seq = $2 WHERE id = $1", chat.id, number)
                await world.add(
                    RunFrame(
                        workspace_id=world.workspace.id, chat_id=chat.id, seq=number, type="chat_event", payload=payload
                    )
                )
        bus.ring(Topic.frames, f"{chat.workspace_id}/{chat.id}")

    await write(1, 2, 3)
    await until(lambda: len(chat_memory.written) == 3 and len(agent_memory.written) == 3)
    late = Memory()
    line = await connection(world, world.viewer, late)
    subscription = await line.subscribe(f"session:{chat.id}", plain)
    await write(4)
    await until(lambda: late.written)
    early = Memory()
    again = await connection(world, world.viewer, early)
    await again.subscribe(f"session:{chat.id}", plain, after=hub.cursor(subscription.position._replace(frame=1)))
    await until(lambda: len(early.written) == 3)
    await write(5)
    await until(lambda: len(early.written) == 4)
    for open_line in (*lines, line, again):
        open_line.close()
    assert chat_memory.written == [b"1", b"2", b"3", b"4", b"5"]
    assert agent_memory.written == chat_memory.written
    assert late.written == [b"4", b"5"]
    assert early.written == [b"2", b"3", b"4", b"5"]
    assert hub.tail.watched == {}


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1))
def test_a_cursor_says_where_it_was_written(xid: int, seq: int, frame: int) -> None:
    position = Position(xid, seq, frame)
    assert read_cursor(write_cursor("e1", position)) == ("e1", position)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_a_text_that_is_no_cursor_leads_nowhere(text: str) -> None:
    assert read_cursor(text)[1] is None
