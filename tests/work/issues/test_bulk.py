"""Many issues changed at once."""

import asyncio
from typing import Any

import pytest

from models.work.missions import ISSUE_STATES, IssueStatus, MissionStatus
from tests.work.issues.board import ISSUES, UNKNOWN, Board

pytestmark = pytest.mark.anyio
BULK = "mutation($ws: ID, $in: BulkUpdateInput!) { updateIssues(workspaceId: $ws, input: $in) { updated } }"


async def bulk(board: Board, ids: list[str], **updates: Any) -> int:
    answer = await board.ask("PATCH", f"{ISSUES}/bulk", {"ids": ids, "updates": updates})
    assert answer.status_code == 200, answer.text[:300]
    assert list(answer.json()) == ["updated"]
    return int(answer.json()["updated"])


async def refused(board: Board, body: Any) -> None:
    before = await board.world.snapshot()
    assert (await board.ask("PATCH", f"{ISSUES}/bulk", body)).status_code == 400
    assert await board.world.snapshot() == before


async def test_everything_at_once(board: Board) -> None:
    issues, label, old, project = (
        [await board.create(f"Leak {n}") for n in range(3)],
        await board.label(),
        await board.label(),
        await board.project(),
    )
    await board.change(issues[0], labels=[old.id])
    since = await board.since()
    sent = {
        "status": "IN_PROGRESS",
        "priority": "low",
        "assignee_type": "agent",
        "assignee_id": board.worker.id,
        "project_id": project.id,
    }
    assert await bulk(board, [issue["id"] for issue in issues], **sent, labels=[label.id, UNKNOWN]) == 3
    assert await board.events(since) == [("issues.bulk_updated", {"count": "3"})]
    for issue in issues:
        found = await board.get(issue)
        assert {name: found[name] for name in sent} == sent
        assert [each["id"] for each in found["labels"]] == [label.id]
        assert await board.activity(issue) == [
            (board.person.user_id, "status_changed", "BACKLOG -> IN_PROGRESS (bulk)")
        ]
        assert (await board.row(issue))["version"] == (3 if issue is issues[0] else 2)
    assert await board.data(BULK, **{"in": {"ids": [issues[0]["id"]], "updates": {"status": "DONE"}}}) == {"updated": 1}
    assert (await board.get(issues[0]))["completed_at"] is not None


async def test_a_hundred_are_taken_and_one_more_is_not(board: Board) -> None:
    issue = await board.create()
    assert await bulk(board, ["x"] * 99 + [issue["id"]], priority="low") == 1
    assert await bulk(board, [issue["id"]] * 100, priority="high") == 100
    for ids in ([issue["id"]] * 101, [], "x", None, [1]):
        await refused(board, {"ids": ids, "updates": {"priority": "low"}})
    await refused(board, {"updates": {"priority": "low"}})
    await refused(board, {"ids": [issue["id"]] * 10_000, "updates": {"priority": "low"}})
    for status in (1, ["TODO"], {}):
        await refused(board, {"ids": [issue["id"]], "updates": {"status": status}})
    assert (await board.code(BULK, **{"in": {"ids": ["x"] * 101, "updates": {"priority": "low"}}}))[0] == "BAD_REQUEST"


async def test_one_that_is_named_twice_counts_twice_and_changes_once(board: Board) -> None:
    issue, other, since = await board.create(), await board.create(), await board.since()
    assert await bulk(board, [issue["id"], other["id"], issue["id"]], priority="medium") == 3
    assert await board.events(since) == [("issues.bulk_updated", {"count": "3"})]
    assert await bulk(board, [issue["id"]] * 2, status="TODO") == 2
    assert [details for _, _, details in await board.activity(issue)] == ["BACKLOG -> TODO (bulk)"]
    assert (await board.row(issue))["version"] == 3


