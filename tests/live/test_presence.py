"""Who listens to which chat, as all processes see it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.base import new_id
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.store.database import database, unavailable
from resolvers.live.presence import LASTS, Presence
from tests.live.conversations import new_chat
from tests.live.sockets import PATIENCE, client_of
from tests.world import World

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def running(presence: Presence) -> AsyncIterator[Presence]:
    """As in another process."""
    task = asyncio.create_task(presence.run())
    try:
        yield presence
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def seats(world: World, chat_id: str) -> list[tuple[str, bool]]:
    """The users that a chat's rows name, and whether they count."""
    found = await world.database.fetch(
        "SELECT user_id, until > now() FROM chat_presence WHERE chat_id = $1 ORDER BY user_id", chat_id
    )
    return [(row[0], row[1]) for row in found]


async def become(world: World, chat_id: str, expected: list[tuple[str, bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while await seats(world, chat_id) != expected:
            await asyncio.sleep(0.01)


async def expire(world: World) -> None:
    await world.database.execute("UPDATE chat_presence SET until = now() - interval '1 second'")


async def test_a_user_is_there_while_one_of_the_subscriptions_is_open(world: World) -> None:
    chat = await new_chat(world)
    name, there = f"session:{chat.id}", [(world.owner.user_id, True)]
    async with client_of(world, world.owner) as first:
        async with client_of(world, world.owner) as second:
            for client in (first, second):
                await client.subscribe(name)
                await client.settle()
            await become(world, chat.id, there)
        async with client_of(world, world.viewer) as viewer:
            await viewer.subscribe(name)
            await become(world, chat.id, sorted([*there, (world.viewer.user_id, True)]))
            await first.settle()  # the second socket is closed by now, and has taken nobody along
        await become(world, chat.id, there)
        await first.say("unsubscribe", channel=name)
        await become(world, chat.id, [])


async def test_a_refused_subscription_is_nobodys_presence(world: World) -> None:
    chat, open_chat = await new_chat(world, workspace=world.other), await new_chat(world)
    async with client_of(world, world.owner) as client:
        await client.subscribe(f"session:{chat.id}")
        await client.subscribe(f"session:{open_chat.id}")
        await become(world, open_chat.id, [(world.owner.user_id, True)])
        assert await seats(world, chat.id) == []


async def test_the_time_moves_on_while_somebody_listens(world: World) -> None:
    chat_id = new_id()
    async with running(Presence(every=0.05)) as presence:
        presence.enter(("w", chat_id, "u"), 1)
        await become(world, chat_id, [("u", True)])
        lasts = await world.database.fetchval(
            "SELECT extract(epoch FROM until - now())::float FROM chat_presence WHERE chat_id = $1", chat_id
        )
        assert LASTS / 2 < lasts <= LASTS
        await expire(world)
        await become(world, chat_id, [("u", True)])
    assert await seats(world, chat_id) == []


async def test_each_process_has_rows_of_its_own(world: World) -> None:
    chat_id = new_id()
    async with running(Presence()) as one:
        one.enter(("w", chat_id, "u"), 1)
        async with running(Presence()) as other:
            other.enter(("w", chat_id, "u"), 1)
            await become(world, chat_id, [("u", True)] * 2)
        assert await seats(world, chat_id) == [("u", True)]


async def test_many_changes_are_one_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    presence, chat_id = Presence(), new_id()
    leases = _count_leases(monkeypatch)
    for n in range(50):
        presence.enter(("w", chat_id, f"u{n:02}"), 1)
        presence.enter(("w", f"{chat_id} gone", f"u{n:02}"), 1)
        presence.leave(("w", f"{chat_id} gone", f"u{n:02}"), 1)
    presence.leave(("w", chat_id, "u00"), 2)  # who never entered takes nobody along
    await presence.write()
    assert len(leases) == 1
    assert await seats(world, chat_id) == [(f"u{n:02}", True) for n in range(50)]
    assert await seats(world, f"{chat_id} gone") == []


def _count_leases(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    leases: list[None] = []
    lease = database.lease

    def counted() -> Any:
        leases.append(None)
        return lease()

    monkeypatch.setattr(database, "lease", counted)
    return leases


async def test_what_could_not_be_written_is_written_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    presence, chat_id = Presence(), new_id()

    def away() -> Any:
        raise unavailable()

    with monkeypatch.context() as patched:
        patched.setattr(database, "lease", away)
        presence.enter(("w", chat_id, "u"), 1)
        with pytest.raises(Exception, match="cannot be reached"):
            await presence.write()
    assert await seats(world, chat_id) == []
    await presence.write()
    assert await seats(world, chat_id) == [("u", True)]


async def test_what_has_run_out_is_swept_and_nothing_else(world: World) -> None:
    presence, old, new = Presence(), new_id(), new_id()
    presence.enter(("w", old, "u"), 1)
    await presence.write()
    await expire(world)
    presence.enter(("w", new, "u"), 1)
    await presence.write()
    await sweeper.sweep(across_workspaces)
    assert (await seats(world, old), await seats(world, new)) == ([], [("u", True)])


async def test_it_is_not_worth_a_log(world: World) -> None:
    assert await world.database.fetchval("SELECT relpersistence FROM pg_class WHERE relname = 'chat_presence'") == b"u"
