"""How long a workspace keeps what expires: what may be chosen, what goes, and what stays."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from models.base import new_id
from models.kernel import AuditLog
from models.oversight.audit import McpToolCall
from models.oversight.journal import JournalEntry
from models.retention import RetentionKind
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import Run
from resolvers.attention.channels import Channel, ChannelKind
from resolvers.instance.running import instance
from resolvers.kernel.background import retention, sweeper
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.ground import removed
from resolvers.kernel.store.database import database
from resolvers.kernel.writing.idempotency import stored
from resolvers.live.delivered import Position
from resolvers.live.hub import Lost, hub
from resolvers.oversight.audit import retention as audit_retention
from resolvers.oversight.audit.seals import seal
from resolvers.oversight.audit.verification import Verified, verify
from runtime.oversight import admin
from tests.oversight.admin.test_memory import keep, version
from tests.partitions import part_off
from tests.world import World, now

pytestmark = pytest.mark.anyio
RETENTION = "/api/v1/admin/retention"


class Ticking:
    async def write(self, change: Any) -> Any:
        return await across_workspaces(change)


@pytest.fixture(autouse=True)
async def empty(world: World) -> AsyncIterator[None]:
    yield
    for table in ("retention_rules", "memory_versions", "memory_configs", "mcp_tool_calls", "journal_entries"):
        await world.database.execute(f"DELETE FROM {table}")
    await world.database.execute("DELETE FROM journal; DELETE FROM run_frames WHERE chat_id LIKE 'kept%'")
    await world.database.execute("DELETE FROM events WHERE type = 'kept'")


async def keeps(world: World, kind: str, days: int | None, status: int = 200) -> httpx2.Response:
    answer = await world.rest(world.admin, "PUT", f"{RETENTION}/{kind}", {} if days is None else {"days": days})
    assert answer.status_code == status, answer.text
    return answer


async def listed(world: World) -> dict[str, Any]:
    rows = (await world.rest(world.admin, "GET", RETENTION)).json()
    return {row.pop("kind"): row for row in rows}


async def swept() -> None:
    await retention.retain(across_workspaces)


async def event(world: World, days: float, workspace_id: str, channel: str | None = None) -> int:
    await past(world, "events")
    return await world.database.fetchval(  # type: ignore[no-any-return]
        "INSERT INTO events (workspace_id, channel, type, payload, created_at)"
        " VALUES ($1, $2, 'kept', '{}', date_trunc('day', now(), 'UTC') - $3::interval) RETURNING seq",
        workspace_id,
        channel or f"workspace:{workspace_id}",
        timedelta(days=days),
    )


async def past(world: World, table: str) -> None:
    """A partition of the past, as there are on an instance that has run for a while."""
    if not await world.database.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{table}_20000101"):
        earlier = "SELECT until FROM partition_ends($1) WHERE name = $1 || '_earlier'"
        until = await world.database.fetchval(earlier, table)
        await part_off(world.database, table, "20000101", datetime(2000, 1, 1, tzinfo=UTC), until)


async def seqs(world: World) -> list[int]:
    return [row["seq"] for row in await world.database.fetch("SELECT seq FROM events WHERE type = 'kept' ORDER BY seq")]


async def test_every_kind_is_listed_with_what_may_be_chosen(world: World) -> None:
    found = await listed(world)
    assert set(found) == {kind.value for kind in RetentionKind}
    most = {"events": 7, "frames": 30, "journal": 0, "mcp_calls": 0, "audit": 0, "runs": 0, "credential_events": 0}
    most |= {"memory_versions": 3650, "idempotency_keys": 7}
    assert {kind: row["most_days"] for kind, row in found.items()} == most
    assert {kind: row["days"] for kind, row in found.items()} == most | {"memory_versions": 30, "idempotency_keys": 1}
    assert {row["least_days"] for kind, row in found.items() if kind != "audit"} == {1}
    assert found["audit"]["least_days"] == 90
    assert all(row["own_days"] is None for row in found.values())


async def test_it_is_set_and_taken_back_and_is_in_the_audit_log(world: World) -> None:
    answer = await keeps(world, "events", 3)
    assert answer.json() == {
        "kind": "events", "days": 3, "own_days": 3, "default_days": 7, "least_days": 1, "most_days": 7,
    }  # fmt: skip
    rows = [row for row in await world.audit() if row["action"] == "retention.updated"]
    assert (rows[-1]["entity_id"], rows[-1]["data"]["before"], rows[-1]["data"]["after"]) == ("events", None, 3)
    document = "mutation($ws: ID) { setRetention(workspaceId: $ws, input: {kind: events, days: 2}) { days ownDays } }"
    made = await world.graphql(world.admin, document)
    assert made["data"]["setRetention"] == {"days": 2, "ownDays": 2}
    read = await world.graphql(world.admin, "query($ws: ID) { retention(workspaceId: $ws) { kind days } }")
    assert {"kind": "events", "days": 2} in read["data"]["retention"]
    elsewhere = await world.rest(world.outsider, "GET", RETENTION, workspace=world.other.id)
    assert elsewhere.json()[0]["own_days"] is None, "of the workspace alone"
    await keeps(world, "events", None)
    assert (await listed(world))["events"]["own_days"] is None
    for person in (world.manager, world.member):
        for method, path in (("GET", RETENTION), ("PUT", f"{RETENTION}/events")):
            assert (await world.rest(person, method, path, {"days": 1} if method == "PUT" else None)).status_code == 403


@pytest.mark.parametrize(
    ("kind", "days"),
    [
        ("events", 0), ("events", 8), ("events", -1), ("frames", 31), ("audit", 89), ("audit", 40_000),
        ("memory_versions", 0), ("memory_versions", 3651), ("idempotency_keys", 0), ("idempotency_keys", 8),
        ("labels", 3), ("journal", "many"), ("journal", 1.5), ("journal", True),
    ],
)  # fmt: skip
async def test_what_may_not_be_chosen_writes_nothing(world: World, kind: str, days: Any) -> None:
    before = await world.snapshot()
    await keeps(world, kind, days, 400)
    assert await world.snapshot() == before


async def test_the_instance_goes_before_what_a_workspace_has_chosen_earlier(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeps(world, "frames", 20)
    await keeps(world, "audit", 0)
    changed = instance.settings.model_copy(update={"frame_days": 10, "audit_days": 365})
    monkeypatch.setattr(instance, "_settings", changed)
    found = await listed(world)
    assert (found["frames"]["days"], found["frames"]["own_days"]) == (10, 20)
    assert (found["audit"]["days"], found["audit"]["most_days"]) == (365, 365)
    await keeps(world, "audit", 0, 400)


async def test_events_go_by_whole_days_and_those_of_others_stay(world: World) -> None:
    here, there = world.workspace.id, world.other.id
    old, last = await event(world, 2.2, here), await event(world, 1.1, here)
    kept = [await event(world, 0.9, here), await event(world, 3, there), await event(world, 3, here, "user:somebody")]
    await keeps(world, "events", 1)
    with capture_logs() as logs:
        before = removed.REMOVED.labels("events", "workspace")._value.get()
        await swept()
    assert await seqs(world) == sorted(kept)
    assert removed.REMOVED.labels("events", "workspace")._value.get() == before + 2
    lines = [line for line in logs if line.get("table") == "events"]
    assert (sum(line["rows"] for line in lines), lines[0]["workspaces"]) == (2, [here])
    assert not {old, last} & set(await seqs(world))
    late = await event(world, 1.5, here)
    await swept()
    assert late in await seqs(world), "a day that is done is not read again"


async def test_a_cursor_from_before_what_went_is_told_to_be_too_old(world: World) -> None:
    here = world.workspace.id
    await event(world, 2.2, here)
    await keeps(world, "events", 1)
    await swept()
    for workspace_id, lost in ((here, True), (world.other.id, False)):
        channel = Channel(f"workspace:{workspace_id}", ChannelKind.workspace, workspace_id, workspace_id, None)
        if lost:
            with pytest.raises(Lost, match="too_old"):
                await hub.missed(channel, Position(1, 0), 10)
        else:
            assert await hub.missed(channel, Position(1, 0), 10) is not None


async def test_many_rows_of_a_moment_go_in_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PORTION", 3)
    for part in range(8):
        await event(world, 2 + part / 1e6, world.workspace.id)
    kept = await event(world, 2, world.other.id)
    await keeps(world, "events", 1)
    await swept()
    assert await seqs(world) == [kept]


async def test_frames_go(world: World) -> None:
    await past(world, "run_frames")
    await past(world, "run_spans")
    span = (
        "INSERT INTO run_spans (workspace_id, run_id, seq, kind, name, status, started_at, changed, created_at)"
        " VALUES ($1, $2, $3, 'RUN', 'USER', 'COMPLETED', now(), '0', date_trunc('day', now(), 'UTC') - $4::interval)"
    )
    frame = (
        "INSERT INTO run_frames (workspace_id, chat_id, seq, type, payload, created_at)"
        " VALUES ($1, $2, $3, 'chat_event', '{}', date_trunc('day', now(), 'UTC') - $4::interval)"
    )
    for workspace_id in (world.workspace.id, world.other.id):
        agent = Agent(workspace_id=workspace_id, name="Runner", slug="runner-of-kept-frames")
        id = f"kept{workspace_id}"
        run = Run(id=id, workspace_id=workspace_id, agent_id=agent.id)
        await world.add(agent, Chat(id=id, workspace_id=workspace_id, agent_id=agent.id), run)
        for seq, days in enumerate((20.0, 5.1, 4.9, 1), 1):
            for statement in (frame, span):
                await world.database.execute(statement, workspace_id, id, seq, timedelta(days=days))
    await keeps(world, "frames", 5)
    await swept()
    frames = "SELECT seq FROM run_frames WHERE chat_id = $1 ORDER BY 1"
    for left in (frames, "SELECT seq FROM run_spans WHERE run_id = $1 ORDER BY 1"):
        assert [row["seq"] for row in await world.database.fetch(left, f"kept{world.workspace.id}")] == [3, 4]
        assert len(await world.database.fetch(left, f"kept{world.other.id}")) == 4


async def test_mcp_calls_and_the_journal_go_and_what_is_pinned_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (world.workspace.id, world.other.id):
        for days in (9.5, 9, 1):
            at = now() - timedelta(days=days)
            of = {"agent_id": new_id(), "mcp_server_id": "s", "tool_name": "t", "status": "success"}
            await world.add(McpToolCall(id=f"{place[-9:]}-{days}", created_at=at, workspace_id=place, **of))
            for summary in ("pinned", "plain"):
                entry = JournalEntry(entry_type="test", summary=summary, workspace_id=place, created_at=at)
                await world.add(entry)
                pinned = "UPDATE journal SET priority = 'pin' WHERE row_id = $1 AND $2"
                await world.database.execute(pinned, entry.id, summary == "pinned")
    each_alone = [portioned(each) for each in retention.removals()]
    monkeypatch.setattr(retention, "removals", lambda: each_alone)
    for kind in ("mcp_calls", "journal"):
        await keeps(world, kind, 7)
    await swept()
    count = "SELECT count(*) FROM {} WHERE {} = $1"
    counted = {}
    for table, place in (("mcp_tool_calls", "workspace_id"), ("journal_entries", "workspace_id")):
        counted[table] = [
            await world.database.fetchval(count.format(table, place), each)
            for each in (world.workspace.id, world.other.id)
        ]
    assert counted == {"mcp_tool_calls": [1, 3], "journal_entries": [4, 6]}
    lines = "SELECT count(*) FROM journal WHERE place = $1 AND entry_type = 'test'"
    assert [await world.database.fetchval(lines, each) for each in (world.workspace.id, world.other.id)] == [4, 6]


def portioned(removal: Any) -> Any:
    """With portions of one row."""
    return replace(removal, portion=1) if isinstance(removal, retention.OldestFirst) else removal


async def test_old_versions_of_memories_go_with_their_texts_and_the_newest_stays(world: World) -> None:
    day = 24 * 60
    shared = await keep(world, "agent:ann/AGENT.md", "both say so")
    alone = await keep(world, "agent:ann/AGENT.md", "only I")
    newer = await keep(world, "agent:ann/AGENT.md", "now")
    other = await keep(world, "agent:bob/AGENT.md", "both say so")
    for id, days in ((shared, 13), (alone, 12), (newer, 11), (other, 40)):
        await world.database.execute(
            "UPDATE memory_versions SET written_at = now() - $2::interval WHERE id = $1", id, timedelta(days=days)
        )
    far = [await version(world, "agent:far/AGENT.md", ago * day, workspace_id=world.other.id) for ago in (31, 29, 1)]
    await keeps(world, "memory_versions", 10)
    config = (await world.rest(world.admin, "GET", "/api/v1/admin/memory/config")).json()
    assert config["versions_retention_days"] == 10, "one number, wherever it is read"
    digests = {row["id"]: row["sha256"] for row in await world.database.fetch("SELECT id, sha256 FROM memory_versions")}
    await admin.forget(Ticking())  # type: ignore[arg-type]
    left = {row["id"] for row in await world.database.fetch("SELECT id FROM memory_versions")}
    assert left == {newer, other, far[1].id, far[2].id}, "30 days where nothing is configured"
    folder = instance.store.folder("workspaces", world.workspace.id, "memory")
    assert {entry.name for entry in await folder.list("")} == {digests[newer], digests[other]}
    await keeps(world, "memory_versions", None)
    assert (await listed(world))["memory_versions"]["own_days"] is None


async def test_a_change_of_the_memory_configuration_is_in_the_journal(world: World) -> None:
    path = "/api/v1/admin/memory/config"
    for _ in range(2):
        assert (await world.rest(world.admin, "PATCH", path, {"versions_retention_days": 60})).status_code == 200
    (entry,) = await world.database.fetch("SELECT * FROM journal_entries WHERE entry_type = 'memory.config_updated'")
    assert (entry["severity"], entry["actor_type"], entry["actor_id"]) == ("notice", "user", world.admin.user_id)
    assert entry["payload"] == {
        "workspace_id": world.workspace.id, "changes": {"versions_retention_days": {"from": None, "to": 60}},
    }  # fmt: skip


async def test_answers_are_kept_longer_where_that_was_asked_for(world: World) -> None:
    await keeps(world, "idempotency_keys", 3)
    for workspace_id in (world.workspace.id, world.other.id, None):
        for hours in (80, 50, 1):
            await world.database.execute(
                "INSERT INTO idempotency_keys (principal, workspace_id, operation, key, request_hash, created_at)"
                " VALUES ('p', $1, 'o', $2, '', now() - $3::interval)",
                workspace_id, f"k{hours}", timedelta(hours=hours),
            )  # fmt: skip
    await sweeper.sweep(across_workspaces)
    rows = await world.database.fetch("SELECT workspace_id, key FROM idempotency_keys WHERE principal = 'p'")
    assert {(row["workspace_id"], row["key"]) for row in rows} == {
        (world.workspace.id, "k50"), (world.workspace.id, "k1"), (world.other.id, "k1"), (None, "k1"),
    }  # fmt: skip
    async with database.lease() as conn, conn.transaction():
        conn.sees(world.workspace.id)
        assert await stored(conn, "p", world.workspace.id, "o", "k50") is not None


async def test_audit_rows_go_by_whole_seals_and_the_chain_holds(world: World) -> None:
    await seal(across_workspaces)  # what other tests have written
    for place in (world.workspace.id, world.other.id):
        for days in (200, 150, 10):
            at = now() - timedelta(days=days)
            of = {"action": "kept", "entity_type": "TEST", "workspace_id": place, "created_at": at}
            await world.add(AuditLog(id=new_id(), **of))
            await seal(across_workspaces)
    await keeps(world, "audit", 100)
    await audit_retention.retain(across_workspaces)
    left = "SELECT count(*) FROM audit_logs WHERE workspace_id = $1 AND action = 'kept'"
    assert [await world.database.fetchval(left, each) for each in (world.workspace.id, world.other.id)] == [1, 3]
    found = Verified()
    async with database.lease() as conn, conn.transaction():
        await conn.execute("SELECT set_config('crewship.workspaces', '*', true)")
        assert [fault async for fault in verify(conn, instance.vault.signed, None, found)] == []
    assert found.dropped == 2
    await audit_retention.retain(across_workspaces)
    assert await world.database.fetchval(left, world.workspace.id) == 1
