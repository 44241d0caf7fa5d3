"""Charts: buckets without gaps, what is counted in which, and what a chart cannot be made of."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import RunStatus
from models.work.missions import Mission, MissionStatus, MissionType
from tests.staff.runs.logbook import agent_of, crew_of, get, run_of
from tests.world import World, now

pytestmark = pytest.mark.anyio
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    await world.database.execute("DELETE FROM runs")
    await world.database.execute("DELETE FROM missions")


async def chart(world: World, metric: str, **query: str) -> dict[str, Any]:
    found: dict[str, Any] = await get(world, "/metrics/timeseries", metric=metric, **query)
    return found


def series(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The buckets that hold something."""
    return {bucket["ts"]: bucket["series"] for bucket in found["buckets"] if any(bucket["series"].values())}


def start(time: datetime, width: timedelta) -> str:
    """Of the bucket that a time falls in."""
    since = (time - datetime(1970, 1, 1, tzinfo=UTC)) // width
    return (datetime(1970, 1, 1, tzinfo=UTC) + since * width).strftime("%Y-%m-%dT%H:%M:%SZ")


async def mission_of(world: World, crew: Crew, lead: Agent, **values: Any) -> None:
    at_hand = {"trace_id": new_id(), "title": "Leak", "workspace_id": world.workspace.id}
    await world.add(Mission(crew_id=crew.id, lead_agent_id=lead.id, **(at_hand | values)))


async def issue_of(world: World, crew: Crew, lead: Agent, **values: Any) -> None:
    name = new_id()
    given = {"mission_type": MissionType.issue, "number": 1, "identifier": name}
    await mission_of(world, crew, lead, **(given | values))


@pytest.mark.parametrize(
    ("window", "bucket", "count"),
    [("24h", "15m", 96), ("24h", "1h", 24), ("7d", "1h", 168), ("7d", "1d", 7), ("30d", "1d", 30)],
)
async def test_buckets_have_no_gaps_and_end_now(world: World, window: str, bucket: str, count: int) -> None:
    width = {"15m": timedelta(minutes=15), "1h": HOUR, "1d": DAY}[bucket]
    for metric in ("issues_closed", "cost_usd", "runs_count", "active_missions"):
        before = now()
        found = await chart(world, metric, window=window, bucket=bucket)
        shown = [item["ts"] for item in found["buckets"]]
        asked = {"metric": metric, "window": window, "bucket": bucket, "group_by": "none"}
        assert found == asked | {"series_labels": {"total": "Total"}, "buckets": found["buckets"]}
        assert shown[-1] in (start(before, width), start(now(), width))
        times = [datetime.fromisoformat(ts) for ts in shown]
        assert times == [times[-1] - width * (count - 1 - n) for n in range(count)]
        assert [item["series"] for item in found["buckets"]] == [{"total": 0.0}] * count


async def test_runs_by_the_hour_and_by_crew(world: World) -> None:
    deck = await crew_of(world, name="Deck")
    cook, mate = await agent_of(world, name="Cook"), await agent_of(world, name="Mate", crew_id=deck.id)
    foreign = await agent_of(world, workspace_id=world.other.id)
    today, before = now(), now() - 5 * HOUR
    for agent, began in ((cook, today), (mate, today), (mate, before), (mate, before), (mate, now() - 2 * DAY)):
        await run_of(world, agent, created_at=began - 3 * HOUR, started_at=began)
    await run_of(world, cook, RunStatus.RUNNING, created_at=before)  # waits still
    await run_of(world, foreign, started_at=before)
    found = series(await chart(world, "runs_count"))
    assert found == {start(before, HOUR): {"total": 2.0}, start(today, HOUR): {"total": 2.0}}
    grouped = await chart(world, "runs_count", group_by="crew")
    assert series(grouped) == {
        start(before, HOUR): {deck.id: 2.0},
        start(today, HOUR): {deck.id: 1.0, "unassigned": 1.0},
    }
    assert grouped["series_labels"] == {deck.id: "Deck", "unassigned": "Unassigned"}
    assert grouped["buckets"][0]["series"] == {}


