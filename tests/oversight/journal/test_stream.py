"""The stream of the journal: what is there first, each new entry once, and an end with the right."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.oversight.journal.test_journal import JOURNAL, Log
from tests.world import World

pytestmark = pytest.mark.anyio
STREAM = f"{JOURNAL}/stream"


class Reader:
    """Frames of one stream, as they come."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer, self.lines = answer, answer.aiter_lines()

    async def entry(self, within: float = 5) -> dict[str, Any]:
        frame: dict[str, str] = {}
        async with asyncio.timeout(within):
            async for line in self.lines:
                if line.startswith(":"):
                    continue
                if not line and frame:
                    assert frame["event"] == "entry"
                    entry: dict[str, Any] = json.loads(frame["data"])
                    assert frame["id"] == entry["id"]
                    return entry
                if line:
                    name, _, value = line.partition(": ")
                    frame[name] = value
        raise EOFError

    async def summaries(self, count: int) -> list[str]:
        return [(await self.entry())["summary"] for _ in range(count)]


@pytest.fixture
async def log(world: World) -> Log:
    return await Log(world).begin()


@asynccontextmanager
async def reading(log: Log, last: str | None = None, **query: Any) -> AsyncIterator[Reader]:
    asked = {"workspace_id": log.world.workspace.id, "crew_id": log.crew.id} | query
    headers = {} if last is None else {"last-event-id": last}
    async with (
        log.world.client(log.world.viewer) as client,
        client.stream("GET", STREAM, params=asked, headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer)


@pytest.mark.slow
async def test_what_is_there_comes_first_and_then_what_is_new(log: Log) -> None:
    await log.note("one")
    await log.note("two")
    async with reading(log) as reader:
        assert await reader.summaries(2) == ["one", "two"]
        await log.note("other", crew_id="another")
        await log.note("three")
        assert (await reader.entry(3))["summary"] == "three"


@pytest.mark.slow
async def test_a_reader_goes_on_where_it_was(log: Log) -> None:
    for name in ("one", "two", "three"):
        await log.note(name)
    entries = await log.entries()
    async with reading(log, last=entries[-1]["id"]) as reader:
        assert await reader.summaries(2) == ["two", "three"]
        await log.note("four")
        assert await reader.summaries(1) == ["four"]
    async with reading(log, last="j_unknown") as reader:
        assert await reader.summaries(4) == ["one", "two", "three", "four"]


async def test_a_seed_is_the_newest_fifty(log: Log) -> None:
    for number in range(53):
        await log.note(f"n{number}")
    async with reading(log) as reader:
        assert await reader.summaries(50) == [f"n{number}" for number in range(3, 53)]


@pytest.mark.slow
async def test_an_entry_that_becomes_visible_late_is_shown(log: Log) -> None:
    """Its transaction began before that of one that was shown meanwhile."""
    late: Any = await asyncpg.connect(dsn=log.world.settings.database_url.get_secret_value())
    insert = (
        "INSERT INTO journal_entries (workspace_id, id, entry_type, severity, actor_type, crew_id, summary)"
        " VALUES ($1, $2, 'file.written', 'info', 'system', $3, 'late')"
    )
    try:
        await late.execute("SELECT set_config('crewship.workspaces', '*', false)")
        async with reading(log) as reader:
            transaction = late.transaction()
            await transaction.start()
            await late.execute(insert, log.world.workspace.id, f"clate{log.tag}", log.crew.id)
            await log.note("early")
            assert await reader.summaries(1) == ["early"]
            await asyncio.sleep(1.2)
            await transaction.commit()
            assert await reader.summaries(1) == ["late"]
            await log.note("after")
            assert await reader.summaries(1) == ["after"]
    finally:
        await late.close()


@pytest.mark.slow
async def test_many_at_once_are_all_shown(log: Log) -> None:
    async with reading(log) as reader:
        await log.world.database.execute(
            "INSERT INTO journal_entries (workspace_id, id, entry_type, severity, actor_type, crew_id, summary)"
            " SELECT $1, 'cmany' || $2 || n, 'file.written', 'info', 'system', $3, n::text"
            " FROM generate_series(1, 1200) n",
            log.world.workspace.id, log.tag, log.crew.id,
        )  # fmt: skip
        assert {await reader.entry() and None for _ in range(1199)} == {None}
        await reader.entry()
        await log.note("last")
        assert await reader.summaries(1) == ["last"]


async def test_a_stream_ends_with_the_right_to_it(log: Log) -> None:
    world, own = log.world, (log.world.viewer.user_id, log.world.workspace.id)
    left = "UPDATE memberships SET user_id = $3 WHERE user_id = $1 AND workspace_id = $2"
    async with reading(log) as reader:
        await world.database.execute(left, *own, world.nobody.user_id)
        try:
            await log.note("secret")
            with pytest.raises(EOFError):
                await reader.entry(15)
        finally:
            await world.database.execute(left, world.nobody.user_id, own[1], own[0])


@pytest.mark.parametrize(
    ("query", "status"),
    [({"limit": "0"}, 400), ({"cursor": "x"}, 400), ({"since": "x"}, 400), ({"workspace_id": "nowhere"}, 403)],
)
async def test_refusals_come_before_the_stream(log: Log, query: dict[str, str], status: int) -> None:
    asked = {"workspace_id": log.world.workspace.id} | query
    async with log.world.client(log.world.viewer) as client:
        answer = await client.get(STREAM, params=asked)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]
    async with log.world.client() as client:
        assert (await client.get(STREAM, params={"workspace_id": log.world.workspace.id})).status_code == 401


async def test_head_has_the_headers_alone(log: Log) -> None:
    async with log.world.client(log.world.viewer) as client:
        answer = await client.head(STREAM, params={"workspace_id": log.world.workspace.id})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
