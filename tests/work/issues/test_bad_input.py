"""What is too long, too much, or of another list: refused by name, and nothing has changed."""

from typing import Any

import pytest

from tests.work.issues.board import ISSUES, UNKNOWN, Board

pytestmark = pytest.mark.anyio
MEGABYTE = 1 << 20
LIST = """
    query($ws: ID, $sort: IssueSort, $after: String) {
      issues(workspaceId: $ws, sort: $sort, first: 1, after: $after) { nodes { id } pageInfo { endCursor } }
    }
"""


@pytest.mark.parametrize(("size", "status"), [(MEGABYTE, 413), (900_000, 400), (601, 400)])
async def test_a_title_has_an_end(board: Board, size: int, status: int) -> None:
    issue, project = await board.create(), await board.project()
    milestone = await board.milestone(project)
    before = await board.world.snapshot()
    for method, path, field in (
        ("POST", board.path, "title"),
        ("PATCH", board.of_issue(issue), "title"),
        ("POST", "/api/v1/projects", "name"),
        ("PATCH", f"/api/v1/projects/{project.id}", "name"),
        ("POST", f"/api/v1/projects/{project.id}/milestones", "name"),
        ("PATCH", f"/api/v1/milestones/{milestone.id}", "name"),
    ):
        answer = await board.ask(method, path, {field: "x" * size})
        assert answer.status_code == status, (method, path, answer.text[:300])
        assert len(answer.content) < 2000
    assert await board.world.snapshot() == before


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "x" * 900_000},
        {"priority": "x" * 900_000},
        {"due_date": "x" * 900_000},
        {"estimate": 10**30},
        {"labels": [UNKNOWN] * 10_000},
        {"assignee_id": "x" * 900_000},
        {"project_id": "x" * 900_000},
        {"routine_inputs": {"x": "y" * 900_000}},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_no_field_takes_more_than_it_holds(board: Board, fields: dict[str, Any]) -> None:
    issue = await board.create()
    before = await board.world.snapshot()
    for method, path in (("POST", board.path), ("PATCH", board.of_issue(issue))):
        answer = await board.ask(method, path, {"title": "x"} | fields)
        assert answer.status_code == 400, (method, answer.text[:300])
        assert len(answer.content) < 2000
    assert await board.world.snapshot() == before


async def test_a_place_in_another_list_is_no_place_in_this_one(board: Board) -> None:
    await board.create()
    places = {sort: (await board.data(LIST, sort=sort))["pageInfo"]["endCursor"] for sort in ("priority", "sort_order")}
    for sort, after in (
        ("created_at", places["priority"]),
        ("updated_at", places["sort_order"]),
        ("sort_order", places["priority"]),
        ("created_at", "bm8="),
        ("created_at", "W10="),
    ):
        code, _ = await board.code(LIST, sort=sort, after=after)
        assert code == "BAD_REQUEST", (sort, after)


async def test_a_filter_that_matches_nothing_finds_nothing(board: Board) -> None:
    """Whatever it names: another workspace's rows are as unknown as none."""
    there = await Board.of(board.world, board.world.other)
    theirs, issue = await there.project(), await board.create()
    await there.create(project_id=theirs.id, assignee_type="agent", assignee_id=there.worker.id)
    label = await there.label()
    for query in (
        {"project_id": theirs.id},
        {"crew_id": there.crew.id},
        {"assignee_id": there.worker.id},
        {"label": label.name},
        {"status": "NOPE"},
        {"priority": "nope"},
        {"mission_type": "nope"},
    ):
        assert await board.read(ISSUES, **query) == [], query
    assert issue["id"] in [row["id"] for row in await board.read(ISSUES, sort="nonsense", limit="many", offset="x")]
