"""What expires is removed, and what has not expired stays."""

import asyncpg
import pytest

from resolvers.kernel import sweeper
from tests.world import World

pytestmark = pytest.mark.anyio

ROWS = (
    "INSERT INTO idempotency_keys (principal, operation, key, request_hash, created_at) VALUES ('p', 'o', $1, '', now() - interval '{age} hours')",
    "INSERT INTO events (channel, type, payload, created_at) VALUES ($1, 't', '{{}}', now() - interval '{age} hours')",
)


async def kept(world: World) -> list[str]:
    rows = await world.database.fetch("SELECT key AS name FROM idempotency_keys UNION ALL SELECT channel FROM events ORDER BY 1")
    return [row["name"] for row in rows]


async def test_old_keys_and_events_go(world: World) -> None:
    for name, key_age, event_age in (("old", 25, 7 * 24 + 1), ("young", 23, 7 * 24 - 1)):
        for sql, age in zip(ROWS, (key_age, event_age), strict=True):
            await world.database.execute(sql.format(age=age), name)
    assert await sweeper.sweep()
    assert await kept(world) == ["young", "young"]


async def test_sessions_go_a_day_after_their_end(world: World) -> None:
    sql = "INSERT INTO sessions (id, user_id, created_at, expires_at, last_used_at, user_agent, ip) VALUES ($1, $2, now(), now() - $3::interval, now(), '', '')"
    for id, over in (("s_old", "25 hours"), ("s_young", "23 hours")):
        await world.database.execute(sql.replace("$3::interval", f"interval '{over}'"), id, world.owner.user_id)
    assert await sweeper.sweep()
    assert [row["id"] for row in await world.database.fetch("SELECT id FROM sessions")] == ["s_young"]


async def test_one_process_sweeps_at_a_time(world: World, module_database: object) -> None:
    other = await asyncpg.connect(module_database.owner_url)  # type: ignore[attr-defined]
    try:
        await other.fetchval("SELECT pg_advisory_lock($1)", sweeper.LEADER)
        assert not await sweeper.sweep()
    finally:
        await other.close()
    assert await sweeper.sweep()
