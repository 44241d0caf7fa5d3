"""Relations that agents create, over the internal API."""

from typing import Any

import pytest

from tests.work.issues.board import UNKNOWN, Board
from tests.work.issues.test_internal import ask
from tests.work.issues.test_relations import shown

pytestmark = pytest.mark.anyio


async def relate(board: Board, issue: dict[str, Any], kind: str, target: str, **more: str) -> tuple[int, Any]:
    body = {"target_identifier": target, "relation_type": kind, **more}
    answer = await ask(board, "POST", f"/{issue['identifier']}/relations", body)
    return answer.status_code, answer.json()


async def test_a_relation_is_stored_once_and_announced(board: Board) -> None:
    issue, other = await board.create(), await board.create()
    since = await board.since()
    status, made = await relate(board, issue, "blocked_by", other["identifier"], agent_id=board.worker.id)
    assert (status, made) == (201, {"id": made["id"], "status": "ok", "relation_type": "blocks"})
    assert await board.events(since) == [("issue.updated", {"id": issue["id"], "identifier": issue["identifier"]})]
    assert [row[:3] for row in await shown(board, issue)] == [(other["id"], issue["id"], "blocked_by")]
    assert (await relate(board, other, "blocks", issue["identifier"]))[0] == 409
    assert len(await shown(board, issue)) == 1


async def test_a_parent_is_set_and_never_in_a_circle(board: Board) -> None:
    top, middle, leaf = await board.create(), await board.create(), await board.create()
    status, made = await relate(board, middle, "sub_issue_of", top["identifier"])
    assert (status, made) == (201, {"status": "ok", "relation_type": "sub_issue_of", "parent_id": top["id"]})
    assert (await relate(board, leaf, "sub_issue_of", middle["identifier"]))[0] == 201
    assert (await relate(board, leaf, "sub_issue_of", middle["identifier"]))[0] == 409
    assert (await relate(board, top, "sub_issue_of", leaf["identifier"]))[0] == 400
    assert (await board.get(top))["parent_issue_id"] is None
    assert (await board.get(leaf))["parent_issue_id"] == middle["id"]
    assert await shown(board, middle) == []


async def test_what_is_refused_writes_nothing(board: Board) -> None:
    issue, foreign = await board.create(), await Board.of(board.world, board.world.other)
    theirs, since = await foreign.create(), await board.since()
    for status, kind, target in (
        (400, "likes", issue["identifier"]), (400, "blocks", issue["identifier"]), (400, "blocks", ""),
        (404, "blocks", UNKNOWN), (404, "sub_issue_of", theirs["identifier"]),
    ):  # fmt: skip
        assert (await relate(board, issue, kind, target))[0] == status, (kind, target)
    assert (await relate(board, {"identifier": UNKNOWN}, "blocks", issue["identifier"]))[0] == 404
    assert await board.events(since) == []
    assert await shown(board, issue) == []
