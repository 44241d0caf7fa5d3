"""Moves on a board: where an issue can go, what a move in several stages does, and what its activity says of it."""

import ast
from pathlib import Path
from typing import Any

import pytest

from models.work.missions import ISSUE_BOARD, IssueStatus, MissionStatus
from tests.architecture.source import tree
from tests.work.issues.board import Board

pytestmark = pytest.mark.anyio
ARROW = "\u2192"
ENDS = ("DONE", "CANCELLED", "DUPLICATE")
EDIT = (
    "mutation($ws: ID, $in: UpdateIssueInput!, $v: Int) { updateIssue(workspaceId: $ws, input: $in, ifVersion: $v) {"
    " status title version nextStatuses activity { action details } } }"
)


def edited(board: Board, issue: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"in": {"crewId": board.crew.id, "identifier": issue["identifier"]} | values}


async def set_to(board: Board, issue: dict[str, Any], status: str) -> None:
    await board.world.database.execute(
        "UPDATE missions SET status = $1, completed_at = NULL WHERE id = $2", status, issue["id"]
    )


async def test_an_issue_goes_where_its_next_statuses_say_in_one_step(board: Board) -> None:
    issue = await board.create()
    read = "query($ws: ID, $i: String!) { issue(workspaceId: $ws, identifier: $i) { nextStatuses } }"
    for status in MissionStatus:
        await set_to(board, issue, status)
        following = (await board.data(read, i=issue["identifier"]))["nextStatuses"]
        assert {*following} == ISSUE_BOARD.moves.get(status, frozenset()), status
        for to in following:
            await set_to(board, issue, status)
            before = (await board.row(issue))["version"]
            moved = await board.data(EDIT, **edited(board, issue, status=to))
            assert (moved["status"], moved["version"]) == (to, before + 1), (status, to)
            assert moved["activity"][0] == {"action": "status_changed", "details": f"{status} {ARROW} {to}"}
            assert ((await board.row(issue))["completed_at"] is not None) == (to in ENDS)


async def test_the_present_status_changes_nothing_and_the_rest_is_done(board: Board) -> None:
    issue = await board.create()
    for status in IssueStatus:
        await set_to(board, issue, status)
        before = await board.row(issue)
        same = await board.data(EDIT, **edited(board, issue, status=status))
        assert (same["status"], same["version"], same["activity"]) == (status, before["version"], [])
        assert await board.row(issue) == before
        changed = await board.data(EDIT, **edited(board, issue, status=status, title=f"Was {status}"))
        assert (changed["title"], changed["activity"]) == (f"Was {status}", [])
        assert (await board.row(issue))["completed_at"] is None
    code, _ = await board.code(EDIT, **edited(board, issue, status=status), v=before["version"] - 1)
    assert code == "PRECONDITION_FAILED"


async def test_a_refused_move_names_the_field_and_what_is_allowed(board: Board) -> None:
    issue = await board.create()
    await set_to(board, issue, "COMPLETED")  # of missions: no issue becomes it, or leaves it
    before = await board.row(issue)
    variables = {"ws": board.crew.workspace_id} | edited(board, issue, status="TODO", title="Moved")
    answer = await board.world.graphql(board.person, EDIT, variables)
    [error] = answer["errors"]
    assert error["message"] == "Issue is COMPLETED: it cannot become TODO"
    assert error["extensions"] == {
        "code": "BAD_REQUEST",
        "fields": {"status": "cannot become TODO"},
        "allowed": {"status": []},
    }
    assert await board.row(issue) == before
    assert await board.activity(issue) == []


async def test_a_start_and_a_stop_are_in_the_activity(board: Board) -> None:
    issue = await board.create(assignee_type="agent", assignee_id=board.worker.id)
    me = board.person.user_id
    for action in ("start", "stop"):
        assert (await board.ask("POST", board.of_issue(issue, f"/{action}"))).status_code == 200
    assert await board.activity(issue) == [
        (me, "status_changed", f"BACKLOG {ARROW} IN_PROGRESS"),
        (me, "status_changed", f"IN_PROGRESS {ARROW} CANCELLED"),
    ]


async def test_a_move_as_a_mission_is_in_the_activity_too(board: Board) -> None:
    issue, mission = await board.in_state(MissionStatus.TODO), await board.mission()
    for id, to in ((issue["id"], "IN_PROGRESS"), (mission.id, "IN_PROGRESS")):
        path = f"/api/v1/crews/{board.crew.id}/missions/{id}"
        assert (await board.ask("PATCH", path, {"status": to})).status_code == 200
    assert await board.activity(issue) == [
        (board.person.user_id, "status_changed", f"TODO {ARROW} IN_PROGRESS"),
    ]
    found = await board.world.database.fetchval("SELECT count(*) FROM issue_activity WHERE mission_id = $1", mission.id)
    assert found == 0


def moves(tree: ast.AST) -> list[str]:
    """Calls of the kernel's transitions that are given a machine of missions."""
    return [
        f"{ast.unparse(call.func)}({ast.unparse(call.args[0])})"
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("move", "move_all")
        and call.args
        and ast.unparse(call.args[0]) in ("ISSUE_STATES", "ISSUE_BOARD", "MISSION_STATES", "MISSION_ACTIONS")
    ]


def test_one_module_moves_missions() -> None:
    """So that no move of an issue is missing in its activity."""
    root = Path(__file__).parents[3]
    for folder in ("resolvers", "runtime"):
        for path in sorted((root / folder).rglob("*.py")):
            assert moves(tree(path)) == [], path
    assert moves(ast.parse("await ctx.move(ISSUE_STATES, issue, to)")) == ["ctx.move(ISSUE_STATES)"]
