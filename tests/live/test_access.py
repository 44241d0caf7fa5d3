"""Rights that end are asked for before anything later is shown: without a ring, whatever else is under way.

The changes are made as another process makes them whose wake-ups are lost: by statements alone.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import asyncpg
import pytest

from models.base import new_id
from models.people.auth import Session
from models.people.workspaces import Membership, Role
from models.staff.chats import Chat
from resolvers.attention.channels import open_channel
from resolvers.identity.caller import Caller
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import Delivered, LiveConnection, Subscription, attendance, connection, hub
from tests.every import each_of
from tests.live.conversations import new_chat, text, write_frames
from tests.live.graphql import streaming, talking
from tests.live.outlets import OF, Memory, until
from tests.live.sockets import client_of
from tests.people.auth.browsers import signed_in
from tests.world import Person, World, connect_for_all

pytestmark = pytest.mark.anyio
LISTENERS = 500
EVENT = f"""
    INSERT INTO events (workspace_id, channel, type, payload)
    VALUES ({OF}, $1, 'crew.created', jsonb_build_object('id', 'c', 'slug', 's', 'name', $2::int::text))
"""


def numbered(event: Delivered, subscription: Subscription) -> bytes:
    return str(event.values.get("name", event.values.get("content"))).encode()


def own(world: World) -> str:
    return f"workspace:{world.workspace.id}"


async def own_connection(world: World) -> "asyncpg.Connection[asyncpg.Record]":
    assert world.settings.database_url is not None
    return await connect_for_all(world.settings.database_url.get_secret_value())


NUMBERS = itertools.count()
"""Of all tests here: what was still under way when one ended, the next one may hear, and takes for what it is."""


@dataclass
class Writers:
    """Write numbered events and frames without a pause: a number is taken when its statement begins."""

    world: World
    chat: Chat
    numbers: "itertools.count[int]" = NUMBERS

    async def events(self) -> None:
        conn = await own_connection(self.world)
        try:
            while True:
                await conn.execute(EVENT, own(self.world), next(self.numbers))
                bus.ring(Topic.events)
                await asyncio.sleep(0.002)
        finally:
            conn.terminate()

    async def frames(self) -> None:
        conn = await own_connection(self.world)
        try:
            while True:
                await write_frames(replace(self.world, database=conn), self.chat, text(str(next(self.numbers))))
                await asyncio.sleep(0.003)
        finally:
            conn.terminate()


@contextlib.asynccontextmanager
async def writing(world: World) -> AsyncIterator[Writers]:
    writers = Writers(world, await new_chat(world))
    tasks = [asyncio.create_task(work) for work in (writers.events(), writers.events(), writers.frames())]
    try:
        yield writers
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended


@contextlib.asynccontextmanager
async def old_transaction(world: World) -> AsyncIterator[None]:
    """While it is open events wait; frames do not."""
    conn = await own_connection(world)
    try:
        await conn.execute("BEGIN")
        await conn.execute("SELECT pg_current_xact_id()")
        yield
    finally:
        await conn.close()


async def member(world: World, name: str) -> Person:
    made = await world.person(name, None)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=made.user_id, role=Role.VIEWER))
    return made


def caller(person: Person) -> Caller:
    made = person.caller
    made.user_id = person.user_id
    return made


@pytest.mark.slow
async def test_nothing_that_began_later_reaches_who_was_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "EVERY", 0.01)
    bus.ring(Topic.access)  # so that the rounds begin now, and go on without a pause
    people = [await member(world, f"m{LISTENERS}-{n}") for n in range(LISTENERS)]
    outlets, lines, late = [Memory() for _ in people], list[LiveConnection](), dict[str, list[int]]()
    chance = random.Random(LISTENERS)
    async with writing(world) as writers:
        conn = await own_connection(world)
        try:
            for person, outlet in zip(people, outlets, strict=True):
                lines.append(LiveConnection(caller(person), outlet, outlet))
                await lines[-1].subscribe(own(world), numbered, same=numbered)
                await lines[-1].subscribe(f"session:{writers.chat.id}", numbered)
            for n in chance.sample(range(LISTENERS), 16):
                await asyncio.sleep(chance.uniform(0, 0.1))
                async with old_transaction(world) if n % 2 else contextlib.nullcontext():
                    assert (
                        await conn.execute("DELETE FROM memberships WHERE user_id = $1", people[n].user_id)
                        == "DELETE 1"
                    )
                    began_later = next(writers.numbers)
                    await asyncio.sleep(0.05)
                await until(lambda: len(outlets[n].refusals) == 2)  # noqa: B023
                late[people[n].name] = [int(seen) for seen in outlets[n].written if int(seen) > began_later]
            last = next(writers.numbers)
            stays = next(n for n in range(LISTENERS) if people[n].name not in late)
            await until(lambda: any(int(seen) > last for seen in outlets[stays].written))
        finally:
            await conn.close()
            for line in lines:
                line.close()
    assert late == {name: [] for name in late}
    assert len(late) == 16
    seen = [int(number) for number in outlets[stays].written]
    assert len(seen) == len(set(seen))


@pytest.mark.slow
async def test_a_right_that_ends_while_a_subscription_is_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the right and the first event."""
    leaver, stays = await member(world, "opener"), Memory()
    witness = LiveConnection(caller(world.owner), stays, stays)
    await witness.subscribe(own(world), numbered)
    held, go = asyncio.Event(), asyncio.Event()

    async def slow(caller: Caller, name: str) -> object:
        found = await open_channel(caller, name)
        if caller.user_id == leaver.user_id and not held.is_set():
            held.set()
            await go.wait()
        return found

    monkeypatch.setattr(connection, "open_channel", slow)
    memory = Memory()
    line = LiveConnection(caller(leaver), memory, memory)
    opening = asyncio.create_task(line.subscribe(own(world), numbered))
    await held.wait()
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
    await world.database.execute(EVENT, own(world), 1)
    await until(lambda: stays.written)  # the change is behind the reader
    go.set()
    await opening
    await world.database.execute(EVENT, own(world), 2)
    await until(lambda: len(stays.written) == 2 and memory.refusals)
    line.close()
    witness.close()
    assert memory.written == []


