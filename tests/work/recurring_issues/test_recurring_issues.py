"""Recurring issues on both surfaces: what is stored, what is refused, and when the next one is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from resolvers.instance.running import instance
from tests.work.issues.board import UNKNOWN, Board, word
from tests.world import World

pytestmark = pytest.mark.anyio
RECURRING = "/api/v1/recurring-issues"
NOW = datetime(2026, 3, 2, 10, 30, 15, tzinfo=UTC)  # a Monday
EDGES = """query($ws: ID) { workspace(id: $ws) { recurringIssues {
    title creator { fullName } crew { name recurringIssues { title } } project { recurringIssues { title } }
    assignee { ... on Agent { name } } } } }"""


@pytest.fixture(autouse=True)
def monday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(instance.clock), "now", lambda self: NOW)


async def made(board: Board, **fields: Any) -> dict[str, Any]:
    sent = {"crew_id": board.crew.id, "title": word(), "cron_expression": "0 9 * * 1", **fields}
    answer = await board.ask("POST", RECURRING, sent)
    assert answer.status_code == 201, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def change(board: Board, row: dict[str, Any], **fields: Any) -> Any:
    return await board.ask("PATCH", f"{RECURRING}/{row['id']}", fields)


async def changed(board: Board, row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await change(board, row, **fields)
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def test_a_recurring_issue_lives(board: Board) -> None:
    since = await board.since()
    row = await made(board, title="Weekly", enabled=False)
    assert row == {"id": row["id"], "created_at": row["created_at"], "crew_id": board.crew.id, "title": "Weekly"} | {
        "description": None, "priority": "none", "project_id": None, "milestone_id": None, "assignee_type": None,
        "assignee_id": None, "labels_json": None, "cron_expression": "0 9 * * 1", "enabled": True,
        "next_run": "2026-03-09T09:00:00Z", "last_run": None, "run_count": 0,
    }  # fmt: skip
    named = row | {"crew_name": board.crew.name}
    assert await board.read(RECURRING, crew_id=board.crew.id) == [named]
    assert await changed(board, row, enabled=False, title="Monthly") == named | {"enabled": False, "title": "Monthly"}
    assert (await changed(board, row, cron_expression="30 6 1 * *"))["next_run"] == "2026-04-01T06:30:00Z"
    assert (await board.ask("DELETE", f"{RECURRING}/{row['id']}")).status_code == 403
    gone = await board.ask("DELETE", f"{RECURRING}/{row['id']}", None, board.world.admin)
    assert (gone.status_code, await board.read(RECURRING, crew_id=board.crew.id)) == (204, [])
    told = [("created", 1), ("updated", 2), ("deleted", 1)]
    expected = [(f"recurring_issue.{what}", {"id": row["id"]}) for what, times in told for _ in range(times)]
    assert await board.events(since) == expected


async def test_what_hangs_on_it_is_stored_and_unlinked(board: Board) -> None:
    project = await board.project()
    milestone, other = await board.milestone(project), await board.project()
    linked = {"project_id": project.id, "milestone_id": milestone.id}
    who = {"assignee_type": "agent", "assignee_id": board.worker.id}
    row = await made(board, description="d", priority="high", labels_json='["x"]', **linked, **who)
    assert row.items() >= {"description": "d", "labels_json": '["x"]', **linked, **who}.items()
    assert (await changed(board, row, project_id="", milestone_id="")).items() >= dict.fromkeys(linked).items()
    await changed(board, row, **linked)
    assert (await changed(board, row, project_id=other.id))["milestone_id"] is None
    await changed(board, row, **linked)
    edges = (await board.data(EDGES))["recurringIssues"]
    [found] = [edge for edge in edges if edge["title"] == row["title"]]
    below = [{"title": row["title"]}]
    assert found["crew"] == {"name": board.crew.name, "recurringIssues": below}
    assert (found["project"], found["assignee"]) == ({"recurringIssues": below}, {"name": board.worker.name})
    assert found["creator"] == {"fullName": "Manager Example"}


CRONS = ["0 9 * *", "0 0 9 * * 1", "@daily", "61 * * * *", "* * * * 8", "* * 31 2 *", "a b c d e", "0 9 L * *", "", " "]
CRONS += [
    "*/0 * * * *",
    "TZ=UTC 0 9 * * *",
    "CRON_TZ=UTC 0 9 * * *",
    "0 0 * * 7",
    "0 0 * * 1#2",
    "0 0 * * 5L",
    "5-2 * * * *",
]
CRONS += [
    "0 0 30 FEB *",
    "0 0 31 APR,JUN *",
    "* " * 5 + "*",
    "\u0661 * * * *",
    "0 9 * * 1\n0 9 * * 2",
    "x" * 5000,
    "?" * 5,
]


@pytest.mark.parametrize("cron", CRONS)
async def test_a_schedule_that_cannot_be_read_or_never_comes_is_refused(board: Board, cron: str) -> None:
    row = await made(board)
    before = await board.world.snapshot()
    sent = {"crew_id": board.crew.id, "title": "x", "cron_expression": cron}
    for answer in (await board.ask("POST", RECURRING, sent), await change(board, row, cron_expression=cron, title="x")):
        assert (answer.status_code, [*answer.json()["fields"]]) == (400, ["cron_expression"])
    assert await board.world.snapshot() == before


@pytest.mark.parametrize(
    "cron", ["0 9 * * MON-FRI", " 0 9 * * * ", "*/5 0-3,22 1 jan Sun", "0 0 29 2 *", "5/15 * * * *"]
)
async def test_names_lists_ranges_steps_and_blanks_are_fine(board: Board, cron: str) -> None:
    row = await made(board, cron_expression=cron)
    assert row["cron_expression"] == cron
    assert row["next_run"] > "2026-03-02T10:30"


@pytest.mark.parametrize(
    "body",
    [
        {"title": ""},
        {"title": 1},
        {"title": "x" * 601},
        {"crew_id": ""},
        {"crew_id": UNKNOWN},
        {"crew_id": None, "title": None, "cron_expression": None},
        {"project_id": UNKNOWN},
        {"milestone_id": UNKNOWN},
        {"assignee_id": UNKNOWN},
        {"assignee_type": "user", "assignee_id": UNKNOWN},
        {"time_zone": "Mars/Phobos"},
        {"time_zone": "../../etc/passwd"},
        {"time_zone": "localtime"},
        {"time_zone": "Europe"},
        {"priority": 1},
        {"labels_json": ["x"]},
    ],
)
async def test_bad_input_is_refused_and_writes_nothing(board: Board, body: dict[str, Any]) -> None:
    row = await made(board)
    before = await board.world.snapshot()
    sent = {"crew_id": board.crew.id, "title": "x", "cron_expression": "0 9 * * 1"} | body
    assert (await board.ask("POST", RECURRING, sent)).status_code == 400
    assert (await change(board, row, **body)).status_code == 400
    assert (await change(board, row, enabled="yes")).status_code == 400
    assert await board.world.snapshot() == before


async def test_ids_of_another_workspace_are_unknown(world: World, board: Board) -> None:
    theirs = await Board.of(world, world.other)
    project = await theirs.project()
    row, own = await made(board), await board.project()
    milestone = await board.milestone(own)
    before = await world.snapshot()
    for body in (
        {"crew_id": theirs.crew.id},
        {"project_id": project.id},
        {"assignee_id": theirs.worker.id},
        {"milestone_id": milestone.id, "project_id": (await theirs.project()).id},
    ):
        assert (await change(board, row, **body)).status_code == 400
    other = await board.project()
    for body in ({"milestone_id": milestone.id, "project_id": other.id},):
        assert (await change(board, row, **body)).status_code == 400
    assert (await theirs.ask("PATCH", f"{RECURRING}/{row['id']}", {"title": "x"})).status_code == 404
    assert (await theirs.ask("DELETE", f"{RECURRING}/{row['id']}")).status_code == 404
    after = await world.snapshot()
    assert after | {"projects": ""} == before | {"projects": ""}


async def test_a_time_zone_moves_the_next_time_and_can_be_taken_away(board: Board) -> None:
    row = await made(board, time_zone="America/New_York")
    assert (row["time_zone"], row["next_run"]) == ("America/New_York", "2026-03-02T14:00:00Z")
    assert (await changed(board, row, time_zone="Asia/Kolkata"))["next_run"] == "2026-03-09T03:30:00Z"
    without = await changed(board, row, time_zone="")
    assert "time_zone" not in without
    assert without["next_run"] == "2026-03-09T09:00:00Z"


async def test_nothing_but_the_schedule_moves_the_next_time(board: Board) -> None:
    row = await made(board)
    past = datetime(2026, 1, 1, tzinfo=UTC)
    await board.world.database.execute("UPDATE recurring_issues SET next_run = $1 WHERE id = $2", past, row["id"])
    for fields in ({"enabled": False}, {"enabled": True}, {"title": "x"}, {"crew_id": board.crew.id}):
        assert (await changed(board, row, **fields))["next_run"] == "2026-01-01T00:00:00Z"


async def test_the_name_of_a_crew_that_is_gone_is_not_told(board: Board) -> None:
    row = await made(board)
    await board.world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", board.crew.id)
    [found] = await board.read(RECURRING, crew_id=board.crew.id)
    assert "crew_name" not in found
    assert found["id"] == row["id"]
