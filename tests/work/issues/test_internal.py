"""What agents do with issues, with the internal token: of the instance, or bound to a workspace."""

from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.staff.agents import Agent
from resolvers.identity.machine_tokens import issue_workspace_token
from tests.work.issues.board import UNKNOWN, Board
from tests.world import World, now

pytestmark = pytest.mark.anyio
INTERNAL = "/api/v1/internal/issues"


def master(world: World) -> str:
    assert world.settings.internal_token is not None
    return world.settings.internal_token.get_secret_value()


async def ask(
    board: Board,
    method: str,
    path: str = "",
    body: dict[str, Any] | None = None,
    token: str | None = None,
    **query: Any,
) -> httpx2.Response:
    """With the workspace of the board in the body, or without one in the query."""
    sent = {} if body is None else {"json": {"workspace_id": board.crew.workspace_id} | body}
    place = {} if body is not None else {"workspace_id": board.crew.workspace_id}
    async with board.world.client(None, **{"x-internal-token": token or master(board.world)}) as client:
        return await client.request(method, f"{INTERNAL}{path}", params=place | query, **sent)


async def update(board: Board, issue: dict[str, Any], **body: Any) -> httpx2.Response:
    return await ask(board, "PATCH", f"/{issue['identifier']}", body)


async def test_an_agent_creates_an_issue(board: Board) -> None:
    label, there = await board.label(), await Board.of(board.world, board.world.other)
    theirs, since = await there.label(), await board.since()
    body = {
        "crew_id": board.crew.id,
        "title": "Found",
        "description": "In the hold",
        "author_agent_id": board.worker.id,
        "priority": "high",
    }
    answer = await ask(
        board, "POST", "", body | {"labels": [label.id, theirs.id, UNKNOWN, label.id], "assignee_id": board.lead.id}
    )
    made = answer.json()
    assert answer.status_code == 201
    assert made == {"id": made["id"], "identifier": f"{board.crew.issue_prefix}-1", "status": "BACKLOG"}
    assert await board.events(since) == [
        ("issue.created", {"id": made["id"], "identifier": made["identifier"], "title": "Found"})
    ]
    found = await board.get(made)
    assert found["created_by"] == {"type": "agent", "id": board.worker.id, "name": board.worker.name}
    assert (found["authored_via"], found["lead_agent_id"], found["assignee_id"]) == (
        "agent_tool_call",
        board.lead.id,
        board.lead.id,
    )
    assert [each["id"] for each in found["labels"]] == [label.id]
    assert await board.activity(made) == []


async def test_without_an_author_nobody_is_the_creator(board: Board) -> None:
    made = (await ask(board, "POST", "", {"crew_id": board.crew.id, "title": "Found", "author_agent_id": None})).json()
    found = await board.get(made)
    assert "created_by" not in found
    assert found["authored_via"] == "agent_tool_call"