async def test_issues_that_were_closed(world: World) -> None:
    deck, lead = await crew_of(world, name="Deck"), await agent_of(world)
    done = now() - 2 * HOUR
    for status in (MissionStatus.DONE, MissionStatus.COMPLETED, MissionStatus.REVIEW, MissionStatus.FAILED):
        await issue_of(world, deck, lead, status=status, completed_at=done)
    await issue_of(world, deck, lead, status=MissionStatus.DONE, completed_at=now() - 3 * DAY)
    await issue_of(world, deck, lead, status=MissionStatus.DONE)
    await mission_of(world, deck, lead, status=MissionStatus.COMPLETED, completed_at=done)
    at = start(done, HOUR)
    assert series(await chart(world, "issues_closed")) == {at: {"total": 3.0}}
    by_crew = await chart(world, "issues_closed", group_by="crew")
    assert series(by_crew) == {at: {deck.id: 3.0}}
    assert by_crew["series_labels"] == {deck.id: "Deck"}
    by_status = await chart(world, "issues_closed", group_by="status")
    assert series(by_status) == {at: {"DONE": 1.0, "COMPLETED": 1.0, "REVIEW": 1.0}}


async def test_what_missions_cost_by_model(world: World) -> None:
    deck = await crew_of(world)
    large, other = await agent_of(world, llm_model="large"), await agent_of(world)
    at = now() - 4 * HOUR
    for lead, cost in ((large, 1.5), (large, 0.25), (other, 0.5), (other, None)):
        await mission_of(world, deck, lead, total_estimated_cost=cost, updated_at=at)
    await mission_of(world, deck, large, total_estimated_cost=9.0, updated_at=now() - 2 * DAY)
    assert series(await chart(world, "cost_usd")) == {start(at, HOUR): {"total": 2.25}}
    by_model = await chart(world, "cost_usd", group_by="model")
    assert series(by_model) == {start(at, HOUR): {"large": 1.75, "unknown": 0.5}}


async def test_missions_are_active_from_their_creation_to_their_completion(world: World) -> None:
    deck, lead = await crew_of(world), await agent_of(world)
    lives: list[tuple[int, int | None, MissionStatus]] = [
        (100, None, MissionStatus.IN_PROGRESS),  # hours ago: created, completed
        (100, 3, MissionStatus.COMPLETED),
        (100, 50, MissionStatus.COMPLETED),
        (5, 2, MissionStatus.COMPLETED),
        (4, 4, MissionStatus.COMPLETED),
        (1, None, MissionStatus.PLANNING),
    ]
    hour = now().replace(minute=0, second=0, microsecond=0)
    at = lambda ago: hour - ago * HOUR + timedelta(minutes=1)  # noqa: E731
    for begun, ended, status in lives:
        times = {"created_at": at(begun)} | ({} if ended is None else {"completed_at": at(ended)})
        await mission_of(world, deck, lead, status=status, **times)

    def alive(ago: int, *states: MissionStatus) -> float:
        """In the bucket that began so long ago: created before its end, and not completed by then."""
        chosen = [life for life in lives if not states or life[2] in states]
        return float(sum(begun >= ago and (ended is None or ended < ago) for begun, ended, _ in chosen))

    found = await chart(world, "active_missions")
    if now().replace(minute=0, second=0, microsecond=0) != hour:
        pytest.skip("the hour has changed meanwhile")
    assert [bucket["series"]["total"] for bucket in found["buckets"]] == [alive(23 - n) for n in range(24)]
    grouped = await chart(world, "active_missions", group_by="status")
    for n, bucket in enumerate(grouped["buckets"]):
        states = {status for *_, status in lives}
        assert bucket["series"] == {
            status.value: alive(23 - n, status) for status in states if alive(23 - n, status)
        }, bucket["ts"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"metric": "love"},
        {"metric": "runs_count", "window": "1y"},
        {"metric": "runs_count", "bucket": "1m"},
        {"metric": "runs_count", "group_by": "agent"},
        {"metric": "runs_count", "window": "24h", "bucket": "1d"},
        {"metric": "runs_count", "window": "7d", "bucket": "15m"},
        {"metric": "runs_count", "window": "30d", "bucket": "1h"},
        {"metric": "runs_count", "group_by": "model"},
        {"metric": "runs_count", "group_by": "status"},
        {"metric": "issues_closed", "group_by": "model"},
        {"metric": "cost_usd", "group_by": "crew"},
        {"metric": "active_missions", "group_by": "crew"},
    ],
    ids=str,
)
async def test_what_is_no_chart_is_refused(world: World, query: dict[str, str]) -> None:
    async with world.client(world.viewer) as client:
        path = "/api/v1/metrics/timeseries"
        answer = await client.get(path, params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


async def test_only_so_many_series_are_drawn(world: World) -> None:
    deck = await crew_of(world)
    for n in range(105):
        lead = await agent_of(world, llm_model=f"model-{n:03}")
        await mission_of(world, deck, lead, total_estimated_cost=float(n + 1), updated_at=now())
    found = await chart(world, "cost_usd", group_by="model")
    assert sorted(found["series_labels"]) == [f"model-{n:03}" for n in range(5, 105)]
