"""Comments are edited by their authors, and deleted by them and by administrators; both are audited and told."""

from typing import Any

import pytest

from tests.work.issues.board import UNKNOWN, Board
from tests.world import Person

pytestmark = pytest.mark.anyio
UPDATE = (
    "mutation($ws: ID, $in: UpdateCommentInput!) {"
    " updateIssueComment(workspaceId: $ws, input: $in) { id body authorId } }"
)
DELETE = "mutation($ws: ID, $in: ByCommentInput!) { deleteIssueComment(workspaceId: $ws, input: $in) { id } }"


async def commented(board: Board, issue: dict[str, Any], person: Person) -> str:
    answer = await board.ask("POST", board.of_issue(issue, "/comments"), {"body": "A leak"}, person)
    assert answer.status_code == 201
    return str(answer.json()["id"])


async def comments(board: Board, issue: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["id"], row["body"]) for row in await board.read(board.of_issue(issue, "/comments"))]


async def test_an_author_edits_and_deletes(board: Board) -> None:
    issue = await board.create()
    id, since = await commented(board, issue, board.person), await board.since()
    shown = await board.data(UPDATE, **{"in": {"id": id, "body": "Two leaks"}})
    assert shown == {"id": id, "body": "Two leaks", "authorId": board.person.user_id}
    assert await comments(board, issue) == [(id, "Two leaks")]
    assert await board.data(DELETE, **{"in": {"id": id}}) == {"id": id}
    assert await comments(board, issue) == []
    assert await board.events(since) == [("issue.updated", {"id": issue["id"]})] * 2
    rows = await board.world.database.fetch(
        "SELECT action, effect, user_id FROM audit_logs WHERE entity_id = $1 ORDER BY seq", id
    )
    assert [(row["action"], row["effect"]) for row in rows] == [
        ("issue_comment.created", "created"),
        ("issue_comment.updated", "updated"),
        ("issue_comment.deleted", "deleted"),
    ]


async def test_what_others_may_do(board: Board) -> None:
    """Who may comment may edit nobody else's comment; administrators may delete any."""
    issue, world = await board.create(), board.world
    id = await commented(board, issue, board.person)
    by_admin = await commented(board, issue, world.admin)
    for person in (world.admin, world.owner):
        assert (await board.code(UPDATE, person, **{"in": {"id": id, "body": "No"}}))[0] == "FORBIDDEN"
    assert (await board.code(DELETE, board.person, **{"in": {"id": by_admin}}))[0] == "FORBIDDEN"
    for person in (world.member, world.viewer):
        assert (await board.code(UPDATE, person, **{"in": {"id": id, "body": "No"}}))[0] == "FORBIDDEN"
        assert (await board.code(DELETE, person, **{"in": {"id": id}}))[0] == "FORBIDDEN"
    for values in ({"id": UNKNOWN, "body": "No"}, {"id": id, "body": ""}):
        code = "NOT_FOUND" if values["id"] == UNKNOWN else "BAD_REQUEST"
        assert (await board.code(UPDATE, **{"in": values}))[0] == code
    assert {body for _, body in await comments(board, issue)} == {"A leak"}
    for comment in (id, by_admin):
        assert await board.data(DELETE, world.admin, **{"in": {"id": comment}}) == {"id": comment}
    assert await comments(board, issue) == []


async def test_an_agents_comment_is_nobodys_to_edit(board: Board) -> None:
    issue = await board.create()
    id = "ccomment" + issue["id"][:12]
    await board.world.database.execute(
        "INSERT INTO issue_comments (workspace_id, id, mission_id, author_type, author_id, body)"
        " VALUES ($1, $2, $3, 'agent', $4, 'Mended')",
        board.crew.workspace_id, id, issue["id"], board.person.user_id,
    )  # fmt: skip
    assert (await board.code(UPDATE, **{"in": {"id": id, "body": "No"}}))[0] == "FORBIDDEN"
    assert (await board.code(DELETE, **{"in": {"id": id}}))[0] == "FORBIDDEN"
    assert await board.data(DELETE, board.world.admin, **{"in": {"id": id}}) == {"id": id}
