"""Edges from the answer of a mutation to the rows that it changed: as they are afterwards, to those who may read them,
and at no cost for those who do not ask.
"""

from typing import Any

import pytest

from models.staff.chats import Chat, Message, MessageRole
from models.work.missions import Mission
from resolvers.kernel import one, written
from resolvers.kernel.reader import GRAPHS, extend
from resolvers.work.issues.graph import ISSUE_ROWS
from resolvers.work.missions.actions import MissionState
from tests.round_trips import sent
from tests.work.issues.board import UNKNOWN, Board
from tests.world import Person, World

pytestmark = pytest.mark.anyio
START = """mutation($ws: ID, $crew: ID!, $issue: String!) {
    startIssue(workspaceId: $ws, input: {crewId: $crew, identifier: $issue}) %s }"""
BULK = """mutation($ws: ID, $in: BulkUpdateInput!) {
    updateIssues(workspaceId: $ws, input: $in) { updated notFound issues { id status } } }"""
REACT = """mutation($chat: ID!, $message: ID!) {
    addReaction(input: {chatId: $chat, messageId: $message, emoji: "👍"}) {
        success message { id reactions { emoji count } } } }"""
TOKEN = 'mutation { createCliToken(input: {name: "t", scopes: ["agents:write", "crews:write"]}) { token } }'


async def change(board: Board, text: str, person: Person | None = None, **values: Any) -> Any:
    answer = await board.world.graphql(person or board.world.owner, text, values)
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else next(iter(answer["data"].values()))


async def begun(board: Board, selection: str, **issue: Any) -> Any:
    made = await board.create(**{"assignee_type": "agent", "assignee_id": board.worker.id, **issue})
    answer = await change(board, START % selection, crew=board.crew.id, issue=made["identifier"])
    return made, answer


@pytest.fixture
async def board(world: World) -> Board:
    return await Board.of(world)


async def test_the_row_is_as_it_is_after_the_change(board: Board) -> None:
    made, answer = await begun(
        board, "{ status same: issue { id status activity { action } } issue { __typename identifier crew { name } } }"
    )
    assert answer["issue"] == {
        "__typename": "Issue",
        "identifier": made["identifier"],
        "crew": {"name": board.crew.name},
    }
    assert answer["same"]["id"] == made["id"]
    assert answer["same"]["status"] == "IN_PROGRESS"
    assert [each["action"] for each in answer["same"]["activity"]][:1] == ["status_changed"]
    stored = await board.world.database.fetchval("SELECT status FROM missions WHERE id = $1", made["id"])
    assert stored == "IN_PROGRESS"


async def test_who_does_not_ask_pays_nothing(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    trips = {}
    for name, selection in (("without", "{ status }"), ("with", "{ status issue { id } }")):
        await begun(board, selection)
        issue = await board.create(assignee_type="agent", assignee_id=board.worker.id)
        with sent(monkeypatch) as made:
            await change(board, START % selection, crew=board.crew.id, issue=issue["identifier"])
        trips[name] = list(made)
    assert 0 < len(trips["with"]) - len(trips["without"]) <= 2


async def test_many_rows_and_ids_of_none(board: Board) -> None:
    first, second, done = await board.create(), await board.create(), await board.create()
    await board.world.database.execute("UPDATE missions SET status = 'DONE' WHERE id = $1", done["id"])
    ids = [first["id"], UNKNOWN, second["id"], done["id"], first["id"]]
    answer = await change(board, BULK, **{"in": {"ids": ids, "updates": {"status": "TODO"}}})
    assert (answer["updated"], answer["notFound"]) == (3, [UNKNOWN])
    assert sorted((row["id"], row["status"]) for row in answer["issues"]) == sorted(
        (issue["id"], "TODO") for issue in (first, second)
    )
    nothing = await change(board, BULK, **{"in": {"ids": [UNKNOWN], "updates": {"status": "TODO"}}})
    assert nothing == {"updated": 0, "notFound": [UNKNOWN], "issues": []}
    rest = await board.ask("PATCH", "/api/v1/issues/bulk", {"ids": [UNKNOWN], "updates": {"status": "TODO"}})
    assert (rest.status_code, rest.json()) == (200, {"updated": 0})


async def test_the_row_may_be_another_one_than_the_logged_one(board: Board) -> None:
    world = board.world
    chat = Chat(agent_id=board.worker.id, created_by=world.owner.user_id, title="Weather", **board.here)
    message = Message(
        chat_id=chat.id, seq=1, agent_id=board.worker.id, role=MessageRole.user, content="Rain?", **board.here
    )
    await world.add(chat, message)
    for _ in range(2):  # the second time nothing changes
        answer = await change(board, REACT, chat=chat.id, message=message.id)
        assert answer["message"] == {"id": message.id, "reactions": [{"emoji": "👍", "count": 1}]}
    foreign = await change(board, REACT, world.outsider, chat=chat.id, message=message.id)
    assert foreign in ("NOT_FOUND", "FORBIDDEN")


async def test_the_edge_needs_what_its_row_needs(board: Board) -> None:
    """Before anything is written."""
    world = board.world
    issue = await board.create(assignee_type="agent", assignee_id=board.worker.id)
    named = {"crew": board.crew.id, "issue": issue["identifier"]}
    calls = "{ issue { id modelCalls { id } } }"
    token = (await world.graphql(world.owner, TOKEN))["data"]["createCliToken"]["token"]
    before = await world.snapshot()
    limited = Person("limited", world.owner.user_id, "", token)
    assert await change(board, START % "{ status issue { id } }", limited, **named) == "FORBIDDEN"
    assert await change(board, START % calls, world.viewer, **named) == "FORBIDDEN"
    assert await world.snapshot() == before
    answer = await change(board, START % calls, **named)
    assert answer == {"issue": {"id": issue["id"], "modelCalls": []}}


async def test_an_answer_with_a_row_is_kept_for_its_key(board: Board) -> None:
    issue = await board.create(assignee_type="agent", assignee_id=board.worker.id)
    named = {"crew": board.crew.id, "issue": issue["identifier"]}
    text = START % "{ status issue { id status version } }"
    first = await board.world.graphql(board.world.owner, text, named, **{"idempotency-key": "k1"})
    await board.world.database.execute("UPDATE missions SET title = 'Later' WHERE id = $1", issue["id"])
    again = await board.world.graphql(board.world.owner, text, named, **{"idempotency-key": "k1"})
    assert first["data"] == again["data"]
    assert first["data"]["startIssue"]["issue"]["status"] == "IN_PROGRESS"


def test_only_outputs_have_such_edges() -> None:
    with pytest.raises(TypeError, match=r"Mission\.later: `written` edges lead from Outputs"):
        extend(Mission, later=written(ISSUE_ROWS))
    with pytest.raises(TypeError, match=r"MissionState\.later: `written` edges lead from Outputs"):
        extend(MissionState, later=one(Mission, "id"))
    with pytest.raises(TypeError, match=r"MissionState\.status is declared already"):
        extend(MissionState, status=written(ISSUE_ROWS))
    assert set(GRAPHS[MissionState]) == {"mission"}
