"""Lines of the audit log are written when its rows are sealed, and nobody can tell: whatever is asked is answered from
the rows until then.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from models.base import new_id
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.audit.seals import seal
from tests.oversight.journal.test_search import LINES, PLAIN, paged
from tests.world import World, connect_for_all

pytestmark = pytest.mark.anyio
ROWS = """
    INSERT INTO audit_logs (
        id, workspace_id, action, effect, entity_type, entity_id, actor_type, actor_id, data, created_at
    )
    SELECT 'pending' || $2::text || n, $1, (ARRAY['crew.create', 'agent.delete', 'issue.update'])[1 + n % 3],
        (ARRAY['created', 'deleted', 'updated'])[1 + n % 3],
        (ARRAY['crew', 'Agent', 'issue'])[1 + n % 3], 'entity' || n % 4, 'agent', 'agent' || n % 7,
        jsonb_build_object('name', CASE WHEN n % 5 = 0 THEN 'quick brown' ELSE 'fox' || n % 11 END),
        timestamptz '2026-11-27' - n * n / 3 * interval '1 minute'
    FROM generate_series(1, 240) n
"""
ASKED: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"types": ["audit.entity_deleted"]}, "AND entry_type = 'audit.entity_deleted'"),
    ({"agents": ["entity1"]}, "AND agent_id = 'entity1'"),
    ({"severities": ["notice", "error"]}, "AND severity IN ('notice', 'error')"),
    (
        {"types": ["audit.entity_created", "type.3"], "crews": ["entity2", "crew1"]},
        "AND entry_type IN ('audit.entity_created', 'type.3') AND crew_id IN ('entity2', 'crew1')",
    ),
    ({"q": "fox3"}, "AND words @@ 'fox3'::tsquery"),
    ({"q": "quick brown", "actors": ["agent"]}, "AND actor_type = 'agent' AND words @@ 'quick <-> brown'::tsquery"),
    ({"without": ["audit.entity_updated"]}, "AND entry_type <> 'audit.entity_updated'"),
    ({"until": "2026-11-01T00:00:00+00:00"}, "AND at < '2026-11-01T00:00:00.001Z'"),
    ({"priorities": ["pin"]}, "AND false"),
]


@pytest.fixture
def mark() -> str:
    return new_id()[-8:]


@pytest.fixture
async def place(world: World, mark: str) -> str:
    await seal(across_workspaces)
    place = world.workspace.id
    await world.database.execute(LINES, place, mark)
    await world.database.execute(ROWS, place, mark)
    return place


async def pending(world: World, place: str) -> int:
    return await world.database.fetchval(  # type: ignore[no-any-return]
        "SELECT count(*) FROM audit_logs WHERE workspace_id = $1 AND NOT EXISTS"
        " (SELECT FROM journal WHERE place = $1 AND kind = 'ad' AND row_id = audit_logs.id)",
        place,
    )


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"walked": "20"}, {"walked": "20", "patience": "0"}])
async def test_pages_and_counts_are_the_same_before_and_after(
    world: World, place: str, settings: dict[str, str]
) -> None:
    async with world.database.transaction():
        for name, value in settings.items():
            await world.database.execute("SELECT set_config('crewship.journal_' || $1, $2, true)", name, value)
        sizes = [random.choice([5, 7]), random.choice([30, 70]), 500]
        before = [[await paged(world, place, asked, size) for size in sizes] for asked, _ in ASKED]
        counts = [await counted(world, place, asked) for asked, _ in ASKED]
    assert await pending(world, place) >= 240
    await seal(across_workspaces)
    assert await pending(world, place) == 0
    for (asked, condition), found, count in zip(ASKED, before, counts, strict=True):
        expected = [row["id"] for row in await world.database.fetch(PLAIN.format(condition), place)]
        for size, page in zip(sizes, found, strict=True):
            assert page[: 7 * size] == expected[: 7 * size], (asked, size)
        assert count == len(expected) == await counted(world, place, asked)


async def counted(world: World, place: str, asked: dict[str, Any]) -> int:
    return await world.database.fetchval("SELECT journal_count($1, $2::jsonb)", place, asked)  # type: ignore[no-any-return]


async def test_what_was_seen_is_not_news_when_its_line_is_written(world: World, place: str, mark: str) -> None:
    async def seen(behind: str) -> list[tuple[str, int]]:
        sql = "SELECT id, xid FROM journal_as_seen($1, '{}', $2, 1000) ORDER BY xid, id"
        return [(row["id"], row["xid"]) for row in await world.database.fetch(sql, place, behind)]

    async def news(since: int) -> list[str] | None:
        return await world.database.fetchval("SELECT places FROM journal_news($1, $2)", since, [place])  # type: ignore[no-any-return]

    first = "SELECT min(xid::text::bigint) FROM audit_logs WHERE id LIKE 'pending' || $1 || '%'"
    start = await world.database.fetchval(first, mark)
    behind = f"{start - 1:019d}z"
    before = await seen(behind)
    assert sum(id[17:].startswith(f"pending{mark}") for id, _ in before) == 240
    assert await news(start) == [place]
    await seal(across_workspaces)
    assert await seen(behind) == before
    last_id, last_xid = before[-1]
    assert await seen(f"{last_xid:019d}{last_id}") == []
    assert await news(last_xid + 1) is None


async def test_an_entry_is_found_by_its_id_before_and_after_and_once(world: World, place: str) -> None:
    (id,) = (await paged(world, place, {"types": ["audit.entity_deleted"]}, 1))[:1]
    for _ in range(2):
        rows = await world.database.fetch("SELECT id FROM journal_named($1, $2)", place, id)
        assert [row["id"] for row in rows] == [id]
        assert await world.database.fetch("SELECT id FROM journal_named($1, $2)", "elsewhere", id) == []
        await seal(across_workspaces)


@pytest.fixture
async def other(world: World) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    conn = await connect_for_all(world.settings.database_url.get_secret_value())
    try:
        yield conn
    finally:
        await conn.close()


@pytest.mark.parametrize(
    "change", ["UPDATE audit_logs SET data = '{}' WHERE id = $1", "DELETE FROM audit_logs WHERE id = $1"]
)
async def test_words_that_are_erased_while_lines_are_written_are_in_none(
    world: World, place: str, mark: str, other: Any, change: str
) -> None:
    """Whichever is first, the other waits for it."""
    erased = f"pending{mark}5"
    last = await world.database.fetchval("SELECT max(seq) FROM audit_logs")
    sealing = other.transaction()
    await sealing.start()
    await other.execute("UPDATE instance_facts SET value = $1 WHERE name = 'audit_sealed'", str(last))
    changing = asyncio.create_task(world.database.execute(change, erased))
    await asyncio.sleep(0.2)
    assert not changing.done()
    await sealing.commit()
    await changing
    found = await world.database.fetch(
        "SELECT id FROM journal WHERE place = $1 AND row_id = $2 AND words @@ 'quick'::tsquery", place, erased
    )
    assert found == []
