"""Whom an agent's reply is noticed to, and what clears the notice (contract: chats.reply_notices)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from models.base import new_id
from models.bounds import ID, LINE
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatPresence, ChatReadCursor
from resolvers.identity.caller import Caller
from resolvers.kernel.store.database import database
from resolvers.staff.runs.finishing import finish_run
from tests.every import each_of
from tests.live.sockets import PATIENCE, client_of
from tests.staff.chats.rooms import agent_of, chat_of, elsewhere, events, position, row, rows, run_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2024, 5, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def reply(world: World, chat: Chat, content: str = "Rain", status: str = "COMPLETED", **fields: Any) -> None:
    """A run of the chat ends, as its worker ends it."""
    run = await run_of(world, chat, lease=1)
    said = {"content": content, "parts": [{"type": "text", "content": content}]}
    caller = Caller.service("runtime", chat.workspace_id)
    await finish_run(caller, {"id": run.id, "lease": 1, "status": status, "reply": said} | fields)
    assert (await row(world, "runs", run.id))["status"] == status


async def notices(world: World, chat: Chat) -> list[dict[str, Any]]:
    return await rows(world, "SELECT * FROM inbox_items WHERE payload ->> 'chat_id' = $1", chat.id)


async def told(world: World, since: int, chat: Chat) -> list[str]:
    """What became of the notices of a chat, as its workspace heard it."""
    heard = [
        payload
        for channel, type, payload in await events(world, since)
        if (channel, type) == (f"workspace:{chat.workspace_id}", "inbox.updated")
    ]
    assert all(payload.keys() == {"source", "chat"} and payload["chat"] == chat.id for payload in heard)
    return [payload["source"] for payload in heard]


async def mark_read(world: World, person: Person, chat: Chat) -> int:
    return (await world.rest(person, "PUT", f"/api/v1/agents/{chat.agent_id}/chats/{chat.id}/read")).status_code


# ---- notices ---------------------------------------------------------------------------------------------------------


async def test_a_chat_of_the_longest_id_has_its_notice(world: World) -> None:
    chat = await chat_of(
        world, await agent_of(world), id=new_id() + "x" * (ID - 25), created_by=world.member.user_id, title="t" * LINE
    )
    await reply(world, chat)
    [notice] = await notices(world, chat)
    assert notice["id"] == f"ibx_message_chat_reply_{chat.id}_{world.member.user_id}"
    assert len(notice["id"]) > ID


async def test_the_creator_is_told_of_a_reply(world: World) -> None:
    agent = await agent_of(world, name="Ada", avatar_seed="seven", avatar_style="bottts")
    chat = await chat_of(world, agent, id=f"tides & {new_id()}", created_by=world.member.user_id, title="Weather")
    before, began = await position(world), now()
    await reply(world, chat, "It will\n\nrain. " + "So take a coat. " * 20)
    [notice] = await notices(world, chat)
    source_id = f"chat_reply_{chat.id}_{world.member.user_id}"
    assert began <= notice.pop("created_at") <= now()
    assert began <= notice.pop("updated_at") <= now()
    body = notice.pop("body_md")
    assert (len(body), body[:30], body[-1]) == (120, "It will rain. So take a coat. ", "…")
    assert notice == dict.fromkeys(("target_role", "read_at", "read_by_user_id", "resolved_at", "resolved_by_user_id",
        "resolved_action")) | {
        "id": f"ibx_message_{source_id}", "workspace_id": chat.workspace_id, "kind": "message", "source_id": source_id,
        "subject_type": "chat", "subject_id": chat.id,
        "target_user_id": world.member.user_id, "title": "Ada replied in Weather", "state": "unread",
        "priority": "medium", "blocking": False,
        "sender_type": "agent", "sender_id": agent.id, "sender_name": "Ada", "avatar_seed": "seven",
        "avatar_style": "bottts",
        "payload": {
            "chat_id": chat.id, "agent_id": agent.id, "agent_slug": agent.slug, "chat_title": "Weather",
            "chat_url": f"/chat/{agent.slug}?session=tides%20%26%20{chat.id[-25:]}",
        },
    }  # fmt: skip
    assert await told(world, before, chat) == ["chat_reply"]


async def test_a_reply_without_words_in_a_chat_without_a_title(world: World) -> None:
    chat = await chat_of(world, await agent_of(world, name="Ada"))
    await reply(world, chat, "", reply={"content": "", "parts": [{"type": "image", "content": "aGk="}]})
    [notice] = await notices(world, chat)
    assert (notice["title"], notice["body_md"], notice["payload"]["chat_title"]) == ("Ada replied", None, None)


async def test_another_reply_opens_the_same_notice_again(world: World) -> None:
    chat = await chat_of(world)
    await reply(world, chat, "Rain")
    put_away = (
        "state = 'resolved', read_at = now(), read_by_user_id = $1,"
        " resolved_at = now(), resolved_by_user_id = $1, resolved_action = 'archived'"
    )
    [first] = await rows(world,
        f"UPDATE inbox_items SET {put_away} WHERE target_user_id = $1 AND payload ->> 'chat_id' = $2 RETURNING *",
                         world.owner.user_id, chat.id)  # fmt: skip
    before = await position(world)
    await reply(world, chat, "Sun")
    [second] = await notices(world, chat)
    cleared = dict.fromkeys(("read_at", "read_by_user_id", "resolved_at", "resolved_by_user_id", "resolved_action"))
    assert second.pop("updated_at") > first.pop("updated_at")
    assert second == first | cleared | {"state": "unread", "body_md": "Sun"}
    assert await told(world, before, chat) == ["chat_reply"]


@each_of(
    "end",
    [
        {"status": "FAILED", "error_message": "it broke"},
        {"status": "TIMEOUT", "error_message": "it broke"},
        {"status": "FAILED", "reason": "no_output"},
        {"status": "CANCELLED", "error_message": "cancelled"},
        {"status": "CANCELLED", "reason": "server_restart"},
        {"status": "COMPLETED", "reply": None},
    ],
)
async def test_what_is_no_reply_is_not_told(world: World, end: dict[str, Any]) -> None:
    chat, before = await chat_of(world), await position(world)
    await reply(world, chat, **end)
    assert (await notices(world, chat), await told(world, before, chat)) == ([], [])


async def test_a_chat_that_nobody_began(world: World) -> None:
    chat, before = await chat_of(world, created_by=None), await position(world)
    await reply(world, chat)
    assert (await notices(world, chat), await told(world, before, chat)) == ([], [])


async def test_the_agent_may_be_deleted_meanwhile(world: World) -> None:
    chat = await chat_of(world)
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", chat.agent_id)
    await reply(world, chat)
    assert len(await notices(world, chat)) == 1


# ---- who is there ----------------------------------------------------------------------------------------------------


async def presence_of(world: World, chat: Chat, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(await rows(world, "SELECT 1 FROM chat_presence WHERE chat_id = $1", chat.id)) != count:
            await asyncio.sleep(0.01)


async def test_who_listens_is_not_told_until_the_line_is_closed(world: World) -> None:
    chat, before = await chat_of(world), await position(world)
    async with client_of(world, world.owner) as client:
        await client.subscribe(f"session:{chat.id}")
        await presence_of(world, chat, 1)
        await reply(world, chat)
        assert (await notices(world, chat), await told(world, before, chat)) == ([], [])
    await presence_of(world, chat, 0)
    await reply(world, chat)
    assert (len(await notices(world, chat)), await told(world, before, chat)) == (1, ["chat_reply"])


async def test_only_the_listening_of_the_same_user_counts(world: World) -> None:
    chat, other = await chat_of(world), await chat_of(world)
    async with client_of(world, world.viewer) as viewer, client_of(world, world.owner) as owner:
        await viewer.subscribe(f"session:{chat.id}")
        await owner.subscribe(f"session:{other.id}")
        for channel in (f"agent:{chat.agent_id}", f"workspace:{world.workspace.id}"):
            await owner.subscribe(channel)
        await owner.settle()
        await presence_of(world, chat, 1)
        await presence_of(world, other, 1)
        await reply(world, chat)
    assert [notice["target_user_id"] for notice in await notices(world, chat)] == [world.owner.user_id]


@pytest.mark.parametrize(("until", "told_of"), [(MINUTE, 0), (-MINUTE, 1)])
async def test_who_listens_in_another_process(world: World, until: timedelta, told_of: int) -> None:
    """And what a process has left behind in a crash."""
    chat = await chat_of(world)
    await world.add(
        ChatPresence(
            workspace_id=chat.workspace_id,
            chat_id=chat.id,
            user_id=world.owner.user_id,
            process="another",
            until=now() + until,
        )
    )
    await reply(world, chat)
    assert len(await notices(world, chat)) == told_of


@pytest.mark.parametrize(("read", "told_of"), [(1, 0), (0, 1)])
async def test_who_has_read_so_far_is_not_told(world: World, read: int, told_of: int) -> None:
    chat = await chat_of(world)
    await world.add(
        ChatReadCursor(workspace_id=chat.workspace_id, chat_id=chat.id, user_id=world.owner.user_id, last_read_seq=read)
    )
    await world.add(
        ChatReadCursor(workspace_id=chat.workspace_id, chat_id=chat.id, user_id=world.viewer.user_id, last_read_seq=9)
    )
    before = await position(world)
    await reply(world, chat)
    assert (len(await notices(world, chat)), await told(world, before, chat)) == (told_of, ["chat_reply"] * told_of)


@contextlib.asynccontextmanager
async def holding(url: str, chat: Chat, lock: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A transaction that reads or answers in a chat, up to its end."""
    other = await asyncpg.connect(url, server_settings={"crewship.workspaces": "*"})
    try:
        async with other.transaction():
            await other.execute(
                f"SELECT {lock}(hashtextextended($1, 0))", f"reply notices of {chat.workspace_id}/{chat.id}"
            )
            yield other
    finally:
        await other.close()


