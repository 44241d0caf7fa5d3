"""Lists and numbers of runs, and logs, cost what they show, however many rows there are."""

from typing import Any

import pytest

from models.staff.agents import Agent
from tests.staff.runs.plans import buffers, explain, listening, nodes, scans
from tests.world import World, now, stored

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROWS = 30_000
RUNS = """
INSERT INTO runs (id, workspace_id, agent_id, trigger_type, status, prompt, lease, frames, waited,
    parks, data, created_at, started_at, finished_at)
SELECT 'r' || n, $1, CASE WHEN n % 1000 = 0 THEN $3 ELSE $2 END, CASE WHEN n % 1000 = 1 THEN 'CRON' ELSE 'USER' END,
    CASE WHEN n % 1000 = 2 THEN 'FAILED' ELSE 'COMPLETED' END, '', 1, 0, 0, 0,
    jsonb_build_object('tags', CASE WHEN n % 1000 = 3 THEN '["rare", "chat"]' ELSE '["chat"]' END::jsonb),
    now() - n * interval '10 minutes', now() - n * interval '10 minutes',
    now() - n * interval '10 minutes' + interval '1 minute'
FROM generate_series(1, $4) n
"""
FRAMES = """
INSERT INTO run_frames (workspace_id, chat_id, seq, run_id, agent_id, type, payload, created_at)
SELECT $1, $2, n, $3, $4, 'chat_event', '{"type": "text", "content": "x"}', now() - n * interval '1 second'
    FROM generate_series(1, $5) n
"""


@pytest.fixture(scope="module")
async def busy(world: World) -> tuple[Agent, Agent]:
    """The agent of most runs, and one of few."""
    agents = [Agent(workspace_id=world.workspace.id, name="Hand", slug=slug) for slug in ("busy", "idle")]
    await world.add(*agents)
    many, few = agents
    await world.database.execute(RUNS, world.workspace.id, many.id, few.id, ROWS)
    chat = "INSERT INTO chats SELECT * FROM jsonb_populate_record(NULL::chats, $1)"
    row = {
        "id": "long",
        "workspace_id": world.workspace.id,
        "agent_id": many.id,
        "mode": "CHAT",
        "status": "ACTIVE",
        "visibility": "private",
    }
    times = dict.fromkeys(("created_at", "updated_at", "started_at", "last_activity_at"), now().isoformat())
    await world.database.execute(chat, row | times | {"message_count": 0, "last_seq": ROWS, "last_message_seq": 0})
    await world.database.execute(FRAMES, world.workspace.id, "long", "r1", many.id, ROWS)
    columns = stored(Agent)
    copies = (
        "SELECT (jsonb_populate_record(a, jsonb_build_object('id', 'a' || n, 'slug', 'a' || n))).*"
        " FROM agents a, generate_series(1, 3000) n WHERE id = $1"
    )
    await world.database.execute(f"INSERT INTO agents ({columns}) SELECT {columns} FROM ({copies}) AS made", few.id)
    for table in ("runs", "run_tags", "run_frames", "agents"):
        await world.database.execute(f"ANALYZE {table}")
    return many, few


async def plans(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, table: str, **query: Any
) -> list[dict[str, Any]]:
    with listening(monkeypatch) as sent:
        async with world.client(world.viewer) as client:
            answer = await client.get(f"/api/v1{path}", params={"workspace_id": world.workspace.id} | query)
        assert answer.status_code == 200, answer.text
    found = await explain(world, sent, table)
    assert found
    return found


@pytest.mark.parametrize(
    ("narrowed", "index"),
    [
        ({"status": "FAILED"}, "runs_status_list_idx"),
        ({"status": "RUNNING"}, "runs_status_list_idx"),
        ({"trigger": "CRON"}, "runs_trigger_type_list_idx"),
        ({"agent_id": "few"}, "runs_agent_id_list_idx"),
        ({"tag": "rare"}, "runs_pkey"),
    ],
)
async def test_a_narrowed_list_of_runs(
    world: World, busy: Any, monkeypatch: pytest.MonkeyPatch, narrowed: dict[str, str], index: str
) -> None:
    narrowed = {key: busy[1].id if value == "few" else value for key, value in narrowed.items()}
    found = await plans(world, monkeypatch, "/runs", "runs", **narrowed)
    assert buffers(found) < 1500, (buffers(found), scans(found, "runs"))
    assert not [scan for scan in scans(found, "runs") if scan.startswith("Seq")]


