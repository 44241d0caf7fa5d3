"""Triage rules on both surfaces: what is stored, what is refused, what they do to a backlog and to new issues."""

import time
from typing import Any

import pytest

from models.work.missions import MissionStatus
from models.work.triage_rules import MatchType, TriageRule
from resolvers.work.triage_rules import processing
from resolvers.work.triage_rules.matching import Matcher
from tests.work.issues.board import UNKNOWN, Board, word
from tests.world import World

pytestmark = pytest.mark.anyio
RULES, PROCESS = "/api/v1/triage-rules", "/api/v1/triage/process"
CREATE_ISSUE = "mutation($ws: ID, $in: CreateIssueInput!) { createIssue(workspaceId: $ws, input: $in) { %s } }"


@pytest.fixture(autouse=True)
async def no_rules(world: World) -> None:
    await world.database.execute("DELETE FROM triage_rules")
    await world.database.execute("DELETE FROM missions")


async def made(board: Board, pattern: str, match_type: str = "contains", **fields: Any) -> dict[str, Any]:
    sent = {"name": word(), "pattern": pattern, "match_type": match_type, **fields}
    answer = await board.ask("POST", RULES, sent)
    assert answer.status_code == 201, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def change(board: Board, rule: dict[str, Any], **fields: Any) -> Any:
    return await board.ask("PATCH", f"{RULES}/{rule['id']}", fields)


async def processed(board: Board) -> tuple[int, int]:
    answer = await board.ask("POST", PROCESS)
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()["processed"], answer.json()["matched"]


async def test_a_rule_lives(board: Board) -> None:
    since = await board.since()
    rule = await made(board, "bug", enabled=False, position=99)
    assert rule == {key: rule[key] for key in ("id", "name", "created_at")} | {
        "pattern": "bug", "match_type": "contains", "crew_id": None, "assignee_id": None, "priority": None,
        "project_id": None, "labels_json": None, "position": 1, "enabled": True, "on_create": False, "match_count": 0,
    }  # fmt: skip
    second = await made(board, "x", "exact")
    assert second["position"] == 2
    changed = (await change(board, rule, position=50, priority="low", crew_id=board.crew.id, name="")).json()
    assert changed == rule | {"position": 50, "priority": "low", "crew_id": board.crew.id, "name": ""}
    assert await board.read(RULES) == [second, changed]
    cleared = (await change(board, rule, crew_id="", assignee_id="", project_id="", priority="")).json()
    assert (cleared["crew_id"], cleared["priority"]) == (None, "")
    assert (await board.ask("DELETE", f"{RULES}/{rule['id']}")).status_code == 403
    assert (await board.ask("DELETE", f"{RULES}/{rule['id']}", None, board.world.admin)).status_code == 204
    told = [("created", rule), ("created", second), ("updated", rule), ("updated", rule), ("deleted", rule)]
    assert await board.events(since) == [(f"triage_rule.{what}", {"id": row["id"]}) for what, row in told]


BROKEN = ["(unclosed", "(?=a)b", r"(a)\1", "a{1001}", "(a{1000}){1000}", r"(\pL{1,200}){200}", "*"]


@pytest.mark.parametrize("pattern", BROKEN)
async def test_a_pattern_that_is_no_regex_is_refused_whichever_of_the_two_is_sent(board: Board, pattern: str) -> None:
    plain, regex = await made(board, pattern), await made(board, "x", "regex")
    before = await board.world.snapshot()
    sent = {"name": "x", "pattern": pattern, "match_type": "regex"}
    for answer in (
        await board.ask("POST", RULES, sent),
        await change(board, plain, match_type="regex"),
        await change(board, regex, pattern=pattern),
    ):
        assert (answer.status_code, [*answer.json()["fields"]]) == (400, ["pattern"])
    assert await board.world.snapshot() == before


@pytest.mark.parametrize(
    "body",
    [
        {"pattern": ""},
        {"pattern": "x" * 1001},
        {"match_type": "glob"},
        {"crew_id": UNKNOWN},
        {"assignee_id": UNKNOWN},
        {"project_id": UNKNOWN},
        {"on_create": 1},
        {"name": 1},
    ],
)
async def test_bad_input_is_refused_and_writes_nothing(board: Board, body: dict[str, Any]) -> None:
    rule = await made(board, "x")
    before = await board.world.snapshot()
    assert (
        await board.ask("POST", RULES, {"name": "x", "pattern": "x", "match_type": "exact"} | body)
    ).status_code == 400
    for fields in (body, {"position": "1"}, {"enabled": 1}, {}, {"name": None}):
        assert (await change(board, rule, **fields)).status_code == 400
    assert await board.world.snapshot() == before


