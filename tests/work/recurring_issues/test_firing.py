"""What becomes of a recurring issue that is due: one issue with all that issues have, and a next time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from models.staff.crews import Crew
from models.work.labels import Label
from models.work.projects import Project
from models.work.recurring_issues import RecurringIssue
from resolvers.kernel.background import clocks
from resolvers.kernel.background.clocks import CLOCKS, across_workspaces
from resolvers.work.recurring_issues import firing
from resolvers.work.recurring_issues.firing import FIRE, LOOK, labels_in, look
from tests.every import each_of
from tests.work.missions.conftest import harbour
from tests.work.missions.harbour import Berth, Harbour
from tests.world import now

__all__ = ["harbour"]
pytestmark = pytest.mark.anyio
PAST = datetime(2026, 1, 5, 9, tzinfo=UTC)  # a Monday
UNFINISHED = (
    "SELECT count(*) FROM dbos.workflow_status WHERE name = $1 AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
)


async def template(berth: Berth, **fields: Any) -> RecurringIssue:
    given = {"title": "Caulk", "cron_expression": "0 9 * * 1", "next_run": PAST, "created_by": berth.estate.user_id}
    made = RecurringIssue(**{"crew_id": berth.crew.id, "workspace_id": berth.estate.workspace.id} | given | fields)
    await berth.estate.add(made)
    return made


async def fired(berth: Berth, at: datetime | None = None) -> None:
    """A look, and whatever it has begun."""
    await look(across_workspaces, at or now())
    async with asyncio.timeout(30):
        while await berth.estate.owner.fetchval(UNFINISHED, FIRE.name):
            await asyncio.sleep(0.02)


async def row(berth: Berth, made: RecurringIssue) -> dict[str, Any]:
    return dict(await berth.estate.owner.fetchrow("SELECT * FROM recurring_issues WHERE id = $1", made.id))


async def issues(berth: Berth, crew: Crew | None = None) -> list[dict[str, Any]]:
    sql = "SELECT * FROM missions WHERE crew_id = $1 AND mission_type = 'issue' ORDER BY number"
    return [dict(found) for found in await berth.estate.owner.fetch(sql, (crew or berth.crew).id)]


def test_the_clock_ticks_every_half_minute() -> None:
    assert CLOCKS[LOOK.name].every == timedelta(seconds=30)


@pytest.mark.slow
async def test_what_is_due_becomes_an_issue_with_all_that_issues_have(harbour: Harbour) -> None:
    berth = await harbour.crew()
    await berth.issue()
    await berth.estate.owner.execute("UPDATE crews SET issue_counter = 1 WHERE id = $1", berth.crew.id)
    here = {"workspace_id": berth.estate.workspace.id}
    label, project = (
        Label(name=f"l-{berth.crew.slug}", color="red", **here),
        Project(name="P", slug=berth.crew.slug, **here),
    )
    await berth.estate.add(label, project)
    made = await template(
        berth,
        description="All seams",
        priority="high",
        project_id=project.id,
        assignee_type="agent",
        assignee_id=berth.worker.id,
        labels_json=orjson.dumps([label.id, "unknown", label.id, 7]).decode(),
    )
    await fired(berth)
    _, issue = await issues(berth)
    assert issue.items() >= {
        "title": "Caulk", "description": "All seams", "priority": "high", "project_id": project.id,
        "assignee_type": "agent", "assignee_id": berth.worker.id, "lead_agent_id": berth.lead.id, "number": 2,
        "identifier": f"{berth.crew.issue_prefix}-2", "status": "BACKLOG", "authored_via": "recurring",
        "created_by_type": "user", "created_by_id": berth.estate.user_id,
    }.items()  # fmt: skip
    tied = await berth.estate.owner.fetch("SELECT label_id FROM issue_labels WHERE mission_id = $1", issue["id"])
    assert [tie[0] for tie in tied] == [label.id]
    told = [
        payload
        for type, payload in await berth.estate.events(f"workspace:{here['workspace_id']}")
        if type == "issue.created"
    ]
    assert told[-1] == {"id": issue["id"], "identifier": issue["identifier"], "title": "Caulk"}
    after = await row(berth, made)
    assert (after["run_count"], after["version"], after["enabled"]) == (1, 1, True)
    assert after["last_run"] <= now() < after["next_run"]
    assert (after["next_run"].weekday(), after["next_run"].hour) == (0, 9)


async def test_whatever_was_missed_is_one(harbour: Harbour) -> None:
    berth = await harbour.crew()
    made = await template(berth, cron_expression="*/5 * * * *")
    await fired(berth)
    await fired(berth)
    assert len(await issues(berth)) == 1
    later = (await row(berth, made))["next_run"]
    assert later - now() <= timedelta(minutes=5)
    await fired(berth, later - timedelta(seconds=1))
    assert len(await issues(berth)) == 1
    await fired(berth, later)
    assert (len(await issues(berth)), (await row(berth, made))["run_count"]) == (1, 1)  # a clock of a job is behind


async def test_what_is_disabled_or_of_the_future_or_of_a_deleted_workspace_is_not_made(harbour: Harbour) -> None:
    berth = await harbour.crew()
    for fields in ({"enabled": False}, {"next_run": now() + timedelta(hours=1)}, {"next_run": None}):
        await template(berth, **fields)
    await fired(berth)
    assert await issues(berth) == []
    await template(berth)
    deleted = "UPDATE workspaces SET deleted_at = $2 WHERE id = $1"
    await berth.estate.owner.execute(deleted, berth.estate.workspace.id, now())
    await fired(berth)
    await berth.estate.owner.execute(deleted, berth.estate.workspace.id, None)
    assert await issues(berth) == []
    await fired(berth)
    assert len(await issues(berth)) == 1


async def test_what_is_enabled_again_after_its_time_is_made_once(harbour: Harbour) -> None:
    berth = await harbour.crew()
    made = await template(berth, enabled=False)
    await fired(berth)
    await berth.estate.owner.execute("UPDATE recurring_issues SET enabled = true WHERE id = $1", made.id)
    await fired(berth)
    await fired(berth)
    assert len(await issues(berth)) == 1


@pytest.mark.parametrize(
    "fields", [{"cron_expression": "every monday"}, {"cron_expression": "0 0 30 2 *"}, {"time_zone": "Mars/Phobos"}]
)
async def test_a_schedule_that_can_no_longer_be_read_is_disabled(harbour: Harbour, fields: dict[str, Any]) -> None:
    berth = await harbour.crew()
    made = await template(berth, **fields)
    await fired(berth)
    after = await row(berth, made)
    assert (after["enabled"], after["next_run"], after["run_count"]) == (False, None, 0)
    assert await issues(berth) == []
    told = await berth.estate.events(f"workspace:{berth.estate.workspace.id}")
    assert ("recurring_issue.updated", {"id": made.id}) in told


async def _without_lead(berth: Berth) -> dict[str, Any]:
    await berth.estate.owner.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", berth.lead.id)
    return {}


async def _without_crew(berth: Berth) -> dict[str, Any]:
    await berth.estate.owner.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", berth.crew.id)
    return {}


async def _given_to_nobody(berth: Berth) -> dict[str, Any]:
    return {"assignee_type": "user", "assignee_id": "cgone"}


@pytest.mark.parametrize("spoil", [_without_lead, _without_crew, _given_to_nobody])
async def test_one_that_is_refused_is_left_out_and_the_next_one_is_due(
    harbour: Harbour, spoil: Callable[[Berth], Any]
) -> None:
    berth = await harbour.crew()
    made = await template(berth, **await spoil(berth))
    await fired(berth)
    after = await row(berth, made)
    assert (after["enabled"], after["run_count"], after["last_run"]) == (True, 0, None)
    assert after["next_run"] > now()
    assert await issues(berth) == []


async def test_one_that_fails_again_and_again_is_left_out(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(ctx: Any, recurring: Any) -> None:
        raise ValueError("a text of a tenant")

    berth = await harbour.crew()
    made = await template(berth)
    monkeypatch.setattr(firing, "_make", fails)
    monkeypatch.setattr("runtime.engine.background.FIRST_PAUSE", 0.01)
    await fired(berth)
    after = await row(berth, made)
    assert (after["run_count"], after["next_run"] > now()) == (0, True)


async def test_crews_of_one_prefix_count_on(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.engine.background.FIRST_PAUSE", 0.01)
    one, other = await harbour.crew(), await harbour.crew()
    await one.estate.owner.execute(
        "UPDATE crews SET issue_prefix = $1 WHERE id = $2", one.crew.issue_prefix, other.crew.id
    )
    for berth in (one, other, one, other):
        await template(berth)
    await fired(one)
    found = [*await issues(one), *await issues(other)]
    assert sorted(issue["identifier"] for issue in found) == [f"{one.crew.issue_prefix}-{n}" for n in range(1, 5)]


async def test_more_than_a_portion_is_due_at_once(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "PORTION", 3)
    berth = await harbour.crew()
    for number in range(8):
        await template(berth, title=f"Number {number}", next_run=PAST + timedelta(days=number // 2))
    await fired(berth)
    assert sorted(issue["title"] for issue in await issues(berth)) == [f"Number {number}" for number in range(8)]


@each_of("text", [None, "", "no json", "{}", "7", '"x"', "[[1], {}, null]", "[" * 2000])
def test_labels_that_cannot_be_read_are_none(text: str | None) -> None:
    assert labels_in(text) == []