async def test_the_counters_of_runs(world: World, busy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(monkeypatch) as sent:
        document = "query($ws: ID!) { runStats(workspaceId: $ws) { running today failed } }"
        assert (await world.graphql(world.viewer, document))["data"]["runStats"]["running"] == 0
    found = await explain(world, sent, "runs")
    assert buffers(found) < 400, (buffers(found), scans(found, "runs"))


async def test_insights_read_the_window_once(world: World, busy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await plans(world, monkeypatch, "/runs/insights", "runs", window="30d")
    assert len(found) == 1
    assert scans(found, "runs") == {"Index Scan runs_list_idx"}
    assert sum(node.get("Relation Name") == "runs" for node in nodes(found[0])) == 1


async def test_a_list_of_runs_goes_by_its_index(world: World, busy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page itself; how many there are in all is counted."""
    document = (
        "query($ws: ID!, $after: String) { runs(workspaceId: $ws, first: 20, after: $after) {"
        " nodes { id } pageInfo { endCursor } } }"
    )
    with listening(monkeypatch) as sent:
        page = (await world.graphql(world.viewer, document, {"after": None}))["data"]["runs"]
    found = await explain(world, sent, "runs")
    assert scans(found, "runs") <= {"Index Scan runs_list_idx", "Index Only Scan runs_list_idx"}
    assert buffers(found) < 100
    assert len(page["nodes"]) == 20


@pytest.mark.parametrize(
    ("chosen", "index"),
    [("newest", "runs_list_idx"), ("oldest", "runs_list_idx"), ("ended", "runs_ended_list_idx")],
)
async def test_runs_in_an_order_go_by_its_index(
    world: World, busy: Any, monkeypatch: pytest.MonkeyPatch, chosen: str, index: str
) -> None:
    """Filters that were not sent let all rows through, and PostgreSQL expects that."""
    document = (
        f"query($ws: ID!, $after: String) {{ findRuns(workspaceId: $ws, first: 20, after: $after, sort: {chosen}) {{"
        " nodes { id } pageInfo { endCursor } } }"
    )
    with listening(monkeypatch) as sent:
        page = (await world.graphql(world.viewer, document, {"after": None}))["data"]["findRuns"]
    found = await explain(world, sent, "runs")
    assert scans(found, "runs") <= {f"Index Scan {index}", f"Index Only Scan {index}"}
    assert buffers(found) < 100
    assert len(page["nodes"]) == 20


async def test_a_search_of_runs_reads_no_others(world: World, busy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(monkeypatch) as sent:
        document = 'query($ws: ID!) { findRuns(workspaceId: $ws, first: 20, search: "nowhere") { nodes { id } } }'
        assert (await world.graphql(world.viewer, document))["data"]["findRuns"]["nodes"] == []
    found = await explain(world, sent, "runs")
    assert scans(found, "runs") <= {"Index Scan runs_list_idx", "Index Only Scan runs_list_idx"}


@pytest.mark.parametrize("offset", [0, ROWS - 100])
async def test_a_page_of_a_log(world: World, busy: Any, monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    found = await plans(world, monkeypatch, f"/agents/{busy[0].id}/logs", "run_frames", offset=offset)
    ways = {way.partition("_chat_i")[0] for way in scans(found, "run_frames")}  # cut off at some length
    assert ways == {"Index Scan run_frames_workspace_id_agent_id_created_at"}
    assert not [node for plan in found for node in nodes(plan) if "Sort" in node["Node Type"]]
    assert buffers(found) < (1000 if offset == 0 else 200_000)


async def test_a_list_of_agents_goes_by_its_index(world: World, busy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (
        "query($ws: ID!, $after: String) { agents(workspaceId: $ws, first: 20, after: $after) {"
        " nodes { id } pageInfo { endCursor } } }"
    )
    with listening(monkeypatch) as sent:
        await world.graphql(world.viewer, document, {"after": None})
    found = await explain(world, sent, "agents")
    assert scans(found, "agents") <= {"Index Scan agents_list_idx", "Index Only Scan agents_list_idx"}
    assert not [node for plan in found for node in nodes(plan) if "Sort" in node["Node Type"]]
    assert buffers(found) < 100
