"""Changing one issue: what is cleared, what follows, which states lead where, and what is told of it."""

import asyncio
from typing import Any

import pytest

from models.work.missions import ISSUE_STATES, IssueStatus, MissionStatus
from tests.work.issues.board import Board
from tests.world import World

pytestmark = pytest.mark.anyio
ENDS = ("DONE", "CANCELLED", "DUPLICATE")
UPDATE = (
    "mutation($ws: ID, $in: UpdateIssueInput!, $v: Int) {"
    " updateIssue(workspaceId: $ws, input: $in, ifVersion: $v) { %s } }"
)
OPTIONAL = (
    "assignee_type",
    "assignee_id",
    "due_date",
    "estimate",
    "project_id",
    "milestone_id",
    "parent_issue_id",
    "description",
)


async def full(board: Board) -> dict[str, Any]:
    """An issue with something in every field that can be empty."""
    project = await board.project()
    milestone, parent = await board.milestone(project), await board.create("Hull")
    given = {
        "assignee_type": "agent",
        "assignee_id": board.worker.id,
        "due_date": "2030-01-31",
        "estimate": 5,
        "description": "Below",
    }
    return await board.create(**given, project_id=project.id, milestone_id=milestone.id, parent_issue_id=parent["id"])


def named(board: Board, issue: dict[str, Any]) -> dict[str, Any]:
    return {"crewId": board.crew.id, "identifier": issue["identifier"]}


async def test_null_clears_by_itself(board: Board) -> None:
    issue = await full(board)
    since = await board.since()
    changed = await board.change(issue, **dict.fromkeys(OPTIONAL))
    assert [changed[name] for name in OPTIONAL] == [None] * len(OPTIONAL)
    assert await board.events(since) == [("issue.updated", {"id": issue["id"]})]
    again = await full(board)
    cleared = await board.data(
        UPDATE % "assigneeId projectId milestoneId",
        **{"in": named(board, again) | {"projectId": None, "milestoneId": None}},
    )
    assert cleared == {"assigneeId": board.worker.id, "projectId": None, "milestoneId": None}


async def test_an_empty_text_clears_what_it_names(board: Board) -> None:
    issue = await full(board)
    changed = await board.change(
        issue, project_id="", milestone_id="", parent_issue_id="", assignee_type="", assignee_id="", title=""
    )
    assert [
        changed[name]
        for name in ("project_id", "milestone_id", "parent_issue_id", "assignee_type", "assignee_id", "title")
    ] == [None] * 3 + [""] * 3


async def test_null_is_not_sent_for_what_cannot_be_empty(board: Board) -> None:
    issue = await board.create(priority="high")
    before = await board.world.snapshot()
    for body in (
        {},
        {"title": None},
        {"priority": None, "status": None, "sort_order": None, "labels": None},
        {"unknown": 1},
        {"number": 9, "crew_id": "x"},
    ):
        answer = await board.patch(issue, **body)
        assert (answer.status_code, answer.json()["detail"]) == (400, "There is nothing to update")
    assert await board.world.snapshot() == before
    assert (await board.change(issue, priority=None, title="Named"))["priority"] == "high"


async def test_what_an_issue_is_called_by_does_not_change(board: Board) -> None:
    issue = await board.create()
    other = await Board.of(board.world)
    changed = await board.change(
        issue, title="x", identifier="X-1", number=99, crew_id=other.crew.id, id="x", workspace_id=board.world.other.id
    )
    assert {name: changed[name] for name in ("id", "identifier", "number", "crew_id", "workspace_id")} == {
        name: issue[name] for name in ("id", "identifier", "number", "crew_id", "workspace_id")
    }


async def test_the_milestone_follows_the_project(board: Board) -> None:
    issue = await full(board)
    other, alone = await board.project(), await board.project()
    stage = await board.milestone(other)
    assert (await board.patch(issue, milestone_id=stage.id)).status_code == 400
    assert (await board.patch(issue, project_id=alone.id, milestone_id=stage.id)).status_code == 400
    assert (await board.change(issue, project_id=issue["project_id"] or (await board.row(issue))["project_id"]))[
        "milestone_id"
    ] == issue["milestone_id"]
    assert (await board.change(issue, project_id=other.id))["milestone_id"] is None
    assert (await board.change(issue, project_id=other.id, milestone_id=stage.id))["milestone_id"] == stage.id
    unlinked = await board.change(issue, project_id="")
    assert (unlinked["project_id"], unlinked["milestone_id"]) == (None, stage.id)
    assert (await board.change(issue, milestone_id=(await board.milestone(alone)).id))["project_id"] is None