async def test_what_is_no_issue_of_the_workspace_is_skipped(board: Board) -> None:
    there = await Board.of(board.world, board.world.other)
    issue, theirs, mission = await board.create(), await there.create(), await board.mission()
    before = await there.row(theirs)
    assert await bulk(board, [UNKNOWN, theirs["id"], mission.id, issue["identifier"], issue["id"]], priority="low") == 1
    assert await there.row(theirs) == before
    assert (await board.row({"id": mission.id}))["priority"] == "none"


async def test_a_state_that_leads_nowhere_skips_the_whole_row(board: Board) -> None:
    made = {status: await board.in_state(MissionStatus(status)) for status in IssueStatus}
    before = {status: await board.row(issue) for status, issue in made.items()}
    since = await board.since()
    led = [status for status in IssueStatus if MissionStatus.TODO in ISSUE_STATES.moves[MissionStatus(status)]]
    assert await bulk(board, [issue["id"] for issue in made.values()], status="TODO", priority="urgent") == len(led)
    for status, issue in made.items():
        if status in led:
            assert ((await board.row(issue))["status"], (await board.row(issue))["priority"]) == ("TODO", "urgent")
            assert [details for _, _, details in await board.activity(issue)] == [f"{status} -> TODO (bulk)"]
        else:
            assert await board.row(issue) == before[status]
    assert await board.events(since) == [("issues.bulk_updated", {"count": str(len(led))})]


async def test_where_nothing_changes_nothing_is_told(board: Board) -> None:
    issue = await board.create()
    before = await board.world.snapshot()
    for updates in (
        {},
        {"priority": None, "project_id": None, "labels": None},
        {"title": "x"},
        {"status": "DONE"},
        {"status": "NOPE", "priority": "low"},
        {"status": ""},
    ):
        assert await bulk(board, [issue["id"]], **updates) == 0
    assert await bulk(board, [UNKNOWN], priority="low") == 0
    answer = await board.ask("PATCH", f"{ISSUES}/bulk", {"ids": [issue["id"]]})
    assert (answer.status_code, answer.json()) == (200, {"updated": 0})
    assert await board.world.snapshot() == before


async def test_labels_alone_are_replaced(board: Board) -> None:
    label, issues = await board.label(), [await board.create() for _ in range(2)]
    since = await board.since()
    assert await bulk(board, [issue["id"] for issue in issues], labels=[label.id]) == 2
    assert [[each["id"] for each in (await board.get(issue))["labels"]] for issue in issues] == [[label.id]] * 2
    assert await bulk(board, [issues[0]["id"]], labels=[]) == 1
    assert [len((await board.get(issue))["labels"]) for issue in issues] == [0, 1]
    assert await board.events(since) == [
        ("issues.bulk_updated", {"count": "2"}),
        ("issues.bulk_updated", {"count": "1"}),
    ]


async def test_another_project_takes_the_milestone_away(board: Board) -> None:
    one, two = await board.project(), await board.project()
    stage = await board.milestone(one)
    kept = await board.create(project_id=one.id, milestone_id=stage.id)
    bare = await board.create(milestone_id=stage.id)
    assert await bulk(board, [kept["id"], bare["id"]], project_id=one.id) == 2
    assert (await board.row(kept))["milestone_id"] == stage.id
    assert await bulk(board, [kept["id"]], project_id=two.id) == 1
    assert (await board.row(kept))["milestone_id"] is None
    assert await bulk(board, [kept["id"]], project_id="") == 1
    assert (await board.row(kept))["project_id"] is None


async def test_two_at_once_leave_one_story(board: Board) -> None:
    """Rows are locked in one order: neither waits for ever, and each move is from the state that was there."""
    issues = [await board.in_state(MissionStatus.TODO) for _ in range(10)]
    ids = [issue["id"] for issue in issues]
    moved = await asyncio.gather(bulk(board, ids, status="IN_PROGRESS"), bulk(board, ids[::-1], status="CANCELLED"))
    assert sorted(moved) in ([0, 10], [10, 10])
    for issue in issues:
        told = [details for _, _, details in await board.activity(issue)]
        assert told in (["TODO -> CANCELLED (bulk)"], ["TODO -> IN_PROGRESS (bulk)", "IN_PROGRESS -> CANCELLED (bulk)"])