async def waits(other: "asyncpg.Connection[asyncpg.Record]", task: asyncio.Task[Any]) -> None:
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    async with asyncio.timeout(PATIENCE):
        while not await other.fetch(f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND {here}"):
            assert not task.done()
            await asyncio.sleep(0.01)


async def test_a_reply_waits_for_who_is_reading(world: World, module_database: Any) -> None:
    chat = await chat_of(world)
    mark = "INSERT INTO chat_read_cursors (workspace_id, chat_id, user_id, last_read_seq) VALUES ($1, $2, $3, $4)"
    async with holding(module_database.owner_url, chat, "pg_advisory_xact_lock_shared") as reader:
        replying = asyncio.create_task(reply(world, chat))
        await waits(reader, replying)
        await reader.execute(mark, chat.workspace_id, chat.id, world.owner.user_id, 1)
    await replying
    assert await notices(world, chat) == []


async def test_who_reads_waits_for_a_reply(world: World, module_database: Any) -> None:
    chat = await chat_of(world)
    async with holding(module_database.owner_url, chat, "pg_advisory_xact_lock") as replier:
        reading = asyncio.create_task(mark_read(world, world.owner, chat))
        await waits(replier, reading)
        await replier.execute("UPDATE chats SET last_message_seq = 7 WHERE id = $1", chat.id)
    assert await reading == 200
    [mark] = await rows(world, "SELECT last_read_seq FROM chat_read_cursors WHERE chat_id = $1", chat.id)
    assert mark["last_read_seq"] == 7


# ---- reading ---------------------------------------------------------------------------------------------------------


async def test_reading_the_chat_clears_the_notice_once(world: World) -> None:
    chat = await chat_of(world)
    await reply(world, chat)
    before, began = await position(world), now()
    assert await mark_read(world, world.owner, chat) == 200
    [notice] = await notices(world, chat)
    assert (notice["state"], notice["read_by_user_id"]) == ("read", world.owner.user_id)
    assert began <= notice["read_at"] <= now()
    assert await told(world, before, chat) == ["chat_read"]
    assert await mark_read(world, world.owner, chat) == 200
    assert await notices(world, chat) == [notice]
    assert await told(world, before, chat) == ["chat_read"]


@pytest.mark.parametrize("state", ["read", "resolved"])
async def test_only_an_unread_notice_is_cleared(world: World, state: str) -> None:
    chat = await chat_of(world)
    await reply(world, chat)
    await world.database.execute(
        "UPDATE inbox_items SET state = $2, read_at = $3 WHERE payload ->> 'chat_id' = $1", chat.id, state, LONG_AGO
    )
    before = await position(world)
    assert await mark_read(world, world.owner, chat) == 200
    [notice] = await notices(world, chat)
    assert (notice["state"], notice["read_at"], await told(world, before, chat)) == (state, LONG_AGO, [])


async def test_nobody_elses_notice_is_cleared(world: World) -> None:
    chat, other = await chat_of(world), await chat_of(world)
    await reply(world, chat)
    await reply(world, other)
    before, kept = await position(world), await notices(world, chat)
    assert await mark_read(world, world.admin, chat) == 200
    assert await mark_read(world, world.owner, other) == 200
    assert await mark_read(world, world.outsider, chat) in (403, 404)
    assert kept == await notices(world, chat)
    assert await told(world, before, other) == ["chat_read"]


async def test_one_of_several_who_read_at_once_clears_the_notice(world: World) -> None:
    chat = await chat_of(world)
    await reply(world, chat)
    before = await position(world)
    assert await asyncio.gather(*(mark_read(world, world.owner, chat) for _ in range(4))) == [200] * 4
    assert await told(world, before, chat) == ["chat_read"]


# ---- tenants ---------------------------------------------------------------------------------------------------------


async def test_a_notice_belongs_to_one_workspace(world: World) -> None:
    ours, theirs = await chat_of(world), await elsewhere(world)
    for chat in (ours, theirs):
        await reply(world, chat)
    agent: Agent = Agent(**await row(world, "agents", theirs.agent_id))
    assert [notice["sender_id"] for notice in await notices(world, theirs)] == [agent.id]
    for place, seen, hidden in ((world.workspace, ours, theirs), (world.other, theirs, ours)):
        async with database.lease() as conn:
            conn.sees(place.id)
            found = {record[0] for record in await conn.fetch("SELECT payload ->> 'chat_id' FROM inbox_items")}
            conn.sees("")
            assert await conn.fetch("SELECT 1 FROM inbox_items") == []
        assert seen.id in found
        assert hidden.id not in found