async def test_an_issue_is_not_its_own_parent(board: Board) -> None:
    issue, child = await board.create(), await board.create()
    before = await board.world.snapshot()
    answer = await board.patch(issue, title="x", parent_issue_id=issue["id"])
    assert (answer.status_code, answer.json()["fields"]) == (400, {"parent_issue_id": "is the issue itself"})
    assert await board.world.snapshot() == before
    await board.change(child, parent_issue_id=issue["id"])
    refused = await board.patch(issue, parent_issue_id=child["id"])
    assert (refused.status_code, refused.json()["fields"]) == (400, {"parent_issue_id": "is a sub-issue of the issue"})


async def test_labels_are_replaced_and_unknown_ones_are_left_out(board: Board) -> None:
    there = await Board.of(board.world, board.world.other)
    a, b, theirs = await board.label("b-a"), await board.label("b-b"), await there.label()
    issue = await board.create(labels=[a.id])

    def shown(changed: dict[str, Any]) -> list[str]:
        return [label["id"] for label in changed["labels"]]

    assert shown(await board.change(issue, labels=[b.id, b.id, theirs.id, "cnosuchlabel", ""])) == [b.id]
    assert shown(await board.change(issue, title="x")) == [b.id]
    assert shown(await board.change(issue, label_ids=[a.id, b.id])) == [a.id, b.id]
    assert shown(await board.change(issue, label_ids=[a.id], labels=[b.id])) == [b.id]
    assert shown(await board.change(issue, labels=[])) == []
    changed = await board.data(UPDATE % "labels { id }", **{"in": named(board, issue) | {"labelIds": [b.id]}})
    assert changed == {"labels": [{"id": b.id}]}
    assert (await board.patch(issue, labels=[a.id] * 101)).status_code == 400


async def test_labels_alone_are_an_edit(board: Board) -> None:
    issue, label = await board.create(), await board.label()
    since, before = await board.since(), (await board.row(issue))["version"]
    await board.change(issue, labels=[label.id])
    assert await board.events(since) == [("issue.updated", {"id": issue["id"]})]
    assert (await board.row(issue))["version"] == before + 1
    assert await board.activity(issue) == []


async def test_a_routine_is_cleared_and_takes_inputs(board: Board) -> None:
    issue = await board.create()
    await board.change(issue, routine_inputs={"x": [1]})
    assert (await board.row(issue))["routine_inputs"] == {"x": [1]}
    await board.change(issue, routine_id="")
    assert (await board.row(issue))["routine_inputs"] == {}
    await board.change(issue, routine_id="", routine_inputs={"y": 2})
    assert (await board.row(issue))["routine_inputs"] == {"y": 2}


async def test_every_state_leads_where_the_table_says(world: World) -> None:
    """The present state is none of them; DONE, CANCELLED and DUPLICATE stamp the end, which stays."""
    board = await Board.of(world)
    for status in IssueStatus:
        issue = await board.in_state(MissionStatus(status))
        for to in IssueStatus:
            await world.database.execute(
                "UPDATE missions SET status = $1, completed_at = NULL WHERE id = $2", status, issue["id"]
            )
            before = await board.row(issue)
            answer = await board.patch(issue, status=to, title="Moved")
            after = await board.row(issue)
            if to in ISSUE_STATES.moves[MissionStatus(status)]:
                assert (answer.status_code, after["status"], after["title"]) == (200, to, "Moved")
                assert (after["completed_at"] is not None) == (to in ENDS), (status, to)
            else:
                assert (answer.status_code, after) == (400, before), (status, to)
                refused = answer.json()
                assert refused["detail"] == f"Issue is {status}: it cannot become {to}"
                assert refused["fields"] == {"status": f"cannot become {to}"}
                assert {*refused["allowed"]} == ISSUE_STATES.moves[MissionStatus(status)]
            await world.database.execute("UPDATE missions SET title = 'Leak' WHERE id = $1", issue["id"])
    for wrong in ("REVIEWED", "COMPLETED", "PLANNING", "todo", ""):
        assert (await board.patch(issue, status=wrong)).status_code == 400


async def test_the_end_stays_when_an_issue_is_opened_again(board: Board) -> None:
    issue = await board.create()
    await board.change(issue, status="CANCELLED")
    ended = (await board.row(issue))["completed_at"]
    await board.change(issue, status="TODO")
    assert (await board.row(issue))["completed_at"] == ended is not None