async def test_an_author_is_an_agent_of_the_crew(board: Board) -> None:
    other, there = await Board.of(board.world), await Board.of(board.world, board.world.other)
    gone = Agent(name="Gone", slug=new_id(), crew_id=board.crew.id, deleted_at=now(), **board.here)
    await board.world.add(gone)
    before = await board.world.snapshot()
    for id in (other.worker.id, there.worker.id, gone.id, UNKNOWN, board.world.owner.user_id, ""):
        answer = await ask(board, "POST", "", {"crew_id": board.crew.id, "title": "x", "author_agent_id": id})
        assert (answer.status_code, list(answer.json().get("fields", {}))) == (400, ["author_agent_id"]), id
    for body, status in (
        ({"crew_id": there.crew.id, "title": "x"}, 404), ({"crew_id": UNKNOWN, "title": "x"}, 404),
        ({"crew_id": "", "title": "x"}, 400),
        ({"title": "x"}, 400), ({"crew_id": board.crew.id}, 400), ({"crew_id": board.crew.id, "title": ""}, 400),
        ({"crew_id": board.crew.id, "title": "x", "assignee_id": there.worker.id}, 400),
        ({"crew_id": board.crew.id, "title": "x", "workspace_id": ""}, 400),
    ):  # fmt: skip
        assert (await ask(board, "POST", "", body)).status_code == status, body
    assert await board.world.snapshot() == before
    await board.world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", board.lead.id)
    answer = await ask(board, "POST", "", {"crew_id": board.crew.id, "title": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Crew has no LEAD agent")


async def test_a_bound_token_works_in_its_workspace_alone(board: Board) -> None:
    world, issue, there = board.world, await board.create(), await Board.of(board.world, board.world.other)
    theirs = await there.create()
    own, foreign = [issue_workspace_token(master(world), place.id) for place in (world.workspace, world.other)]
    path, body = f"/{issue['identifier']}", {"agent_id": board.worker.id, "body": "x"}
    calls: list[tuple[str, str, dict[str, Any] | None, int]] = [
        ("GET", "", None, 200), ("GET", path, None, 200), ("POST", "", {"crew_id": board.crew.id, "title": "x"}, 201),
        ("PATCH", path, {"priority": "low"}, 200), ("POST", f"{path}/comments", body, 201),
    ]  # fmt: skip
    before = await world.snapshot()
    for method, at, sent, _ in calls:
        for token in (foreign, "wrong", f"{own}0"):
            answer = await ask(board, method, at, sent, token)
            assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden"), (method, at, token)
    assert await world.snapshot() == before
    for method, at, sent, status in calls:
        assert (await ask(board, method, at, sent, own)).status_code == status, (method, at)
    assert (await ask(board, "GET", f"/{theirs['identifier']}", token=own)).status_code == 404
    assert (await ask(board, "GET", f"/{theirs['identifier']}")).status_code == 404


async def test_no_workspace_is_a_bad_request(board: Board) -> None:
    issue = await board.create()
    path = f"{INTERNAL}/{issue['identifier']}"
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", INTERNAL, None), ("GET", path, None), ("POST", INTERNAL, {"crew_id": board.crew.id, "title": "x"}),
        ("PATCH", path, {"priority": "low"}),
        ("POST", f"{path}/comments", {"agent_id": board.worker.id, "body": "x"}),
    ]  # fmt: skip
    before = await board.world.snapshot()
    for method, at, body in calls:
        answer = await board.world.rest(
            None, method, at, body, workspace=None, **{"x-internal-token": master(board.world)}
        )
        assert answer.status_code == 400, (method, at, answer.text[:200])
    assert await board.world.snapshot() == before


async def test_agents_list_and_read_as_users_do(board: Board) -> None:
    """But for the names of assignees."""
    label, assigned = await board.label(), {"assignee_type": "agent", "assignee_id": board.worker.id}
    issues = [await board.create(f"Leak {n}", labels=[label.id], **assigned) for n in range(3)]

    def unnamed(issue: dict[str, Any]) -> dict[str, Any]:
        assert issue["assignee_name"] == board.worker.name
        return {key: value for key, value in issue.items() if key != "assignee_name"}

    await board.ask("POST", board.of_issue(issues[0], "/comments"), {"body": "x"})
    listed = (await ask(board, "GET", crew_id=board.crew.id, limit=2)).json()
    assert [each["title"] for each in listed] == ["Leak 2", "Leak 1"]
    assert listed == [unnamed(each) for each in await board.read("/api/v1/issues", crew_id=board.crew.id, limit=2)]
    assert (await ask(board, "GET", f"/{issues[0]['identifier']}")).json() == unnamed(await board.get(issues[0]))
    assert (await ask(board, "GET", crew_id=board.crew.id, search="LEAK 1")).json()[0]["id"] == issues[1]["id"]


async def test_an_agent_moves_an_issue_and_says_why(board: Board) -> None:
    issue, since = await board.create(), await board.since()
    answer = await update(
        board, issue, status="IN_PROGRESS", priority="high", comment="On it", agent_id=board.worker.id
    )
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    told = ("issue.updated", {"id": issue["id"], "identifier": issue["identifier"]})
    assert await board.events(since) == [told]
    assert await board.activity(issue) == [
        (board.worker.id, "status_changed", "BACKLOG \u2192 IN_PROGRESS"),
        (board.worker.id, "priority_changed", "high"),
    ]  # fmt: skip
    [comment] = await board.read(board.of_issue(issue, "/comments"))
    assert (comment["author_type"], comment["author_id"], comment["author_name"], comment["body"]) == (
        "agent",
        board.worker.id,
        board.worker.name,
        "On it",
    )
    await update(board, issue, status="DONE")
    assert (await board.get(issue))["completed_at"] is not None
    [last, *_] = await board.read(board.of_issue(issue, "/activity"))
    assert (last["actor_type"], last["actor_name"], last["details"]) == ("system", "System", "IN_PROGRESS \u2192 DONE")


async def test_what_no_agent_is_named_for_was_done_by_the_system(board: Board) -> None:
    issue = await board.create()
    assert (await update(board, issue, priority="low")).status_code == 200
    [row] = await board.read(board.of_issue(issue, "/activity"))
    assert (row["actor_type"], row["actor_id"], row["actor_name"]) == ("system", "system", "System")


async def test_the_present_state_changes_nothing_and_is_told(board: Board) -> None:
    issue, since = await board.create(), await board.since()
    before = await board.row(issue)
    for body in ({"status": "BACKLOG"}, {}, {"status": None, "priority": None, "comment": None, "agent_id": None}):
        assert (await update(board, issue, **body)).json() == {"status": "ok"}
    assert await board.row(issue) == before
    assert await board.activity(issue) == []
    assert await board.events(since) == [("issue.updated", {"id": issue["id"], "identifier": issue["identifier"]})] * 3


async def test_a_refusal_keeps_nothing(board: Board) -> None:
    there, issue = await Board.of(board.world, board.world.other), await board.create()
    before = await board.world.snapshot()
    for body in (
        {"status": "DONE", "priority": "high", "comment": "x", "agent_id": board.worker.id}, {"status": "NOPE"},
        {"status": "COMPLETED"},
        {"priority": "high", "comment": "x"}, {"priority": "high", "comment": "", "agent_id": board.worker.id},
        {"priority": "high", "agent_id": there.worker.id}, {"priority": "high", "agent_id": UNKNOWN},
        {"priority": "high", "agent_id": ""},
    ):  # fmt: skip
        assert (await update(board, issue, **body)).status_code == 400, body
    assert (await update(board, {"identifier": "NOPE-1"}, priority="high")).status_code == 404
    assert await board.world.snapshot() == before


async def test_an_agent_comments(board: Board) -> None:
    other, there, issue = (
        await Board.of(board.world),
        await Board.of(board.world, board.world.other),
        await board.create(),
    )
    since, path = await board.since(), f"/{issue['identifier']}/comments"
    answer = await ask(board, "POST", path, {"agent_id": other.worker.id, "body": "From another crew"})
    made = answer.json()
    assert (answer.status_code, made["author_type"], made["author_id"], made["body"]) == (
        201,
        "agent",
        other.worker.id,
        "From another crew",
    )
    assert "author_name" not in made
    assert await board.events(since) == [("issue.updated", {"id": issue["id"], "identifier": issue["identifier"]})]
    before = await board.world.snapshot()
    for body in (
        {"body": "x"}, {"agent_id": "", "body": "x"}, {"agent_id": there.worker.id, "body": "x"},
        {"agent_id": UNKNOWN, "body": "x"},
        {"agent_id": board.worker.id, "body": ""}, {"agent_id": board.worker.id},
    ):  # fmt: skip
        assert (await ask(board, "POST", path, body)).status_code == 400, body
    assert (await ask(board, "POST", "/NOPE-1/comments", {"agent_id": board.worker.id, "body": "x"})).status_code == 404
    assert await board.world.snapshot() == before


async def test_a_users_token_opens_nothing(board: Board) -> None:
    issue = await board.create()
    for method, path in (("GET", INTERNAL), ("GET", f"{INTERNAL}/{issue['identifier']}"), ("POST", INTERNAL)):
        assert (await board.ask(method, path, {} if method == "POST" else None, board.world.owner)).status_code == 403
