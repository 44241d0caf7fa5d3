"""Spending by crew, agent, mission and subscription, and by day of the journal."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.resources.costs import BillingMode, CostDay, ModelCall
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import Mission
from models.work.routine_runs import RoutineRun
from models.work.saved_routines import SavedRoutine
from resolvers.resources.costs import spend
from tests.every import each_of
from tests.resources.costs.test_budgets import crewed
from tests.world import Person, World

pytestmark = pytest.mark.anyio
DOLLAR = 1_000_000
SPEND = "/api/v1/paymaster/spend"
JOURNAL = "/api/v1/journal/spend"
NEVER = "0001-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    await world.database.execute("TRUNCATE model_calls, cost_days")


async def get(world: World, path: str, person: Person | None = None, **query: Any) -> Any:
    async with world.client(person or world.viewer) as client:
        answer = await client.get(path, params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def called(world: World, agent: Agent | None, at: datetime, micros: int | None, **more: Any) -> ModelCall:
    """A call in the ledger and in the sums of its day, as it is booked."""
    own = {"workspace_id": world.workspace.id} | {key: more.pop(key) for key in ("workspace_id",) if key in more}
    who = {"agent_id": None, "crew_id": None} if agent is None else {"agent_id": agent.id, "crew_id": agent.crew_id}
    who |= {key: more.pop(key) for key in ("crew_id",) if key in more}
    used = {"input_tokens": 10, "output_tokens": 5}
    made = {"run_id": new_id(), "step": "1", "provider": "p", "model": "m", "cost_micros": micros, "created_at": at}
    call = ModelCall(**(made | used | who | own | more))
    await world.add(call)
    day = at.astimezone(UTC).date()
    keys = {key: value or "" for key, value in who.items()}
    slot = await world.database.fetchval("SELECT count(*) FROM cost_days")
    await world.add(CostDay(day=day, model="m", slot=slot, calls=1, cost_micros=micros or 0, **used, **keys, **own))
    return call


def noon(days_ago: int) -> datetime:
    return datetime.combine(datetime.now(UTC).date() - timedelta(days_ago), time(12), UTC)


def spent(rows: list[dict[str, Any]], key: str) -> list[tuple[Any, ...]]:
    return [(row[key], row["cost_usd"], row["call_count"]) for row in rows]


async def test_nothing(world: World) -> None:
    crew, _ = await crewed(world)
    await called(world, None, datetime.now(UTC), DOLLAR, workspace_id=world.other.id)
    assert (await get(world, f"{SPEND}/by-crew"))["rows"] == []
    assert await get(world, f"{SPEND}/by-agent/{crew.id}") == {"rows": [], "crew_id": crew.id}
    assert (await get(world, "/api/v1/paymaster/top-spenders"))["rows"] == []
    assert (await get(world, "/api/v1/paymaster/subscriptions"))["rows"] == []
    assert await get(world, JOURNAL) == {
        "window": "24h", "total_cost_usd": 0, "by_agent": [], "by_routine": [], "top_routines": [], "top_runs": [],
        "truncated": False,
    }  # fmt: skip


async def test_crews_and_their_agents(world: World) -> None:
    (deck, mate), (engine, stoker) = await crewed(world), await crewed(world, "Engine")
    now = datetime.now(UTC)
    await called(world, mate, now, 2 * DOLLAR)
    await called(world, mate, now - timedelta(days=3), None)
    await called(world, stoker, now - timedelta(days=2), 5 * DOLLAR)
    await called(world, None, now, DOLLAR)
    await called(world, None, now, 1, crew_id=deck.id)
    await called(world, mate, now - timedelta(days=8), 100 * DOLLAR)
    crews = await get(world, f"{SPEND}/by-crew")
    assert spent(crews["rows"], "crew_id") == [(engine.id, 5.0, 1), (deck.id, 2.000001, 3), ("", 1.0, 1)]
    assert [(row["input_tokens"], row["output_tokens"]) for row in crews["rows"]] == [(10, 5), (30, 15), (10, 5)]
    begin, end = (datetime.fromisoformat(crews[key]) for key in ("since", "until"))
    assert end - begin == timedelta(days=7)
    agents = await get(world, f"{SPEND}/by-agent/{deck.id}")
    assert agents["crew_id"] == deck.id
    assert spent(agents["rows"], "agent_id") == [(mate.id, 2.0, 2), ("", 0.000001, 1)]
    top = await get(world, "/api/v1/paymaster/top-spenders", limit=1)
    assert (top["rows"], top["limit"]) == (
        [{"scope_kind": "agent", "scope_id": stoker.id, "cost_usd": 5.0, "call_count": 1}],
        1,
    )
    everyone = await get(world, "/api/v1/paymaster/top-spenders", until="2020-01-01T00:00:00Z")
    assert spent(everyone["rows"], "scope_id") == [(stoker.id, 5.0, 1), (mate.id, 2.0, 2)]
    assert "until" not in everyone


NOW = datetime(2026, 3, 10, 15, 30, 45, 123456, tzinfo=UTC)


@each_of(
    ("since", "until"),
    [
        (NOW, NOW + timedelta(hours=1)),
        (NOW, NOW + timedelta(days=1)),
        (NOW, datetime(2026, 3, 11, tzinfo=UTC)),
        (datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 12, tzinfo=UTC)),
        (NOW - timedelta(days=6), NOW),
        (NOW, NOW - timedelta(days=2)),
        (datetime(2026, 3, 11, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC)),
        (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)),
    ],
)
async def test_a_window_counts_each_call_once(world: World, since: datetime, until: datetime) -> None:
    """Whether its day is read from the sums or from the ledger; both ends are inclusive."""
    await empty_tables(world)
    instants = {since, until, since - timedelta(microseconds=1), until + timedelta(microseconds=1)}
    instants = {at for at in instants if 1900 < at.year < 2100}
    midnights = [datetime(2026, 3, day, tzinfo=UTC) for day in (10, 11, 12)]
    instants |= {midnight - timedelta(microseconds=microsecond) for midnight in midnights for microsecond in (0, 1)}
    for at in instants:
        await called(world, None, at, DOLLAR)
    window = {"since": since.isoformat(), "until": until.isoformat()}
    found = (await get(world, f"{SPEND}/by-crew", **window))["rows"]
    expected = sum(since <= at <= until for at in instants)
    assert spent(found, "crew_id") == ([("", float(expected), expected)] if expected else [])


async def empty_tables(world: World) -> None:
    await world.database.execute("TRUNCATE model_calls, cost_days")


async def test_whole_days_are_read_from_the_sums_of_days(world: World) -> None:
    """A ledger that has lost them changes nothing there."""
    _, mate = await crewed(world)
    for days_ago in (1, 3):
        await called(world, mate, noon(days_ago), DOLLAR)
    await world.database.execute("TRUNCATE model_calls")
    midnight = datetime.combine(date.today() - timedelta(4), time(), UTC)
    found = await get(world, f"{SPEND}/by-crew", since=midnight.isoformat())
    assert spent(found["rows"], "crew_id") == [(mate.crew_id, 2.0, 2)]


@each_of(
    ("query", "length"),
    [
        ({"range": "1h"}, timedelta(hours=1)),
        ({"range": "24h"}, timedelta(hours=24)),
        ({"range": "30d"}, timedelta(days=30)),
        ({"range": "30d", "since": "2020-01-01T00:00:00Z"}, timedelta(days=30)),
        ({"range": "5y"}, timedelta(days=7)),
        ({"range": ""}, timedelta(days=7)),
        ({"since": "yesterday"}, timedelta(days=7)),
        ({"range": "5y", "since": "9" * 5000}, timedelta(days=7)),
    ],
)
async def test_the_window(world: World, query: dict[str, str], length: timedelta) -> None:
    for path in (f"{SPEND}/by-crew", "/api/v1/paymaster/subscriptions"):
        found = await get(world, path, **query)
        begin, end = (datetime.fromisoformat(found[key]) for key in ("since", "until"))
        assert end - begin == length
        assert abs(datetime.now(UTC) - end) < timedelta(minutes=1)
    until = {"until": "2020-02-01T00:00:00Z"}
    found = await get(world, f"{SPEND}/by-crew", since="2020-01-01T00:00:00Z", **until)
    assert (found["since"], found["until"]) == ("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z")
    assert (await get(world, f"{SPEND}/by-crew", range="1h", **until))["until"] == until["until"]


@each_of(("limit", "taken"), [("1", 1), ("100", 100), ("0", 10), ("101", 10), ("x", 10), ("-5", 10), ("1e3", 10)])
async def test_a_limit_that_is_none_is_ignored(world: World, limit: str, taken: int) -> None:
    assert (await get(world, "/api/v1/paymaster/top-spenders", limit=limit))["limit"] == taken


async def test_a_mission_has_its_whole_life(world: World) -> None:
    crew, mate = await crewed(world)
    here = {"workspace_id": world.workspace.id, "crew_id": crew.id, "lead_agent_id": mate.id}
    mission, other = (Mission(title="M", trace_id=new_id(), **here) for _ in range(2))
    await world.add(mission, other)
    first, last = datetime(2020, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    for at, micros in ((last, DOLLAR), (first, None), (last - timedelta(days=1), DOLLAR)):
        await called(world, mate, at, micros, mission_id=mission.id)
    assert await get(world, f"{SPEND}/by-mission/{mission.id}") == {
        "mission_id": mission.id,
        "row": {
            "mission_id": mission.id, "cost_usd": 2.0, "call_count": 3, "input_tokens": 30, "output_tokens": 15,
            "first_ts": "2020-01-01T12:00:00Z", "last_ts": "2026-01-01T00:00:00Z",
        },
    }  # fmt: skip
    row = (await get(world, f"{SPEND}/by-mission/{other.id}"))["row"]
    assert (row["call_count"], row["first_ts"], row["last_ts"]) == (0, NEVER, NEVER)


async def test_rows_that_nobody_reaches(world: World) -> None:
    (gone, _), theirs = await crewed(world), Crew(name="Theirs", slug=new_id(), workspace_id=world.other.id)
    await world.add(theirs)
    await world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", gone.id)
    for id in ("nope", gone.id, theirs.id):
        answer = await world.rest(world.owner, "GET", f"{SPEND}/by-agent/{id}")
        assert (answer.status_code, answer.json()["error"]) == (404, "Crew not found")
    answer = await world.rest(world.owner, "GET", f"{SPEND}/by-mission/nope")
    assert answer.status_code == 404


async def test_subscriptions_are_counted_without_money(world: World) -> None:
    now, flat = datetime.now(UTC), {"billing_mode": BillingMode.flat_rate}
    for plan, provider in (("Max", "anthropic"), ("Max", "anthropic"), (None, "anthropic"), ("", "openai")):
        await called(world, None, now, 0, subscription_plan=plan, **flat | {"provider": provider})
    await called(world, None, now - timedelta(days=8), 0, subscription_plan="Max", **flat)
    await called(world, None, now, DOLLAR, subscription_plan="Max")
    found = await get(world, "/api/v1/paymaster/subscriptions")
    assert [(r["subscription_plan"], r["provider"], r["call_count"], r["input_tokens"]) for r in found["rows"]] == [
        ("Max", "anthropic", 2, 20),
        ("unknown", "anthropic", 1, 10),
        ("unknown", "openai", 1, 10),
    ]
    assert all("cost_usd" not in row and row["last_ts"] for row in found["rows"])


async def test_the_journal_counts_what_was_paid(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, mate = await crewed(world)
    now = datetime.now(UTC)
    for at, micros in ((now, DOLLAR), (now, DOLLAR), (now, None), (now, 0), (noon(2), 3 * DOLLAR)):
        await called(world, mate, at, micros)
    await called(world, None, now, 1)
    day = await get(world, JOURNAL)
    today = now.date().isoformat()
    nothing, own = {"crew_id": "", "agent_id": ""}, {"crew_id": mate.crew_id, "agent_id": mate.id}
    assert day["by_agent"] == [
        {"date": today, **nothing, "cost_usd": 0.000001, "call_count": 1},
        {"date": today, **own, "cost_usd": 2.0, "call_count": 2},
    ]
    assert (day["window"], day["total_cost_usd"], day["truncated"]) == ("24h", 2.000001, False)
    week = await get(world, JOURNAL, window="7d", top=50)
    assert (week["window"], week["total_cost_usd"]) == ("7d", 5.000001)
    assert week["by_agent"][0] == {"date": noon(2).date().isoformat(), **own, "cost_usd": 3.0, "call_count": 1}
    monkeypatch.setattr("resolvers.resources.costs.journal.MOST_ROWS", 2)
    cut = await get(world, JOURNAL, window="7d")
    assert (len(cut["by_agent"]), cut["truncated"], cut["total_cost_usd"]) == (2, True, 5.000001)


async def test_the_journal_has_routines_by_their_runs(world: World) -> None:
    here, now = {"workspace_id": world.workspace.id}, datetime.now(UTC)
    tide, ebb = [
        SavedRoutine(slug=new_id(), name=name, definition_hash="h", manifest={}, **here) for name in ("Tide", "")
    ]
    await world.add(tide, ebb)
    for routine, at, cost in (
        (tide, now, 2.0),
        (tide, now, 1.0),
        (tide, noon(2), 4.0),
        (ebb, now, 2.5),
        (ebb, now, 0.0),
    ):
        run = RoutineRun(routine_id=routine.id, definition_hash="h", cost_usd=cost, started_at=at, **here)
        await world.add(run)
    day = await get(world, JOURNAL, top=1)
    today = {"date": now.date().isoformat()}
    rows = [
        today | {"pipeline_id": each.id, "pipeline_slug": each.slug, "cost_usd": cost, "run_count": runs}
        for each, cost, runs in sorted(((tide, 3.0, 2), (ebb, 2.5, 1)), key=lambda row: row[0].slug)
    ]
    assert day["by_routine"] == rows
    assert day["top_routines"] == [{"kind": "routine", "id": tide.id, "label": "Tide", "cost_usd": 3.0}]
    [first] = day["top_runs"]
    assert (first["kind"], first["label"], first["cost_usd"]) == ("run", ebb.slug, 2.5)
    week = await get(world, JOURNAL, window="7d")
    assert [(each["label"], each["cost_usd"]) for each in week["top_routines"]] == [("Tide", 7.0), (ebb.slug, 2.5)]
    assert [each["cost_usd"] for each in week["top_runs"]] == [4.0, 2.5, 2.0, 1.0]
    assert len(week["by_routine"]) == 3


@each_of("query", [{"window": "1h"}, {"window": "x"}, {"top": "0"}, {"top": "51"}, {"top": "x"}])
async def test_the_journal_refuses_other_windows(world: World, query: dict[str, str]) -> None:
    async with world.client(world.viewer) as client:
        answer = await client.get(JOURNAL, params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["error"]


async def test_graphql_has_the_same(world: World) -> None:
    crew, mate = await crewed(world)
    await called(world, mate, datetime.now(UTC), DOLLAR)
    await called(world, mate, datetime.now(UTC), 0, billing_mode=BillingMode.flat_rate, subscription_plan="Max")
    document = """query($ws: ID!, $crew: ID!) {
        spendByCrew(workspaceId: $ws, range: "24h") { rows { crewId costUsd callCount inputTokens } since until }
        spendByAgent(workspaceId: $ws, crewId: $crew) { rows { agentId costUsd } crewId }
        topSpenders(workspaceId: $ws, limit: 3) { rows { scopeKind scopeId costUsd callCount } limit }
        subscriptionUsage(workspaceId: $ws) { rows { subscriptionPlan provider callCount lastTs } }
        journalSpend(workspaceId: $ws, window: "7d", top: 1) { totalCostUsd byAgent { date costUsd callCount } } }"""
    data = (await world.graphql(world.viewer, document, {"crew": crew.id}))["data"]
    assert data["spendByCrew"]["rows"] == [{"crewId": crew.id, "costUsd": 1.0, "callCount": 2, "inputTokens": 20}]
    assert data["spendByAgent"] == {"rows": [{"agentId": mate.id, "costUsd": 1.0}], "crewId": crew.id}
    assert data["topSpenders"]["limit"] == 3
    assert data["topSpenders"]["rows"] == [{"scopeKind": "agent", "scopeId": mate.id, "costUsd": 1.0, "callCount": 2}]
    assert [row["subscriptionPlan"] for row in data["subscriptionUsage"]["rows"]] == ["Max"]
    assert data["journalSpend"]["totalCostUsd"] == 1.0


async def test_a_window_of_many_days_reads_few_calls(world: World) -> None:
    """Of the ledger it reads the parts of the first and the last day, by an index."""
    now = datetime.now(UTC)
    parts = spend._beside_whole_days(now - timedelta(days=30), now)
    assert sum((end - begin for begin, end in parts), timedelta()) < timedelta(days=2)


async def test_plans_use_the_indexes(world: World) -> None:
    """With many calls that were free, or metered."""
    await world.database.execute(
        """INSERT INTO model_calls (id, workspace_id, run_id, step, provider, model, input_tokens, output_tokens,
            cached_input_tokens, cache_creation_tokens, cost_micros, estimated, billing_mode, created_at)
        SELECT 'c' || n, $1, 'r' || n, '1', 'p', 'm', 1, 1, 0, 0, CASE WHEN n % 50 = 0 THEN 1 END, false,
            CASE WHEN n % 50 = 1 THEN 'flat_rate' ELSE 'metered' END, now() - n * interval '1 minute'
        FROM generate_series(1, 20000) n""",
        world.workspace.id,
    )
    await world.database.execute("VACUUM ANALYZE model_calls")
    window = "workspace_id = $1 AND created_at >= now() - interval '5 days'"
    for condition, columns, index in (
        ("cost_micros > 0", "crew_id, agent_id, sum(cost_micros)", "model_calls_paid_idx"),
        ("billing_mode = 'flat_rate'", "provider, subscription_plan, sum(input_tokens)", "model_calls_flat_idx"),
    ):
        statement = f"EXPLAIN SELECT {columns} FROM model_calls WHERE {window} AND {condition} GROUP BY 1, 2"
        plan = "\n".join(row[0] for row in await world.database.fetch(statement, world.workspace.id))
        assert f"Index Only Scan using {index}" in plan, plan