async def test_activity_says_what_was_sent(board: Board) -> None:
    world, issue = board.world, await board.create()
    label = await board.label()
    await board.change(issue, title="No row for this", labels=[label.id], estimate=1, due_date="x")
    await board.change(issue, status="TODO", priority="urgent", assignee_type="agent", assignee_id=board.worker.id)
    answer = await board.ask("PATCH", board.of_issue(issue), {"assignee_id": None}, world.admin)
    assert answer.status_code == 200
    await board.change(issue, assignee_id="", priority="urgent")
    await board.change(issue, assignee_type="user")
    me, admin = board.person.user_id, world.admin.user_id
    assert await board.activity(issue) == [
        (me, "status_changed", "BACKLOG \u2192 TODO"),
        (me, "assignee_changed", f"assignee_id: {board.worker.id}"),
        (me, "priority_changed", "urgent"),
        (admin, "assignee_changed", "assignee_id: "),
        (me, "assignee_changed", "assignee_id: "),
        (me, "priority_changed", "urgent"),
    ]
    [first, *_] = await board.read(board.of_issue(issue, "/activity"))
    assert (first["actor_type"], first["actor_name"], first["mission_id"]) == ("user", "Manager Example", issue["id"])


async def test_activity_shows_the_last_fifty(board: Board) -> None:
    issue = await board.create()
    for n in range(52):
        await board.change(issue, priority=f"p{n}")
    assert [details for _, _, details in await board.activity(issue)] == [f"p{n}" for n in range(2, 52)]


@pytest.mark.slow
async def test_of_two_moves_at_once_one_is_a_conflict(board: Board) -> None:
    """What was seen is what moves: the loser has changed nothing, and left no row of activity."""
    for _ in range(5):
        issue = await board.in_state(MissionStatus.TODO)
        async with board.world.database.transaction():
            await board.world.database.execute("SELECT FROM missions WHERE id = $1 FOR UPDATE", issue["id"])
            moves = [
                asyncio.create_task(board.patch(issue, status=to, title=to)) for to in ("IN_PROGRESS", "CANCELLED")
            ]
            await asyncio.sleep(0.1)
        answers = await asyncio.gather(*moves)
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        [won] = [answer.json() for answer in answers if answer.status_code == 200]
        assert won["title"] == won["status"] == (await board.row(issue))["status"]
        assert [details for _, _, details in await board.activity(issue)] == [f"TODO \u2192 {won['status']}"]


async def test_if_match_guards_an_issue(board: Board) -> None:
    issue = await board.create()
    answer = await board.ask("GET", board.of_issue(issue))
    tag = {"if-match": answer.headers["etag"]}
    assert (await board.ask("PATCH", board.of_issue(issue), {"title": "One"}, **tag)).status_code == 200
    before = await board.world.snapshot()
    for method, body in (("PATCH", {"title": "Two"}), ("PATCH", {"status": "TODO"}), ("DELETE", None)):
        assert (await board.ask(method, board.of_issue(issue), body, **tag)).status_code == 412
    assert (await board.code(UPDATE % "id", v=1, **{"in": named(board, issue) | {"title": "Late"}}))[
        0
    ] == "PRECONDITION_FAILED"
    assert await board.world.snapshot() == before
    version = (await board.row(issue))["version"]
    assert (await board.data(UPDATE % "version", v=version, **{"in": named(board, issue) | {"status": "TODO"}})) == {
        "version": version + 1
    }


async def test_an_issue_is_found_in_its_crew_by_its_identifier_alone(board: Board) -> None:
    issue, mission, other = (
        await board.create(),
        await board.mission(number=1, identifier="SAIL-1"),
        await Board.of(board.world),
    )
    wrong = [
        f"{other.path}/{issue['identifier']}",
        f"{board.path}/{issue['id']}",
        f"{board.path}/{issue['identifier'].lower()}",
        f"{board.path}/NOPE-1",
    ]
    before = await board.world.snapshot()
    for path in (*wrong, f"{board.path}/{mission.identifier}"):
        for method, body in (("GET", None), ("PATCH", {"title": 1}), ("DELETE", None)):
            answer = await board.ask(method, path, body)
            assert (answer.status_code, answer.json()["detail"]) == (404, "Issue not found")
    assert (await board.ask("GET", f"/api/v1/issues/{issue['id']}")).status_code == 404
    assert await board.world.snapshot() == before
