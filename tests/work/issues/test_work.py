"""Starting, stopping, reviewing and deleting an issue: what is written at once. Then: tests/work/missions."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from models.attention.inbox import InboxItem, InboxKind, SenderType, inbox_item_id
from models.base import new_id
from models.staff.chats import Chat, ChatMode
from models.work.issues import IssueRelation, RelationType
from models.work.missions import IssueStatus, MissionStatus, MissionTask, TaskStatus
from models.work.projects import Project
from tests.work.issues.board import Board

pytestmark = pytest.mark.anyio
FROM_NOW = (timedelta(seconds=3), timedelta(hours=2))
"""When an issue that is started is looked at, and when it has failed (contract: missions.behaviour.start_of_a_loop)."""


async def act(board: Board, issue: dict[str, Any], what: str, **body: Any) -> httpx2.Response:
    return await board.ask("POST", board.of_issue(issue, f"/{what}"), body or None)


async def done(board: Board, issue: dict[str, Any], what: str, **body: Any) -> dict[str, Any]:
    answer = await act(board, issue, what, **body)
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def tasks(board: Board, issue: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        dict(row)
        for row in await board.world.database.fetch(
            "SELECT * FROM mission_tasks WHERE mission_id = $1 ORDER BY task_order, id", issue["id"]
        )
    ]


async def jobs(board: Board, issue: dict[str, Any]) -> list[tuple[str, timedelta]]:
    """(name, how long after the start)."""
    sql = (
        "SELECT w.name, to_timestamp(w.delay_until_epoch_ms / 1000.0) - m.started_at AS after"
        " FROM dbos.workflow_status w, missions m"
        " WHERE m.id = $1 AND concat(w.workflow_uuid, w.deduplication_id) LIKE '%' || $1 || '%' ORDER BY 2"
    )
    return [(row["name"], row["after"]) for row in await board.world.database.fetch(sql, issue["id"])]


async def assigned(board: Board, **fields: Any) -> dict[str, Any]:
    return await board.create(assignee_type="agent", assignee_id=board.worker.id, **fields)


async def test_a_start_writes_it_all_at_once(board: Board) -> None:
    issue = await assigned(board, title="To run", description="What to do")
    since = await board.since()
    assert await done(board, issue, "start") == {"status": "IN_PROGRESS", "identifier": issue["identifier"]}
    row, [task] = await board.row(issue), await tasks(board, issue)
    assert (row["status"], row["started_at"] is not None, row["completed_at"]) == ("IN_PROGRESS", True, None)
    expected = {
        "title": "To run",
        "description": "What to do",
        "task_order": 1,
        "status": "PENDING",
        "iteration": 1,
        "assigned_agent_id": board.worker.id,
    }
    assert {name: task[name] for name in expected} == expected
    chat = Chat(**dict(await board.world.database.fetchrow("SELECT * FROM chats WHERE id = $1", issue["id"])))
    assert (chat.agent_id, chat.title, chat.mode) == (board.lead.id, "Issue: To run", ChatMode.MISSION)
    id = issue["id"]
    assert await board.events(since) == [
        ("issue.started", {"id": id, "identifier": issue["identifier"], "status": "IN_PROGRESS"}),
        ("mission.updated", {"id": id, "crew_id": board.crew.id, "title": "To run", "status": "STARTED"}),
    ]
    told = [
        (event["type"], event["payload"])
        for event in await board.world.events(since)
        if event["channel"] == f"mission:{id}"
    ]
    assert told == [("mission.status", {"id": id, "title": "To run", "status": "STARTED"})]
    assert [details for *_, details in await board.activity(issue)] == ["BACKLOG \u2192 IN_PROGRESS"]
    near = [
        (name, abs(after - wanted) < timedelta(seconds=1))
        for (name, after), wanted in zip(await jobs(board, issue), FROM_NOW, strict=True)
    ]
    assert near == [("missions.drive", True), ("missions.expire", True)]


async def test_what_cannot_be_started_leaves_nothing(board: Board) -> None:
    world, there = board.world, await Board.of(board.world, board.world.other)
    bare, of_user = (
        await board.create(),
        await board.create(assignee_type="user", assignee_id=board.world.manager.user_id),
    )
    gone, foreign, free = [await assigned(board) for _ in range(3)]
    await world.database.execute("UPDATE missions SET assignee_id = $1 WHERE id = $2", there.worker.id, foreign["id"])
    await world.database.execute("UPDATE missions SET assignee_type = 'team' WHERE id = $1", free["id"])
    other = await Board.of(world)
    await board.change(gone, assignee_id=other.worker.id)
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", other.worker.id)
    before = await world.snapshot()
    for issue in (bare, of_user, gone, foreign, free):
        assert (await act(board, issue, "start")).status_code == 400
    assert await world.snapshot() == before


@pytest.mark.slow
async def test_each_act_asks_for_a_state(board: Board) -> None:
    allowed = {
        "start": {"BACKLOG", "TODO"},
        "stop": {"IN_PROGRESS", "REVIEW"},
        "review": {"IN_PROGRESS", "REVIEW"},
        "delete": {"BACKLOG", "CANCELLED"},
    }
    for what, states in allowed.items():
        for status in IssueStatus:
            issue = await board.in_state(MissionStatus(status), assignee_id=board.worker.id)
            before = await board.world.snapshot() if status not in states else None
            path = board.of_issue(issue)
            asked = {"review": ("POST", f"{path}/review", {"action": "approve"}), "delete": ("DELETE", path, None)}
            answer = await board.ask(*asked.get(what, ("POST", f"{path}/{what}", None)))
            assert answer.status_code == (400 if before else 204 if what == "delete" else 200), (what, status)
            if before:
                assert status in answer.json()["detail"]
                assert await board.world.snapshot() == before


async def test_of_two_starts_at_once_one_is_a_conflict(board: Board) -> None:
    issue = await assigned(board)
    async with board.world.database.transaction():
        await board.world.database.execute("SELECT FROM missions WHERE id = $1 FOR UPDATE", issue["id"])
        starts = [asyncio.create_task(act(board, issue, "start")) for _ in range(3)]
        await asyncio.sleep(0.15)
    answers = await asyncio.gather(*starts)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert len(await tasks(board, issue)) == 1
    assert len(await jobs(board, issue)) == 2


async def test_a_stop_takes_the_open_tasks_along(board: Board) -> None:
    issue = await assigned(board)
    await done(board, issue, "start")
    more = [
        MissionTask(mission_id=issue["id"], title=status, status=status, task_order=2, **board.here)
        for status in TaskStatus
    ]
    await board.world.add(*more)
    since = await board.since()
    assert await done(board, issue, "stop") == {"status": "CANCELLED", "identifier": issue["identifier"]}
    assert (await board.row(issue))["completed_at"] is not None
    stopped = {"PENDING", "IN_PROGRESS", "BLOCKED"}
    assert {task["title"]: task["status"] for task in (await tasks(board, issue))[1:]} == {
        s: "CANCELLED" if s in stopped else s for s in TaskStatus
    }
    assert (await tasks(board, issue))[0]["status"] == "CANCELLED"
    assert await board.events(since) == [
        ("issue.updated", {"id": issue["id"], "identifier": issue["identifier"], "status": "CANCELLED"})
    ]
    assert [details for *_, details in await board.activity(issue)] == [
        "BACKLOG \u2192 IN_PROGRESS",
        "IN_PROGRESS \u2192 CANCELLED",
    ]


async def test_a_second_start_begins_anew(board: Board) -> None:
    """Tasks of the first are reset and counted, the chat is the same, and the end of the first stays."""
    issue = await assigned(board)
    await done(board, issue, "start")
    await board.world.database.execute(
        "UPDATE mission_tasks SET status = 'FAILED', error_message = 'x', result_summary = 'y',"
        " started_at = now(), completed_at = now(), duration_ms = 5, confidence = 0.4 WHERE mission_id = $1",
        issue["id"],
    )
    more = MissionTask(
        mission_id=issue["id"], title="More", task_order=2, status=TaskStatus.COMPLETED, iteration=None, **board.here
    )
    await board.world.add(more)
    await done(board, issue, "stop")
    await board.change(issue, status="TODO")
    ended = (await board.row(issue))["completed_at"]
    await done(board, issue, "start")
    first, second = await tasks(board, issue)
    assert [(task["status"], task["iteration"]) for task in (first, second)] == [("PENDING", 2), ("PENDING", 1)]
    cleared = (
        "error_message",
        "result_summary",
        "started_at",
        "completed_at",
        "duration_ms",
        "confidence",
        "assignment_id",
    )
    assert [first[name] for name in cleared] == [None] * len(cleared)
    assert (await board.row(issue))["completed_at"] == ended
    assert await board.world.database.fetchval("SELECT count(*) FROM chats WHERE id = $1", issue["id"]) == 1


async def test_a_lead_gets_no_task(board: Board) -> None:
    issue = await board.create(assignee_type="agent", assignee_id=board.lead.id)
    await done(board, issue, "start")
    assert await tasks(board, issue) == []
    assert len(await jobs(board, issue)) == 2


async def test_an_approval_is_the_end(board: Board) -> None:
    issue, silent = [await board.in_state(MissionStatus(status)) for status in ("REVIEW", "IN_PROGRESS")]
    since = await board.since()
    assert await done(board, issue, "review", action="approve", comment="nice", reassign_to=board.worker.slug) == {
        "status": "ok",
        "action": "approve",
    }
    await done(board, silent, "review", action="approve", comment="")
    found = await board.get(issue)
    assert (found["status"], found["assignee_id"], found["completed_at"] is not None, found["comment_count"]) == (
        "DONE",
        None,
        True,
        1,
    )
    me = board.person.user_id
    assert await board.activity(issue) == [(me, "review_approved", "Approved: nice")]
    assert await board.activity(silent) == [(me, "review_approved", "Approved")]
    [comment] = await board.read(board.of_issue(issue, "/comments"))
    assert (comment["author_type"], comment["author_id"], comment["body"]) == ("user", me, "Approved: nice")
    assert [comment["body"] for comment in await board.read(board.of_issue(silent, "/comments"))] == ["Approved"]
    told = [("issue.updated", {"id": each["id"], "identifier": each["identifier"]}) for each in (issue, silent)]
    assert await board.events(since) == told


async def test_requested_changes_put_it_back(board: Board) -> None:
    there = await Board.of(board.world, board.world.other)
    for slug, assignee in (
        (board.worker.slug, board.worker.id),
        ("nobody", None),
        (there.worker.slug, None),
        ("", None),
        (None, None),
    ):
        issue = await board.in_state(MissionStatus.REVIEW)
        await done(board, issue, "review", action="request_changes", comment="more tests", reassign_to=slug)
        row = await board.row(issue)
        assert (row["status"], row["assignee_id"], row["completed_at"]) == ("TODO", assignee, None), slug
        assert await board.activity(issue) == [
            (board.person.user_id, "review_changes_requested", "Changes requested: more tests")
        ]
        assert [each["body"] for each in await board.read(board.of_issue(issue, "/comments"))] == [
            "Changes requested: more tests"
        ]
    assert await board.world.database.fetchval("SELECT count(*) FROM inbox_items") == 0


async def test_a_bad_review_leaves_nothing(board: Board) -> None:
    issue = await board.in_state(MissionStatus.REVIEW)
    before = await board.world.snapshot()
    for body in (
        {"action": "reject"},
        {"action": ""},
        {"action": None},
        {"comment": "x"},
        {"action": "approve", "comment": 1},
        {"action": 1},
    ):
        assert (await board.ask("POST", board.of_issue(issue, "/review"), body)).status_code == 400
    assert await board.world.snapshot() == before


async def test_of_two_reviews_at_once_one_is_a_conflict(board: Board) -> None:
    issue = await board.in_state(MissionStatus.REVIEW)
    async with board.world.database.transaction():
        await board.world.database.execute("SELECT FROM missions WHERE id = $1 FOR UPDATE", issue["id"])
        reviews = [
            asyncio.create_task(act(board, issue, "review", action=action)) for action in ("approve", "request_changes")
        ]
        await asyncio.sleep(0.15)
    answers = await asyncio.gather(*reviews)
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert (await board.get(issue))["comment_count"] == len(await board.activity(issue)) == 1


async def test_a_deleted_issue_takes_along_what_hangs_on_it(board: Board) -> None:
    """Issues below stay and lose their parent; the project and the labels stay."""
    world, label, project = board.world, await board.label(), await board.project()
    issue = await board.create(labels=[label.id], project_id=project.id)
    child, friend = await board.create(parent_issue_id=issue["id"], labels=[label.id]), await board.create()
    await board.change(issue, priority="high")
    await board.ask("POST", board.of_issue(issue, "/comments"), {"body": "x"})
    await world.add(
        IssueRelation(source_id=friend["id"], target_id=issue["id"], relation_type=RelationType.blocks, **board.here),
        MissionTask(mission_id=issue["id"], title="x", **board.here),
    )
    since = await board.since()
    assert (await board.ask("DELETE", board.of_issue(issue))).status_code == 204
    assert await board.events(since) == [("issue.deleted", {"identifier": issue["identifier"]})]
    for table in ("issue_comments", "issue_activity", "issue_labels", "mission_tasks"):
        assert await world.database.fetchval(f"SELECT count(*) FROM {table} WHERE mission_id = $1", issue["id"]) == 0
    assert await world.database.fetchval("SELECT count(*) FROM issue_relations WHERE target_id = $1", issue["id"]) == 0
    found = await board.get(child)
    assert (found["parent_issue_id"], [each["id"] for each in found["labels"]]) == (None, [label.id])
    assert await board.read(board.of_issue(friend, "/relations")) == []
    assert (
        Project(**dict(await world.database.fetchrow("SELECT * FROM projects WHERE id = $1", project.id))).id
        == project.id
    )
    assert (await board.ask("DELETE", board.of_issue(issue))).status_code == 404


async def test_a_message_in_the_inbox_outlives_its_issue(board: Board) -> None:
    issue, source = await board.create(), new_id()
    message = {
        "kind": InboxKind.message,
        "source_id": source,
        "title": "Ready",
        "sender_type": SenderType.system,
        "payload": {"mission_id": issue["id"]},
    }
    await board.world.add(InboxItem(id=inbox_item_id(InboxKind.message, source), **message, **board.here))
    assert (await board.ask("DELETE", board.of_issue(issue))).status_code == 204
    assert await board.world.database.fetchval("SELECT count(*) FROM inbox_items WHERE source_id = $1", source) == 1