async def test_rows_of_another_workspace_are_unknown(world: World, board: Board) -> None:
    theirs, rule = await Board.of(world, world.other), await made(board, "x")
    for body in ({"crew_id": theirs.crew.id}, {"assignee_id": theirs.worker.id}):
        assert (await change(board, rule, **body)).status_code == 400
    assert (await theirs.ask("PATCH", f"{RULES}/{rule['id']}", {"name": "x"})).status_code == 404


async def test_the_first_rule_that_matches_the_title_holds(board: Board) -> None:
    other = await Board.of(board.world)
    project = await board.project()
    issues = {title: await board.create(title) for title in ("A BUG here", "crash at once", "Exactly", "exactly", "x")}
    gone = await board.create("a bug, given", assignee_type="agent", assignee_id=board.lead.id)
    begun = await board.in_state(MissionStatus.TODO, title="a bug, begun")
    rules = [
        await made(board, "bug", crew_id=other.crew.id, assignee_id=other.worker.id, labels_json='["x"]'),
        await made(board, "bug", priority="low"),
        await made(board, r"(?i)^CRASH|\p{Greek}", "regex", project_id=project.id, priority="urgent"),
        await made(board, "Exactly", "exact", priority="high"),
    ]
    await change(board, await made(board, "x", priority="never"), enabled=False)
    since = await board.since()
    assert await processed(board) == (5, 3)
    assert await board.events(since) == [("triage.processed", {"processed": "5", "matched": "3"})]
    found = {title: await board.row(issue) for title, issue in issues.items()}
    bug, crash = found["A BUG here"], found["crash at once"]
    assert (bug["crew_id"], bug["assignee_type"], bug["assignee_id"]) == (other.crew.id, "agent", other.worker.id)
    assert (bug["priority"], bug["lead_agent_id"], bug["identifier"]) == (
        "none",
        board.lead.id,
        issues["A BUG here"]["identifier"],
    )
    assert (crash["project_id"], crash["priority"], crash["assignee_id"]) == (project.id, "urgent", None)
    assert [found[title]["priority"] for title in ("Exactly", "exactly", "x")] == ["high", "none", "none"]
    assert [(await board.row(issue))["priority"] for issue in (gone, begun)] == ["none", "none"]
    counts = {rule["id"]: rule["match_count"] for rule in await board.read(RULES)}
    assert [counts[rule["id"]] for rule in rules] == [1, 0, 1, 1]
    # what has no assignee matches again
    assert await processed(board) == (4, 2)


async def test_without_rules_nothing_is_processed_and_nobody_is_told(board: Board) -> None:
    await board.create("a bug")
    since = await board.since()
    assert await processed(board) == (0, 0)
    await made(board, "nothing has this")
    assert await processed(board) == (1, 0)
    assert [type for type, _ in await board.events(since)] == ["triage_rule.created"]
    assert (await board.ask("POST", PROCESS, None, board.world.member)).status_code == 403


async def test_what_was_deleted_is_not_given_and_a_broken_regex_is_skipped(board: Board) -> None:
    other, issue = await Board.of(board.world), await board.create("a bug")
    await made(board, "bug", crew_id=other.crew.id, assignee_id=other.worker.id, priority="low")
    broken = await made(board, "bug", "regex")
    execute = board.world.database.execute
    await execute("UPDATE triage_rules SET pattern = '(', position = 0 WHERE id = $1", broken["id"])
    await execute("UPDATE crews SET deleted_at = now() WHERE id = $1", other.crew.id)
    await execute("UPDATE agents SET deleted_at = now() WHERE id = $1", other.worker.id)
    assert await processed(board) == (1, 1)
    row = await board.row(issue)
    assert (row["crew_id"], row["assignee_id"], row["priority"]) == (board.crew.id, None, "low")


