"""Pages of the journal are what its lines say, by whichever way they are found: by walking, or by buckets of time."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from models.base import new_id
from tests.world import World

pytestmark = pytest.mark.anyio
LINES = """
    INSERT INTO journal SELECT (line).* FROM (
        SELECT journal_line($1, timestamptz '2026-11-27' - n * n / 40 * interval '1 minute', 'je', 'csearch' || $2 || n,
            'type.' || n % 5, CASE WHEN n % 17 = 0 THEN 'error' WHEN n % 3 = 0 THEN 'warn' ELSE 'info' END,
            CASE WHEN n % 2 = 0 THEN 'agent' ELSE 'system' END, NULL, 'agent' || n % 7, 'crew' || n % 3, NULL, NULL,
            'fox' || n % 11 || CASE WHEN n % 101 = 0 THEN ' quick brown' ELSE ' brown quick' END) AS line
        FROM generate_series(1, 3000) n
    ) made
"""
PAGES = 7
PLAIN = "SELECT id FROM journal WHERE place = $1 {} ORDER BY at DESC, id DESC"


@pytest.fixture
async def place(world: World) -> str:
    """A workspace of nothing but lines, over four months, the newer the denser."""
    made = new_id()
    await world.database.execute(LINES, made, made[-8:])
    await world.database.execute("ANALYZE journal")
    return made


def cases() -> Iterator[tuple[dict[str, Any], str]]:
    yield {}, ""
    yield {"severities": ["error"]}, "AND severity = 'error'"
    yield {"agents": ["agent1"], "types": ["type.3"]}, "AND agent_id = 'agent1' AND entry_type = 'type.3'"
    yield (
        {"agents": ["agent1", "agent2"], "severities": ["error", "warn"]},
        ("AND agent_id IN ('agent1', 'agent2') AND severity IN ('error', 'warn')"),
    )
    yield (
        {"crews": ["crew1"], "severities": ["error"], "actors": ["agent"]},
        ("AND crew_id = 'crew1' AND severity = 'error' AND actor_type = 'agent'"),
    )
    yield {"crews": ["crew1"], "agents": ["agent4"]}, "AND crew_id = 'crew1' AND agent_id = 'agent4'"
    yield {"agents": ["nobody"], "types": ["type.3"]}, "AND false"
    yield {"q": "brown quick fox3"}, "AND false"
    yield {"without": ["type.1", "type.2"]}, "AND entry_type NOT IN ('type.1', 'type.2')"
    yield {"without": [f"type.{n}" for n in range(5)]}, "AND false"
    yield {"priorities": ["normal", "pin"], "crews": ["crew1"]}, "AND crew_id = 'crew1'"
    yield {"priorities": ["pin"], "q": "fox3"}, "AND false"
    yield {"q": "quick brown"}, "AND substr(id, 18) ~ '^csearch' AND words @@ 'quick <-> brown'::tsquery"
    yield {"q": "fox3", "severities": ["warn"]}, "AND severity = 'warn' AND words @@ 'fox3'::tsquery"
    yield (
        {"q": "fox3", "without": ["type.1"], "until": "2026-11-01T00:00:00+00:00"},
        ("AND words @@ 'fox3'::tsquery AND entry_type <> 'type.1' AND at < '2026-11-01T00:00:00.001Z'"),
    )
    yield (
        {"types": ["type.1"], "severities": ["warn"], "since": "2026-10-01T00:00:00+00:00"},
        ("AND entry_type = 'type.1' AND severity = 'warn' AND at >= '2026-10-01'"),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"walked": "20"}, {"walked": "20", "patience": "0"}], ids=["few", "many", "in a hurry"]
)
async def test_pages_are_the_lines_that_match_in_their_order(
    world: World, place: str, settings: dict[str, str]
) -> None:
    """Whatever is asked, of a workspace with few lines, and as of one with many: bucket after bucket, and in as many
    pages as there is no time for.
    """
    async with world.database.transaction():
        for name, value in settings.items():
            await world.database.execute("SELECT set_config('crewship.journal_' || $1, $2, true)", name, value)
        for asked, condition in cases():
            expected = [row["id"] for row in await world.database.fetch(PLAIN.format(condition), place)]
            for size in (random.choice([5, 7]), random.choice([30, 70]), 500):
                found = await paged(world, place, asked, size)
                assert found[: size * PAGES] == expected[: size * PAGES], (asked, size)
            counted = await world.database.fetchval("SELECT journal_count($1, $2::jsonb)", place, asked)
            assert counted == len(expected), asked


async def paged(world: World, place: str, asked: dict[str, Any], size: int) -> list[str]:
    given = list[str]()
    after: tuple[Any, Any] = (None, None)
    while len(given) < size * PAGES:
        page = "SELECT at, id, kind FROM journal_page($1, $2::jsonb, $3, $4, $5) ORDER BY at DESC, id DESC"
        rows = await world.database.fetch(page, place, asked, *after, size)
        assert len(rows) <= size
        given += [row["id"] for row in rows if row["kind"]]
        if len(rows) < size and (not rows or rows[-1]["kind"]):
            break
        after = rows[-1]["at"], rows[-1]["id"]
    return given
