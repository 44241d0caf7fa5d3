"""Milestones on both surfaces: positions, numbers, and what a deletion leaves."""

import asyncio
from typing import Any

import pytest

from models.work.missions import MissionStatus
from tests.work.issues.board import UNKNOWN, Board

pytestmark = pytest.mark.anyio
CREATE = "mutation($ws: ID, $in: CreateMilestoneInput!) { createMilestone(workspaceId: $ws, input: $in) { %s } }"
UPDATE = "mutation($ws: ID, $in: UpdateMilestoneInput!) { updateMilestone(workspaceId: $ws, input: $in) { %s } }"


def path(project: Any) -> str:
    return f"/api/v1/projects/{project.id}/milestones"


async def made(board: Board, project: Any, **fields: Any) -> dict[str, Any]:
    answer = await board.ask("POST", path(project), {"name": "One"} | fields)
    assert answer.status_code == 201, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def change(board: Board, id: str, **fields: Any) -> Any:
    return await board.ask("PATCH", f"/api/v1/milestones/{id}", fields)


async def test_twenty_at_once_take_one_to_twenty(board: Board) -> None:
    project, other = await board.project(), await board.project()
    by_rest = [made(board, project, name=f"{n}") for n in range(10)]
    by_graphql = [board.data(CREATE % "position", **{"in": {"projectId": project.id, "name": "G"}}) for _ in range(10)]
    rows = await asyncio.gather(made(board, other), *by_rest, *by_graphql)
    assert rows[0]["position"] == 1
    assert sorted(row["position"] for row in rows[1:]) == list(range(1, 21))
    assert [row["position"] for row in await board.read(path(project))] == list(range(1, 21))


async def test_a_milestone_comes_behind_the_highest(board: Board) -> None:
    project, since = await board.project(), await board.since()
    first = await made(board, project, description=None, status=None, position=9)
    full = await made(board, project, name="Two", description="d", target_date="someday", status="completed")
    assert (first["position"], first["status"], first["issue_count"], first["done_count"]) == (1, "active", 0, 0)
    assert [full[key] for key in ("name", "description", "target_date", "status", "position")] == [
        "Two",
        "d",
        "someday",
        "completed",
        2,
    ]
    assert (await change(board, first["id"], position=10)).status_code == 200
    assert [row["id"] for row in await board.read(path(project))] == [full["id"], first["id"]]
    assert (await made(board, project))["position"] == 11
    assert (await change(board, full["id"], position=-1)).json()["position"] == -1
    assert await board.data(UPDATE % "position", **{"in": {"id": full["id"], "position": 10}}) == {"position": 10}
    assert [row["id"] for row in await board.read(path(project))][:2] == [first["id"], full["id"]]  # ties by the time
    told = [
        ("milestone." + what, id)
        for what, id in (("created", first["id"]), ("created", full["id"]), ("updated", first["id"]))
    ]
    assert [(type, payload["id"]) for type, payload in await board.events(since)][:3] == told
    assert {payload["project_id"] for _, payload in await board.events(since)} == {project.id}


async def test_the_highest_position_of_all_is_no_fault(board: Board) -> None:
    project = await board.project()
    await change(board, (await made(board, project))["id"], position=2**31 - 1)
    assert (await made(board, project))["position"] == 2**31 - 1


async def test_null_clears_and_nothing_is_refused(board: Board) -> None:
    project = await board.project()
    row = await made(board, project, description="d", target_date="x")
    cleared = (await change(board, row["id"], description=None, target_date=None)).json()
    assert (cleared["description"], cleared["target_date"], cleared["name"]) == (None, None, "One")
    before = await board.world.snapshot()
    for body in (
        {},
        {"name": None, "status": None, "position": None},
        {"status": "done"},
        {"position": "1"},
        {"position": 2**31},
        {"name": 1},
    ):
        assert (await change(board, row["id"], **body)).status_code == 400, body
    for body in ({}, {"name": ""}, {"name": None}, {"name": "x", "status": "planned"}, {"name": 1}):
        assert (await board.ask("POST", path(project), body)).status_code == 400, body
    assert await board.world.snapshot() == before
    assert (await change(board, row["id"], name="")).json()["name"] == ""


async def test_what_is_not_of_the_workspace_is_not_found(board: Board) -> None:
    there = await Board.of(board.world, board.world.other)
    theirs = await there.project()
    stage, own = await there.milestone(theirs), await board.milestone(await board.project())
    before = await board.world.snapshot()
    for id in (theirs.id, UNKNOWN, own.id):
        for method in ("GET", "POST"):
            answer = await board.ask(
                method, f"/api/v1/projects/{id}/milestones", {"name": ""} if method == "POST" else None
            )
            assert (answer.status_code, answer.json()["detail"]) == (404, "Project not found")
    for id in (stage.id, UNKNOWN):
        assert (await change(board, id)).status_code == 404
        assert (await board.ask("DELETE", f"/api/v1/milestones/{id}", None, board.world.admin)).status_code == 404
    assert await board.world.snapshot() == before


async def test_a_milestone_counts_its_own(board: Board) -> None:
    """An issue in REVIEW is not done here; a mission is no issue."""
    project = await board.project()
    milestone, other = await board.milestone(project, position=1), await board.milestone(project, position=2)
    for status in ("DONE", "REVIEW", "COMPLETED", "BACKLOG"):
        await board.in_state(MissionStatus(status), project_id=project.id, milestone_id=milestone.id)
    await board.mission(milestone_id=milestone.id, status=MissionStatus.COMPLETED)
    rows = await board.read(path(project))
    assert [(row["id"], row["issue_count"], row["done_count"]) for row in rows] == [
        (milestone.id, 4, 2),
        (other.id, 0, 0),
    ]
    document = (
        "query($ws: ID, $id: ID!) { project(workspaceId: $ws, id: $id) {"
        " milestones { issueCount doneCount issues { nodes { status } } } } }"
    )
    [first, second] = (await board.data(document, id=project.id))["milestones"]
    assert (first["issueCount"], first["doneCount"], len(first["issues"]["nodes"]), second["issueCount"]) == (
        4,
        2,
        4,
        0,
    )


async def test_a_deleted_milestone_lets_its_issues_go(board: Board) -> None:
    project = await board.project()
    milestone = await board.milestone(project, position=3)
    issue, since = await board.create(project_id=project.id, milestone_id=milestone.id), await board.since()
    for person, status in ((board.world.manager, 403), (board.world.admin, 204), (board.world.admin, 404)):
        assert (await board.ask("DELETE", f"/api/v1/milestones/{milestone.id}", None, person)).status_code == status
    found = await board.get(issue)
    assert (found["project_id"], found["milestone_id"]) == (project.id, None)
    assert await board.events(since) == [("milestone.deleted", {"id": milestone.id, "project_id": project.id})]
    assert (await made(board, project))["position"] == 1
