"""What expires is removed, and what has not expired stays."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from crewship.work import working
from models.agents import Agent
from models.runs import Run, RunStatus, RunStep
from resolvers.instance.running import instance
from resolvers.kernel import sweeper
from resolvers.kernel.clocks import across_workspaces
from tests.world import World

pytestmark = pytest.mark.anyio

ROWS = (
    (
        "INSERT INTO idempotency_keys (principal, operation, key, request_hash, created_at)"
        " VALUES ('p', 'o', $1, '', now() - interval '{age} hours')"
    ),
    "INSERT INTO events (channel, type, payload, created_at) VALUES ($1, 't', '{{}}', now() - interval '{age} hours')",
)


async def swept() -> None:
    await sweeper.sweep(across_workspaces)


async def kept(world: World) -> list[str]:
    rows = await world.database.fetch(
        "SELECT key AS name FROM idempotency_keys UNION ALL SELECT channel FROM events ORDER BY 1"
    )
    return [row["name"] for row in rows]


async def test_old_keys_and_events_go(world: World) -> None:
    for name, key_age, event_age in (("old", 25, 7 * 24 + 1), ("young", 23, 7 * 24 - 1)):
        for sql, age in zip(ROWS, (key_age, event_age), strict=True):
            await world.database.execute(sql.format(age=age), name)
    await swept()
    assert await kept(world) == ["young", "young"]


async def test_a_setting_says_after_how_many_days(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"event_days": 2, "frame_days": 3}))
    assert [rule.values()[1] for rule in sweeper.RULES if rule.days is not None] == [2, 3]
    await world.database.execute("DELETE FROM events")
    for name, age in (("old", 2 * 24 + 1), ("young", 2 * 24 - 1)):
        await world.database.execute(ROWS[1].format(age=age), name)
    await swept()
    assert [row["channel"] for row in await world.database.fetch("SELECT channel FROM events")] == ["young"]


async def test_sessions_go_a_day_after_their_end(world: World) -> None:
    sql = (
        "INSERT INTO sessions (id, user_id, created_at, expires_at, last_used_at, user_agent, ip)"
        " VALUES ($1, $2, now(), now() - $3::interval, now(), '', '')"
    )
    for id, over in (("s_old", "25 hours"), ("s_young", "23 hours")):
        await world.database.execute(sql.replace("$3::interval", f"interval '{over}'"), id, world.owner.user_id)
    await swept()
    assert [row["id"] for row in await world.database.fetch("SELECT id FROM sessions")] == ["s_young"]


async def test_many_rows_go_in_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "PORTION", 7)
    conn = world.database
    await conn.execute("DELETE FROM events")
    await conn.execute(
        "INSERT INTO events (channel, type, payload, created_at)"
        " SELECT 'old', 't', '{}', now() - interval '8 days' FROM generate_series(1, 40)"
    )
    await conn.execute(
        "INSERT INTO events (channel, type, payload) SELECT 'young', 't', '{}' FROM generate_series(1, 3)"
    )
    last = await conn.fetchval("SELECT max(xid)::text FROM events WHERE channel = 'old'")
    before = await conn.fetchval("SELECT pg_current_xact_id()::text::bigint")
    await swept()
    assert [row["channel"] for row in await conn.fetch("SELECT channel FROM events")] == ["young"] * 3
    assert await conn.fetchval("SELECT value FROM instance_facts WHERE name = $1", sweeper.SWEPT) == last
    # transactions: no reader of the outbox waits for all of it
    assert await conn.fetchval("SELECT pg_current_xact_id()::text::bigint") - before >= 6


async def test_one_rule_that_fails_keeps_no_other_from_its_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "RULES", (sweeper.Rule("broken", "SELECT 1 / 0 + $1::int"), *sweeper.RULES))
    await world.database.execute(ROWS[0].format(age=25), "behind")
    with pytest.raises(ExceptionGroup) as failed:
        await swept()
    assert [error.__notes__ for error in failed.value.exceptions] == [["rows: broken"]]
    assert "behind" not in await kept(world)


async def test_steps_go_a_day_after_their_run_has_ended(world: World) -> None:
    agent = Agent(workspace_id=world.workspace.id, name="Runner", slug="runner")
    await world.add(agent)
    for name, status, over in (
        ("live", RunStatus.RUNNING, None),
        ("fresh", RunStatus.COMPLETED, 23),
        ("gone", RunStatus.COMPLETED, 25),
    ):
        ended = None if over is None else datetime.now(UTC) - timedelta(hours=over)
        await world.add(
            Run(id=name, workspace_id=world.workspace.id, agent_id=agent.id, status=status, finished_at=ended)
        )
        await world.add(RunStep(workspace_id=world.workspace.id, run_id=name, name="reply", lease=1))
    await swept()
    assert [row["run_id"] for row in await world.database.fetch("SELECT run_id FROM run_steps ORDER BY 1")] == [
        "fresh",
        "live",
    ]
    assert await world.database.fetchval("SELECT count(*) FROM runs") == 3


async def test_a_process_that_only_serves_sweeps(world: World) -> None:
    """By the clock that is declared for it."""
    await world.database.execute(ROWS[0].format(age=25), "late")
    async with working(world.settings), asyncio.timeout(30):
        while "late" in await kept(world):
            await world.database.execute(
                "UPDATE dbos.workflow_status SET delay_until_epoch_ms = 0 WHERE workflow_uuid = $1",
                f"clock:{sweeper.SWEEP.name}",
            )
            await asyncio.sleep(0.2)