@pytest.mark.slow
async def test_a_right_that_ends_while_nobody_reads_the_outbox(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader begins behind the change, and so never comes across it."""
    leaver, memory = await member(world, "first"), Memory()
    await until(lambda: not hub.channels)

    async def late(caller: Caller, name: str) -> object:
        found = await open_channel(caller, name)
        await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
        return found

    monkeypatch.setattr(connection, "open_channel", late)
    await until(lambda: not hub.tail._ready.is_set())
    line = LiveConnection(caller(leaver), memory, memory)
    await line.subscribe(own(world), numbered)
    await world.database.execute(EVENT, own(world), 1)
    await until(lambda: memory.refusals)
    line.close()
    assert memory.written == []


CREWS = "subscription($ws: ID) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { name } } }"


@each_of("how", ["ws", "graphql-transport-ws", "sse", "multipart"])
@each_of("what", ["membership", "token"])
async def test_every_transport_ends_with_the_right(world: World, how: str, what: str) -> None:
    leaver = await member(world, f"{how}-{what}")
    change = (
        "DELETE FROM memberships WHERE user_id = $1"
        if what == "membership"
        else "UPDATE cli_tokens SET revoked_at = now() WHERE user_id = $1"
    )
    heard, ended = list[int](), asyncio.Event()

    async def listen(variables: dict[str, str]) -> None:
        if how == "graphql-transport-ws":
            async with talking(world, leaver) as talk:
                await talk.subscribe("1", CREWS, **variables)
                with contextlib.suppress(Exception):
                    while (message := await talk.hear())["type"] == "next" and message["payload"].get("data"):
                        heard.append(int(message["payload"]["data"]["workspaceEvents"]["name"]))
        elif how == "ws":
            async with client_of(world, leaver) as client:
                await client.subscribe(own(world))
                await client.until(lambda: client.of("error", "session_revoked"))
                heard.extend(int(frame["payload"]["name"]) for frame in client.of("crew.created"))
        else:
            async with streaming(world, leaver, CREWS, variables, how=how) as stream:
                while (said := await stream.hear()).data and said.data.get("data"):
                    heard.append(int(said.data["data"]["workspaceEvents"]["name"]))
        ended.set()

    async with writing(world) as writers:
        listening = asyncio.create_task(listen({"ws": world.workspace.id}))
        await until(lambda: any(c.caller.user_id == leaver.user_id and c.subscriptions for c in attendance.connections))
        await (asyncio.sleep(0.1) if how == "ws" else until(lambda: heard))
        if (how, what) == ("ws", "token"):
            # A ticket is a credential of its own, of the user's: it does not end with the token that asked for it.
            change = "DELETE FROM users WHERE id = $1"
        await world.database.execute(change, leaver.user_id)
        began_later = next(writers.numbers)
        async with asyncio.timeout(30):
            await ended.wait()
        await listening
    assert [n for n in heard if n > began_later] == []
    assert how == "ws" or heard


async def test_a_session_that_is_revoked_by_another_process_ends_the_socket(world: World) -> None:
    browser, user = await signed_in(world)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=user.id, role=Role.VIEWER))
    async with client_of(world, browser) as client, writing(world) as writers:
        await client.subscribe(own(world))
        await client.hears("crew.created")
        await world.database.execute("UPDATE sessions SET revoked_at = now() WHERE user_id = $1", user.id)
        began_later = next(writers.numbers)
        await client.until(lambda: client.closed)
        assert client.closed == 4401
        assert [
            int(frame["payload"]["name"])
            for frame in client.of("crew.created")
            if int(frame["payload"]["name"]) > began_later
        ] == []
        assert len(client.of("session_revoked")) == 1


async def test_every_change_of_access_is_told_in_its_transaction(world: World) -> None:
    """Whoever makes it, and by whatever statement; what changes no access tells nothing."""
    told = (
        "SELECT count(*) FROM events WHERE channel = 'access:' || $1"
        " AND type = 'access.changed' AND workspace_id IS NULL"
    )
    person = await member(world, "changing")
    session = Session(
        id=new_id(),
        user_id=person.user_id,
        expires_at=(await world.database.fetchval("SELECT now() + interval '1 day'")),
    )
    await world.add(session)
    steps = [
        ("UPDATE memberships SET role = 'MEMBER' WHERE user_id = $1", 1),
        ("UPDATE sessions SET last_used_at = now() WHERE user_id = $1", 0),
        ("UPDATE cli_tokens SET last_used_at = now() WHERE user_id = $1", 0),
        ("UPDATE sessions SET revoked_at = now() WHERE user_id = $1", 1),
        ("DELETE FROM sessions WHERE user_id = $1", 0),
        ("UPDATE cli_tokens SET revoked_at = now() WHERE user_id = $1", 1),
        (
            (
                "UPDATE workspaces SET deleted_at = now()"
                " WHERE id IN (SELECT workspace_id FROM memberships WHERE user_id = $1)"
            ),
            1,
        ),
        (
            (
                "UPDATE workspaces SET deleted_at = NULL"
                " WHERE id IN (SELECT workspace_id FROM memberships WHERE user_id = $1)"
            ),
            1,
        ),
        ("DELETE FROM memberships WHERE user_id = $1", 1),
        ("DELETE FROM users WHERE id = $1", 1),
    ]
    for statement, more in steps:
        before = await world.database.fetchval(told, person.user_id)
        await world.database.execute(statement, person.user_id)
        assert await world.database.fetchval(told, person.user_id) == before + more, statement
    async with client_of(world, world.owner) as client:
        await client.subscribe(f"access:{world.owner.user_id}")
        assert (await client.hears("error"))["channel"] == f"access:{world.owner.user_id}"
