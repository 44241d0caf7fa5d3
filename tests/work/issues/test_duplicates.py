"""Duplicates end an issue; parents form no circle; an assignee without a type is found."""

import asyncio
from typing import Any

import pytest

from tests.work.issues.board import UNKNOWN, Board

pytestmark = pytest.mark.anyio


async def patch(board: Board, issue: dict[str, Any], **values: Any) -> Any:
    return await board.ask("PATCH", board.of_issue(issue), values)


async def test_an_issue_is_marked_as_a_duplicate_and_reopened(board: Board) -> None:
    issue = await board.create()
    marked = await patch(board, issue, status="DUPLICATE")
    assert (marked.status_code, marked.json()["status"]) == (200, "DUPLICATE")
    assert (await board.row(issue))["completed_at"] is not None
    before = await board.row(issue)
    for status in ("IN_PROGRESS", "DONE", "CANCELLED", "NONE"):
        assert (await patch(board, issue, status=status)).status_code == 400, status
    assert await board.row(issue) == before
    assert (await patch(board, issue, status="BACKLOG")).status_code == 200


async def test_an_ended_issue_is_no_duplicate(board: Board) -> None:
    for status in ("DONE", "CANCELLED", "FAILED"):
        issue = await board.create()
        await board.world.database.execute("UPDATE missions SET status = $1 WHERE id = $2", status, issue["id"])
        before = await board.row(issue)
        assert (await patch(board, issue, status="DUPLICATE")).status_code == 400, status
        assert await board.row(issue) == before


async def test_an_unknown_status_skips_each_issue_of_many(board: Board) -> None:
    one, other = await board.create(), await board.create()
    ids = [one["id"], other["id"]]
    for status, updated in (("SOMEDAY", 0), ("", 0), ("DUPLICATE", 2)):
        answer = await board.ask("PATCH", "/api/v1/issues/bulk", {"ids": ids, "updates": {"status": status}})
        assert (answer.status_code, answer.json()) == (200, {"updated": updated}), status
    assert [(await board.row(issue))["status"] for issue in (one, other)] == ["DUPLICATE"] * 2


async def test_parents_form_no_circle(board: Board) -> None:
    top, middle, bottom = [await board.create() for _ in range(3)]
    assert (await patch(board, middle, parent_issue_id=top["id"])).status_code == 200
    assert (await patch(board, bottom, parent_issue_id=middle["id"])).status_code == 200
    before = await board.row(top)
    for below in (top, middle, bottom):
        refused = await patch(board, top, parent_issue_id=below["id"])
        assert refused.status_code == 400, below["identifier"]
    assert await board.row(top) == before
    assert (await patch(board, bottom, parent_issue_id=top["id"])).status_code == 200


async def test_two_parents_at_once_form_no_circle(board: Board) -> None:
    one, other = await board.create(), await board.create()
    answers = await asyncio.gather(
        patch(board, one, parent_issue_id=other["id"]), patch(board, other, parent_issue_id=one["id"])
    )
    assert sorted(answer.status_code for answer in answers) == [200, 400]


async def test_an_assignee_without_a_type_is_a_member_or_an_agent(board: Board) -> None:
    issue = await board.create()
    for id, kind in ((board.person.user_id, "user"), (board.worker.id, "agent")):
        answer = await patch(board, issue, assignee_id=id)
        assert (answer.status_code, answer.json()["assignee_type"], answer.json()["assignee_id"]) == (200, kind, id)
    before = await board.row(issue)
    for id in (UNKNOWN, board.world.outsider.user_id):
        assert (await patch(board, issue, assignee_id=id)).status_code == 400
    assert await board.row(issue) == before


async def test_the_journal_says_from_where_and_to_where(board: Board) -> None:
    issue, other = await board.create(), await board.create()
    await patch(board, issue, status="TODO", priority="high")
    await board.ask("PATCH", "/api/v1/issues/bulk", {"ids": [other["id"]], "updates": {"status": "DUPLICATE"}})
    found = await board.read("/api/v1/journal", entry_type="mission.status_change", limit=10)
    told = [entry["payload"] for entry in found["entries"] if entry["mission_id"] in (issue["id"], other["id"])]
    ends = {(payload["action"], payload.get("from"), payload.get("to")) for payload in told}
    assert ends == {
        ("status_changed", "BACKLOG", "TODO"), ("status_changed", "BACKLOG", "DUPLICATE"),
        ("priority_changed", None, None),
    }  # fmt: skip
