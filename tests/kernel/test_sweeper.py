"""What expires is removed, and what has not expired stays."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from crewship.process.work import working
from models.kernel import SWEPT
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import Run, RunFrame, RunStatus, RunStep
from resolvers.instance.running import instance
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.store.database import database
from tests.partitions import part_off
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


async def partition(world: World, table: str, name: str, begin: int, end: int) -> None:
    """A partition of the past: between so many hours ago."""
    times = [
        await world.database.fetchval("SELECT date_trunc('hour', now()) - make_interval(hours => $1)", hours)
        for hours in (begin, end)
    ]
    await part_off(world.database, table, name, *times)


async def partitions(world: World, table: str) -> list[str]:
    rows = await world.database.fetch("SELECT name FROM partitions_of($1) ORDER BY until", table)
    return [row["name"].removeprefix(f"{table}_") for row in rows]


async def test_old_keys_go(world: World) -> None:
    for name, age in (("old", 25), ("young", 23)):
        await world.database.execute(ROWS[0].format(age=age), name)
    await swept()
    assert await kept(world) == ["young"]


async def test_events_go_with_the_partition_of_their_time(world: World) -> None:
    conn, week = world.database, 7 * 24
    await partition(world, "events", "19990101", week + 30, week + 2)
    await partition(world, "events", "19990108", week + 2, week - 2)
    for name, age in (("e: old", week + 20), ("e: last", week + 3), ("e: in time", week + 1), ("e: young", 0)):
        await conn.execute(ROWS[1].format(age=age), name)
    last = await conn.fetchval("SELECT xid::text FROM events WHERE channel = 'e: last'")
    await swept()
    found = [name for name in await kept(world) if name.startswith("e: ")]
    assert found == ["e: in time", "e: young"]  # a partition goes as a whole, when its last row has expired
    assert "19990101" not in await partitions(world, "events")
    assert await conn.fetchval("SELECT value FROM instance_facts WHERE name = $1", SWEPT) == last
    await swept()
    assert await conn.fetchval("SELECT value FROM instance_facts WHERE name = $1", SWEPT) == last
    for name, age in (("e: of a dropped partition", week + 3), ("e: of long ago", 100 * week)):
        await conn.execute(ROWS[1].format(age=age), name)
    assert await conn.fetchval("SELECT count(*) FROM events_earlier") == 2


async def test_frames_go_with_the_partition_of_their_time(world: World) -> None:
    agent = Agent(workspace_id=world.workspace.id, name="Runner", slug="runner-of-frames")
    chat = Chat(id="frames", workspace_id=world.workspace.id, agent_id=agent.id, created_by=world.owner.user_id)
    await world.add(agent, chat)
    month = 30 * 24
    await partition(world, "run_frames", "19990101", month + 90, month + 1)
    await partition(world, "run_frames", "19990201", month + 1, month - 1)
    for seq, hours in enumerate((month + 50, month, 1), 1):
        at = datetime.now(UTC) - timedelta(hours=hours)
        await world.add(
            RunFrame(
                workspace_id=world.workspace.id, chat_id=chat.id, seq=seq, type="chat_event", payload={}, created_at=at
            )
        )
    await swept()
    assert [row["seq"] for row in await world.database.fetch("SELECT seq FROM run_frames ORDER BY 1")] == [2, 3]
    assert "19990101" not in await partitions(world, "run_frames")


async def test_a_setting_says_after_how_many_days(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {each.name: each.days for each in sweeper.partitioned()} == {
        "audit_logs": None,
        "events": "event_days",
        "run_frames": "frame_days",
        "run_spans": "frame_days",
    }
    await partition(world, "events", "19990101", 5 * 24, 49)
    await world.database.execute(ROWS[1].format(age=50), "s: old")
    await swept()
    assert "s: old" in await kept(world)
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"event_days": 2}))
    await swept()
    assert "s: old" not in await kept(world)


async def test_there_are_always_partitions_of_the_time_to_come(world: World) -> None:
    """Also where nobody made them for a while: what was stored meanwhile finds its place, and is counted once."""
    conn, made = world.database, await partitions(world, "events")
    await conn.execute(f"DROP TABLE {', '.join(f'events_{name}' for name in made)}")
    await conn.execute("ALTER TABLE events DETACH PARTITION events_later")
    since = await conn.fetchval("SELECT (date_trunc('day', now(), 'UTC') - interval '3 days')::text")
    await conn.execute(
        f"ALTER TABLE events DETACH PARTITION events_earlier;"
        f" ALTER TABLE events ATTACH PARTITION events_earlier FOR VALUES FROM (MINVALUE) TO ('{since}');"
        f" ALTER TABLE events ATTACH PARTITION events_later FOR VALUES FROM ('{since}') TO (MAXVALUE)"
    )
    await conn.execute(ROWS[1].format(age=2), "meanwhile")
    assert await conn.fetchval("SELECT count(*) FROM events_later") == 1
    await swept()
    assert await conn.fetchval("SELECT count(*) FROM events_later") == 0
    assert "meanwhile" in await kept(world)
    until = await conn.fetchval("SELECT max(until) - now() FROM partitions_of('events')")
    assert timedelta(days=3) < until <= timedelta(days=5)
    assert await conn.fetchval("SELECT keep_partitions('events', 'day', 3)") == 0


async def test_the_service_may_make_and_drop_partitions_but_not_tables(world: World) -> None:
    async with database.lease() as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("DROP TABLE events_later")
        with pytest.raises(asyncpg.PostgresError):
            await conn.fetchval("SELECT keep_partitions('labels', 'day', 2)")
        assert await conn.fetchval("SELECT drop_partitions('labels', now() + interval '1 year')") == 0


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
    await conn.execute("DELETE FROM idempotency_keys")
    for number in range(40):
        await conn.execute(ROWS[0].format(age=25), f"old {number}")
    await conn.execute(ROWS[0].format(age=1), "young")
    before = await conn.fetchval("SELECT pg_current_xact_id()::text::bigint")
    await swept()
    assert [name for name in await kept(world) if name.startswith(("old", "young"))] == ["young"]
    # transactions: no reader of the outbox waits for all of it
    assert await conn.fetchval("SELECT pg_current_xact_id()::text::bigint") - before >= 6


async def test_one_rule_that_fails_keeps_no_other_from_its_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [sweeper.Rule("broken", "SELECT 1 / 0 + $1::int"), *sweeper.rules()]
    monkeypatch.setattr(sweeper, "rules", lambda: rules)
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
