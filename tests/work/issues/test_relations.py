"""Relations of issues, comments on them, and the issues below them."""

import asyncio
from typing import Any

import httpx2
import pytest

from models.actors import ActorType
from models.work.issues import IssueComment
from resolvers.kernel.reader.build import LIST_LIMIT
from resolvers.work.issues import relations
from tests.work.issues.board import UNKNOWN, Board
from tests.world import World

pytestmark = pytest.mark.anyio
RELATE = (
    "mutation($ws: ID, $in: CreateRelationInput!) { createIssueRelation(workspaceId: $ws, input: $in) { id status } }"
)
COMMENT = (
    "mutation($ws: ID, $in: CreateCommentInput!) {"
    " createIssueComment(workspaceId: $ws, input: $in) { body authorName issue { commentCount } } }"
)


async def relate(board: Board, source: dict[str, Any], kind: str, target: Any) -> httpx2.Response:
    body = {"target_identifier": target["identifier"] if isinstance(target, dict) else target, "relation_type": kind}
    return await board.ask("POST", board.of_issue(source, "/relations"), body)


async def shown(board: Board, issue: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    rows = await board.read(board.of_issue(issue, "/relations"))
    return [
        (row["source_id"], row["target_id"], row["relation_type"], row["target_identifier"], row["target_title"])
        for row in rows
    ]


async def test_a_relation_is_seen_from_both_ends(world: World) -> None:
    board, other = await Board.of(world), await Board.of(world)
    a, b = await board.create("A"), await other.create("B")
    since = await board.since()
    answer = await relate(board, a, "blocks", b)
    assert answer.status_code == 201
    assert answer.json() == {"id": answer.json()["id"], "status": "ok"}
    assert await board.events(since) == [("issue.updated", {"id": a["id"]})]
    assert await shown(board, a) == [(a["id"], b["id"], "blocks", b["identifier"], "B")]
    assert await shown(other, b) == [(a["id"], b["id"], "blocked_by", a["identifier"], "A")]
    for kind in ("relates_to", "duplicate_of"):
        assert (await relate(board, a, kind, b)).status_code == 201
    assert [kind for _, _, kind, _, _ in await shown(board, a)] == ["blocks", "relates_to", "duplicate_of"]
    assert [kind for _, _, kind, _, _ in await shown(other, b)] == ["blocked_by", "relates_to", "duplicate_of"]
    assert (await board.get(a))["status"] == "BACKLOG"
    await other.change(b, title="Renamed", status="TODO")
    [first, *_] = await board.read(board.of_issue(a, "/relations"))
    assert (first["target_title"], first["target_status"]) == ("Renamed", "TODO")
    assert first["created_at"].endswith("Z")


async def test_blocked_by_is_the_mirror_of_blocks(board: Board) -> None:
    a, b = await board.create(), await board.create()
    assert (await relate(board, a, "blocked_by", b)).status_code == 201
    assert [row[:3] for row in await shown(board, a)] == [(b["id"], a["id"], "blocked_by")]
    assert [row[:3] for row in await shown(board, b)] == [(b["id"], a["id"], "blocks")]
    before = await board.world.snapshot()
    for source, kind, target in ((a, "blocked_by", b), (b, "blocks", a)):
        answer = await relate(board, source, kind, target)
        assert (answer.status_code, answer.json()["detail"]) == (409, "Relation already exists")
        named = {
            "crewId": board.crew.id,
            "identifier": source["identifier"],
            "targetIdentifier": target["identifier"],
            "relationType": kind,
        }
        assert (await board.code(RELATE, **{"in": named}))[0] == "CONFLICT"
    assert await board.world.snapshot() == before
    assert (await relate(board, a, "blocks", b)).status_code == 201  # a circle is two relations
    for kind in ("relates_to", "duplicate_of"):
        assert [(await relate(board, *ends)).status_code for ends in ((a, kind, b), (b, kind, a), (a, kind, b))] == [
            201,
            201,
            409,
        ]
    assert len(await shown(board, a)) == len(await shown(board, b)) == 6


async def test_refusals_come_in_their_order(board: Board) -> None:
    """The kind, the source, the target, itself, and what is there already."""
    there = await Board.of(board.world, board.world.other)
    a, theirs, mission = await board.create(), await there.create(), await board.mission(number=1, identifier="SAIL-2")
    ghost = {"identifier": "NOPE-1"}
    before = await board.world.snapshot()
    for source, kind, target, status, text in (
        (ghost, "parent_of", ghost, 400, "relation_type"),
        (a, "", a, 400, "relation_type"),
        (ghost, "blocks", ghost, 404, "Issue not found"),
        (a, "blocks", ghost, 404, "Target issue not found"),
        (a, "blocks", "", 404, "Target issue not found"),
        (a, "blocks", a["id"], 404, "Target issue not found"),
        (a, "blocks", theirs, 404, "Target issue not found"),
        (a, "blocks", mission.identifier, 404, "Target issue not found"),
        (a, "blocks", a, 400, "An issue cannot be related to itself"),
    ):
        answer = await relate(board, source, kind, target)
        assert (answer.status_code, answer.json()["detail"][: len(text)]) == (status, text)
    assert await board.world.snapshot() == before


async def test_the_same_relation_at_once_is_there_once(board: Board) -> None:
    a, b = await board.create(), await board.create()
    answers = await asyncio.gather(*[relate(board, *ends) for ends in [(a, "blocks", b), (b, "blocked_by", a)] * 4])
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(await shown(board, a)) == 1


async def test_a_relation_is_deleted_without_a_word(board: Board) -> None:
    there = await Board.of(board.world, board.world.other)
    a, b = await board.create(), await board.create()
    id = (await relate(board, a, "relates_to", b)).json()["id"]
    before, since = await board.world.snapshot(), await board.since()
    for wrong in (UNKNOWN, a["id"]):
        assert (await board.ask("DELETE", f"/api/v1/relations/{wrong}")).status_code == 404
    assert (await there.ask("DELETE", f"/api/v1/relations/{id}")).status_code == 404
    assert await board.world.snapshot() == before
    answer = await board.ask("DELETE", f"/api/v1/relations/{id}")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert (await board.ask("DELETE", f"/api/v1/relations/{id}")).status_code == 404
    assert await shown(board, a) == await shown(board, b) == []
    assert await board.events(since) == []


async def test_an_issue_has_so_many_relations_and_no_more(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever end it is; and of several callers one takes the last place."""
    assert relations.MOST_RELATIONS <= LIST_LIMIT  # an edge shows all of them
    monkeypatch.setattr(relations, "MOST_RELATIONS", 3)
    a, b, c = [await board.create() for _ in range(3)]
    first = (await relate(board, a, "blocks", b)).json()["id"]
    assert (await relate(board, a, "blocked_by", b)).status_code == 201
    kinds = ("blocks", "relates_to", "duplicate_of")
    ends = [(a, kind, c) for kind in kinds] + [(c, kind, a) for kind in kinds]
    answers = await asyncio.gather(*[relate(board, *each) for each in ends])
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 5
    before = await board.world.snapshot()
    for source, target in ((a, b), (b, a)):
        answer = await relate(board, source, "relates_to", target)
        assert (answer.status_code, answer.json()["detail"]) == (400, "An issue can have at most 3 relations")
    assert await board.world.snapshot() == before
    assert (await relate(board, b, "relates_to", c)).status_code == 201
    assert (await board.ask("DELETE", f"/api/v1/relations/{first}")).status_code == 200
    assert (await relate(board, b, "relates_to", a)).status_code == 201


async def test_comments_come_in_their_order_with_their_authors(board: Board) -> None:
    world, issue = board.world, await board.create()
    since = await board.since()
    answer = await board.ask(
        "POST", board.of_issue(issue, "/comments"), {"body": "First", "author_id": "x", "author_type": "agent"}
    )
    made = answer.json()
    assert answer.status_code == 201
    assert (made["author_type"], made["author_id"], made["author_name"]) == (
        "user",
        board.person.user_id,
        "Manager Example",
    )
    assert await board.events(since) == [("issue.updated", {"id": issue["id"]})]
    named = {"crewId": board.crew.id, "identifier": issue["identifier"], "body": " "}
    answered = await board.data(COMMENT, world.owner, **{"in": named})
    assert answered == {"body": " ", "authorName": "Owner Example", "issue": {"commentCount": 2}}
    by = [
        (ActorType.agent, board.worker.id),
        (ActorType.agent, UNKNOWN),
        (ActorType.user, UNKNOWN),
        (ActorType.system, ""),
    ]
    await world.add(
        *[
            IssueComment(mission_id=issue["id"], author_type=type, author_id=id, body=id, **board.here)
            for type, id in by
        ]
    )
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", board.worker.id)
    rows = await board.read(board.of_issue(issue, "/comments"))
    assert [row.get("author_name") for row in rows] == [
        "Manager Example",
        "Owner Example",
        board.worker.name,
        None,
        None,
        "System",
    ]
    assert (await board.get(issue))["comment_count"] == 6
    assert await board.activity(issue) == []


async def test_an_agent_of_another_workspace_has_no_name_here(board: Board) -> None:
    there, issue = await Board.of(board.world, board.world.other), await board.create()
    await board.world.add(
        IssueComment(
            mission_id=issue["id"], author_type=ActorType.agent, author_id=there.worker.id, body="x", **board.here
        )
    )
    [row] = await board.read(board.of_issue(issue, "/comments"))
    assert "author_name" not in row


async def test_a_bad_comment_is_refused(board: Board) -> None:
    issue = await board.create()
    before = await board.world.snapshot()
    for body in ({}, {"body": ""}, {"body": None}, {"body": 1}):
        assert (await board.ask("POST", board.of_issue(issue, "/comments"), body)).status_code == 400
    for person in (board.world.member, board.world.viewer):
        assert (await board.ask("POST", board.of_issue(issue, "/comments"), {"body": ""}, person)).status_code == 403
    assert (await board.ask("POST", f"{board.path}/NOPE-1/comments", {"body": ""})).status_code == 404
    assert await board.world.snapshot() == before


async def test_issues_below_are_those_of_any_crew_in_their_order(world: World) -> None:
    board, other = await Board.of(world), await Board.of(world)
    above = await board.create()
    first, second = (
        await board.create("First", parent_issue_id=above["id"]),
        await other.create("Second", parent_issue_id=above["id"]),
    )
    third = await board.create("Third", parent_issue_id=above["id"])
    await board.mission(parent_issue_id=above["id"])
    await board.change(first, sort_order=5)
    await board.change(third, sort_order=-0.5)
    rows = await board.read(board.of_issue(above, "/subtasks"))
    assert [row["id"] for row in rows] == [third["id"], second["id"], first["id"]]
    assert (await board.get(above))["sub_issues_count"] == 3
    assert await board.read(board.of_issue(first, "/subtasks")) == []
    assert (await other.ask("GET", other.of_issue(above, "/subtasks"))).status_code == 404


RELATIONS = (
    "query($ws: ID, $crew: ID!, $issue: String!) {"
    " issueRelations(workspaceId: $ws, crewId: $crew, identifier: $issue) {"
    " id relationId relationType targetIdentifier } }"
)
UNRELATE = "mutation($ws: ID, $id: ID!) { deleteIssueRelation(workspaceId: $ws, input: {id: $id}) { status } }"


async def test_each_end_of_a_relation_is_an_object_of_its_own(world: World) -> None:
    board = await Board.of(world)
    a, b = await board.create("A"), await board.create("B")
    for kind in ("blocks", "relates_to"):
        assert (await relate(board, a, kind, b)).status_code == 201

    async def seen(issue: dict[str, Any]) -> list[dict[str, Any]]:
        named = {"crew": board.crew.id, "issue": issue["identifier"]}
        answer = await world.graphql(world.owner, RELATIONS, named)
        return list(answer["data"]["issueRelations"])

    ours, theirs = await seen(a), await seen(b)
    stored = [row["id"] for row in await board.read(board.of_issue(a, "/relations"))]
    assert [row["relationId"] for row in ours] == [row["relationId"] for row in theirs] == stored
    assert len({row["id"] for row in (*ours, *theirs)}) == 4
    for id, left in ((ours[0]["id"], 1), (theirs[1]["id"], 0)):
        answer = await world.graphql(world.owner, UNRELATE, {"id": id})
        assert answer["data"] == {"deleteIssueRelation": {"status": "ok"}}
        assert [len(await seen(issue)) for issue in (a, b)] == [left, left]
    refused = await world.graphql(world.owner, UNRELATE, {"id": ours[0]["id"]})
    assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert (await relate(board, a, "blocks", b)).status_code == 201
    [row] = await seen(a)
    answer = await world.graphql(world.owner, UNRELATE, {"id": row["id"] + ":source"})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    answer = await world.graphql(world.owner, UNRELATE, {"id": row["relationId"]})
    assert answer["data"] == {"deleteIssueRelation": {"status": "ok"}}