async def test_an_issue_that_is_given_meanwhile_keeps_its_assignee(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue = await board.create("a bug")
    await made(board, "bug", assignee_id=board.worker.id)
    compared = processing._compared

    async def and_then_given(*given: Any) -> Any:
        found = await compared(*given)
        await board.world.database.execute(
            "UPDATE missions SET assignee_id = $1 WHERE id = $2", board.lead.id, issue["id"]
        )
        return found

    monkeypatch.setattr(processing, "_compared", and_then_given)
    assert await processed(board) == (1, 0)
    assert (await board.row(issue))["assignee_id"] == board.lead.id


async def test_milestones_of_another_project_go(board: Board) -> None:
    project, other = await board.project(), await board.project()
    milestone = await board.milestone(project)
    issue = await board.create("a bug", project_id=project.id, milestone_id=milestone.id)
    await made(board, "bug", project_id=other.id)
    await processed(board)
    row = await board.row(issue)
    assert (row["project_id"], row["milestone_id"]) == (other.id, None)


async def test_a_rule_for_new_issues_is_applied_when_they_are_created(board: Board) -> None:
    other = await Board.of(board.world)
    await made(board, "bug", priority="never")  # on demand alone
    rule = await made(board, "^bug", "regex", on_create=True, crew_id=other.crew.id, assignee_id=other.worker.id)
    issue = await board.create("bug 1", priority="low")
    assert (issue["crew_id"], issue["assignee_id"], issue["priority"]) == (other.crew.id, other.worker.id, "low")
    assert issue["identifier"].startswith(board.crew.issue_prefix or "")
    sent = {"crewId": board.crew.id, "title": "bug 2"}
    assert await board.data(CREATE_ISSUE % "assigneeId", **{"in": sent}) == {"assigneeId": other.worker.id}
    given = await board.create("bug 3", assignee_type="agent", assignee_id=board.lead.id)
    assert (given["crew_id"], given["assignee_id"]) == (board.crew.id, board.lead.id)
    assert (await board.create("no bug"))["assignee_id"] is None
    assert {row["id"]: row["match_count"] for row in await board.read(RULES)}[rule["id"]] == 2


async def test_a_workspace_has_a_bounded_number_of_rules(board: Board) -> None:
    for number in range(200):
        await board.world.add(
            TriageRule(name="x", pattern="x", match_type=MatchType.exact, position=number, **board.here)
        )
    answer = await board.ask("POST", RULES, {"name": "x", "pattern": "x", "match_type": "exact"})
    assert answer.status_code == 400
    assert "200" in answer.json()["detail"]


async def test_rules_that_take_too_long_are_refused_and_write_nothing(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    await board.create("a bug")
    await made(board, "bug", priority="high")
    monkeypatch.setattr(processing, "LONGEST", 0.0)
    before = await board.world.snapshot()
    answer = await board.ask("POST", PROCESS)
    assert (answer.status_code, "too long" in answer.json()["detail"]) == (400, True)
    assert await board.world.snapshot() == before


SLOW = ["(x+x+)+y", "(a|a)*b", "(.*)*=.*", "(.*a){20}", ".{0,300}x.{0,300}y", "a?" * 300 + "a" * 300]


@pytest.mark.parametrize("pattern", SLOW)
def test_no_pattern_takes_long(pattern: str) -> None:
    rule = TriageRule(name="x", pattern=pattern, match_type=MatchType.regex, position=1)
    matcher, begun = Matcher([rule]), time.thread_time()
    for letter in "axé=":
        matcher.firsts([("", letter * 600)])
    assert time.thread_time() - begun < 1
    assert matcher.seconds > 0


@pytest.mark.slow
async def test_a_large_backlog_and_many_rules_hold_nobody_up(world: World, board: Board) -> None:
    """10,000 issues and 100 rules, half of them expressions; the loop is watched meanwhile (tests/stalls.py)."""
    lead = {"crew_id": board.crew.id, "lead_agent_id": board.lead.id, **board.here}
    await world.database.execute(
        "INSERT INTO missions (id, workspace_id, crew_id, lead_agent_id, mission_type, status, priority, sort_order,"
        " trace_id, title, number, identifier, version)"
        " SELECT 'cissue' || i, $1, $2, $3, 'issue', 'BACKLOG', 'none', 0, 'trace' || i, 'Issue of number ' || i, i,"
        " 'BIG-' || i, 1 FROM generate_series(1, 10000) AS i",
        lead["workspace_id"],
        lead["crew_id"],
        lead["lead_agent_id"],
    )
    for number in range(100):
        kind = MatchType.regex if number % 2 else MatchType.contains
        pattern = rf"(?i)\bnumber {number}(\d+)x" if number % 2 else f"number {number} and more"
        await world.add(TriageRule(name="x", pattern=pattern, match_type=kind, position=number, **board.here))
    last = TriageRule(
        name="x", pattern="number", match_type=MatchType.contains, position=100, priority="low", **board.here
    )
    await world.add(last)
    begun = time.perf_counter()
    assert await processed(board) == (10_000, 10_000)
    print(f"10,000 issues and 101 rules: {time.perf_counter() - begun:.1f} s")
    assert await world.database.fetchval("SELECT count(*) FROM missions WHERE priority = 'low'") == 10_000
