"""The journal as a subscription: each entry once, in the order in which they appear, and an end with the right."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from websockets.exceptions import ConnectionClosed

from models.people.workspaces import Role
from resolvers.live import following, hub
from tests.live.graphql import Talk, streaming, talking
from tests.live.outlets import until
from tests.oversight.journal.test_journal import Log
from tests.world import World

pytestmark = pytest.mark.anyio
EVENTS = """
    subscription($ws: ID, $crew: ID, $severity: [String!], $q: String, $after: String) {
        journalEvents(workspaceId: $ws, crewId: $crew, severity: $severity, q: $q, after: $after) {
            __typename ... on Event { cursor }
            ... on JournalEntryEvent { entry { summary said: entryType agent { slug } } }
            ... on StreamReset { reason }
        }
    }
"""


INSERT = """
    INSERT INTO journal_entries (workspace_id, id, entry_type, severity, actor_type, crew_id, summary)
    SELECT $1, 'c' || left(md5(random()::text), 24), 'file.written', 'info', 'system', $2, unnest($3::text[])
"""


@contextlib.asynccontextmanager
async def writer(log: Log) -> AsyncIterator[Any]:
    """A connection of its own: its transactions end when they like."""
    conn: Any = await asyncpg.connect(dsn=log.world.settings.database_url.get_secret_value())
    try:
        await conn.execute("SELECT set_config('crewship.workspaces', '*', false)")
        yield conn
    finally:
        await conn.close()


def of(log: Log, *summaries: object) -> tuple[str, str, list[str]]:
    return log.world.workspace.id, log.crew.id, [str(summary) for summary in summaries]


@pytest.fixture
async def log(world: World) -> Log:
    return await Log(world).begin()


def asked(log: Log, **more: Any) -> dict[str, Any]:
    return {"ws": log.world.workspace.id, "crew": log.crew.id} | more


async def summaries(hear: Callable[[], Awaitable[Any]], count: int) -> list[str]:
    return [(await hear())["journalEvents"]["entry"]["summary"] for _ in range(count)]


async def start(log: Log) -> str:
    """A cursor of now."""
    async with talking(log.world, log.world.viewer) as talk:
        await talk.subscribe("s", EVENTS, **asked(log, after="-"))
        first = (await talk.next("s"))["journalEvents"]
    assert (first["__typename"], first["reason"]) == ("StreamReset", "subscribed")
    return str(first["cursor"])


async def test_an_entry_is_told_with_what_hangs_on_it(log: Log) -> None:
    await log.note("before")
    async with talking(log.world, log.world.viewer) as talk:
        await talk.listen("s", EVENTS, **asked(log))
        await log.note("other", crew_id="another")
        await log.note("one")
        event = (await talk.next("s"))["journalEvents"]
        assert event.pop("cursor")
        assert event == {
            "__typename": "JournalEntryEvent",
            "entry": {"summary": "one", "said": "file.written", "agent": {"slug": log.ann.slug}},
        }
        await talk.say({"id": "s", "type": "complete"})
    await until(lambda: not hub.followers)


@pytest.mark.parametrize("how", ["sse", "multipart"])
async def test_streams_over_http_tell_the_same(log: Log, how: str) -> None:
    async with streaming(log.world, log.world.viewer, EVENTS, asked(log, severity=["error"]), how=how) as stream:
        await until(lambda: hub.followers)
        await log.note("fine")
        await log.note("broken", severity="error")
        assert await summaries(stream.next, 1) == ["broken"]


@pytest.mark.slow
async def test_an_event_source_goes_on_behind_what_it_saw(log: Log) -> None:
    async with streaming(log.world, log.world.viewer, EVENTS, asked(log)) as stream:
        await until(lambda: hub.followers)
        for name in ("one", "two"):
            await log.note(name)
        first = await stream.hear()
    await log.note("three")
    async with streaming(log.world, log.world.viewer, EVENTS, asked(log), **{"last-event-id": str(first.id)}) as stream:
        assert await summaries(stream.next, 2) == ["two", "three"]


async def test_words_and_filters_narrow(log: Log) -> None:
    async with talking(log.world, log.world.viewer) as talk:
        await talk.listen("s", EVENTS, **asked(log, q="quick brown", severity=["warn", "info"]))
        await log.note("quick fox")
        await log.note("the QUICK brown fox", severity="error")
        await log.note("a quick brown fox")
        assert await summaries(lambda: talk.next("s"), 1) == ["a quick brown fox"]


@pytest.mark.slow
async def test_whatever_is_cut_nothing_is_lost_or_doubled(log: Log) -> None:
    """Writers whose transactions end in another order than they began, and a reader that is cut off again and again."""
    cursor, seen, total = await start(log), list[str](), 120

    async def write(first: int) -> None:
        async with writer(log) as conn:
            for number in range(first, total, 4):
                async with conn.transaction():
                    await conn.execute(INSERT, *of(log, number))
                    await asyncio.sleep(random.uniform(0, 0.02))

    writing = asyncio.gather(*[write(first) for first in range(4)])
    async with asyncio.timeout(60):
        while len(seen) < total:
            async with talking(log.world, log.world.viewer) as talk:
                await talk.subscribe("s", EVENTS, **asked(log, after=cursor))
                for _ in range(min(random.randint(1, 40), total - len(seen))):
                    event = (await talk.next("s"))["journalEvents"]
                    seen.append(event["entry"]["summary"])
                    cursor = event["cursor"]
    await writing
    assert sorted(seen, key=int) == [str(number) for number in range(total)]


@pytest.mark.slow
async def test_a_transaction_that_ends_late_is_told_and_holds_its_followers_back(log: Log) -> None:
    async with writer(log) as late, talking(log.world, log.world.viewer) as talk:
        await talk.listen("s", EVENTS, **asked(log))
        transaction = late.transaction()
        await transaction.start()
        await late.execute(INSERT, *of(log, "late"))
        await log.note("early")
        assert await talk.silent(0.7)
        await transaction.commit()
        assert await summaries(lambda: talk.next("s"), 2) == ["late", "early"]


async def test_more_than_a_batch_is_told_whole(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "BATCH", 7)
    cursor = await start(log)
    await log.world.database.execute(INSERT, *of(log, *range(1, 51)))
    async with talking(log.world, log.world.viewer) as talk:
        await talk.subscribe("s", EVENTS, **asked(log, after=cursor))
        assert {*await summaries(lambda: talk.next("s"), 50)} == {str(number) for number in range(1, 51)}
        assert await talk.silent()


@pytest.mark.parametrize("cursor", ["x", "LS0", "zz.0000000000000000000", "a" * 500, "é"])
async def test_a_cursor_that_leads_nowhere_is_told(log: Log, cursor: str) -> None:
    async with talking(log.world, log.world.viewer) as talk:
        await talk.subscribe("s", EVENTS, **asked(log, after=cursor))
        told = (await talk.next("s"))["journalEvents"]
        assert (told["__typename"], told["reason"]) == ("StreamReset", "unknown_cursor")
        await log.note("one")
        assert await summaries(lambda: talk.next("s"), 1) == ["one"]


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"ws": "other"}, "FORBIDDEN"), ({"ws": "nowhere"}, "FORBIDDEN"), ({"q": "x" * 201}, "BAD_REQUEST"),
        ({"severity": ["x"] * 1001}, "BAD_REQUEST"),
    ],
)  # fmt: skip
async def test_who_may_not_listen_is_told(log: Log, variables: dict[str, Any], code: str) -> None:
    async with talking(log.world, log.world.viewer) as talk:
        await talk.subscribe("s", EVENTS, **asked(log, **variables))
        message = await talk.hear()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", code)
    await until(lambda: not hub.followers)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ws", "sse", "multipart"])
@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM memberships WHERE user_id = $1",
        "UPDATE cli_tokens SET revoked_at = now() WHERE user_id = $1",
    ],
    ids=["role", "token"],
)
async def test_a_right_that_ends_ends_the_subscription(log: Log, how: str, change: str) -> None:
    """Entries go on being written: none that began after the change was committed is told."""
    person, stop = await log.world.person(f"{how}-{log.tag}", Role.VIEWER), asyncio.Event()
    heard, written = list[str](), 0

    async def write() -> None:
        nonlocal written
        async with writer(log) as conn:
            while not stop.is_set():
                written += 1
                await conn.execute(INSERT, *of(log, written))

    async def listen() -> None:
        if how == "ws":
            async with talking(log.world, person) as talk:
                await talk.subscribe("s", EVENTS, **asked(log))
                await _until_the_end(talk, heard)
        else:
            async with streaming(log.world, person, EVENTS, asked(log), how=how) as stream:
                while (said := await stream.hear()).data and said.data.get("data"):
                    heard.append(said.data["data"]["journalEvents"]["entry"]["summary"])

    listening, writing = asyncio.create_task(listen()), asyncio.create_task(write())
    await until(lambda: heard)
    await log.world.database.execute(change, person.user_id)
    began_later = written + 1
    async with asyncio.timeout(30):
        await listening
    stop.set()
    await writing
    assert [number for number in heard if int(number) > began_later] == []
    await until(lambda: not hub.followers)


async def _until_the_end(talk: Talk, heard: list[str]) -> None:
    with contextlib.suppress(ConnectionClosed):
        while (message := await talk.hear())["type"] == "next" and message["payload"].get("data"):
            heard.append(message["payload"]["data"]["journalEvents"]["entry"]["summary"])


async def test_a_document_that_asks_for_too_much_is_refused(log: Log) -> None:
    part = "{ agent { crew { agents(first: 100) { nodes { crew { agents(first: 100) { nodes { id } } } } } } } }"
    document = "subscription($ws: ID) { journalEvents(workspaceId: $ws) { ... on JournalEntryEvent { entry %s } } }"
    async with talking(log.world, log.world.viewer) as talk:
        await talk.subscribe("s", document % part, ws=log.world.workspace.id)
        message = await talk.hear()
        assert message["type"] == "error", message
        assert "at most" in message["payload"][0]["message"], message
