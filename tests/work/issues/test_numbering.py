"""Issue numbers: no gap, never twice, and one identifier is one issue (contract: issues.behaviour.identifiers)."""

import asyncio
from typing import Any

import pytest

from tests.work.issues.board import ISSUES, UNKNOWN, Board
from tests.world import World

pytestmark = pytest.mark.anyio
CREATE = "mutation($ws: ID, $in: CreateIssueInput!) { createIssue(workspaceId: $ws, input: $in) { number identifier } }"


async def counter(board: Board) -> int:
    return await board.world.database.fetchval("SELECT issue_counter FROM crews WHERE id = $1", board.crew.id)  # type: ignore[no-any-return]


async def test_forty_at_once_take_one_to_forty(board: Board) -> None:
    by_rest = [board.create(f"Leak {n}") for n in range(20)]
    by_graphql = [board.data(CREATE, **{"in": {"crewId": board.crew.id, "title": f"Leak {n}"}}) for n in range(20)]
    made = await asyncio.gather(*by_rest, *by_graphql)
    assert sorted(issue["number"] for issue in made) == list(range(1, 41))
    assert {issue["identifier"] for issue in made} == {f"{board.crew.issue_prefix}-{n}" for n in range(1, 41)}
    assert await counter(board) == 40


async def test_a_create_that_fails_gives_its_number_back(board: Board) -> None:
    await board.create()
    before = await board.world.snapshot()
    for body in (
        {"title": ""},
        {"title": "x", "project_id": UNKNOWN},
        {"title": "x", "labels": [UNKNOWN]},
        {"title": "x", "routine_inputs": {"a": 1}},
    ):
        assert (await board.ask("POST", board.path, body)).status_code == 400
    assert await board.world.snapshot() == before
    assert (await board.create())["number"] == 2


async def test_the_number_of_a_deleted_issue_is_not_used_again(board: Board) -> None:
    await board.create()
    last = await board.create()
    assert (await board.ask("DELETE", board.of_issue(last))).status_code == 204
    assert (await board.create())["number"] == 3


@pytest.mark.parametrize(
    ("slug", "prefix", "begins"), [("harbour-1", None, "HAR"), ("ab", "", "AB"), ("quay-1", "Q7", "Q7")]
)
async def test_the_prefix_is_the_crews_or_begins_its_slug(
    world: World, slug: str, prefix: str | None, begins: str
) -> None:
    board = await Board.of(world, slug=slug, issue_prefix=prefix)
    assert (await board.create())["identifier"] == f"{begins}-1"


async def test_a_new_prefix_counts_on(board: Board) -> None:
    first = await board.create()
    await board.world.database.execute("UPDATE crews SET issue_prefix = 'NEW' WHERE id = $1", board.crew.id)
    assert (await board.create())["identifier"] == "NEW-2"
    assert (await board.get(first))["identifier"] == first["identifier"]


async def test_two_crews_of_one_prefix_take_the_next_free_number(world: World) -> None:
    one, two = [await Board.of(world, issue_prefix="SAME") for _ in range(2)]
    for n in (1, 2, 3):
        assert (await one.create())["identifier"] == f"SAME-{n}"
    since = await two.since()
    made = await two.create()
    assert (made["number"], made["identifier"]) == (4, "SAME-4")
    assert await two.events(since) == [("issue.created", {"id": made["id"]})]
    assert (await two.create())["number"] == 5
    assert (await one.create())["number"] == 6
    assert (await one.get({"identifier": "SAME-4"}))["crew_id"] == two.crew.id
    assert (await one.ask("GET", one.of_issue(made))).status_code == 404


async def test_crews_of_one_prefix_create_side_by_side(world: World) -> None:
    """Every one of them finds a number, at once and without a refusal."""
    boards = [await Board.of(world, issue_prefix="MANY") for _ in range(4)]
    made = await asyncio.gather(*[boards[n % 4].create(f"Leak {n}") for n in range(60)])
    identifiers = [issue["identifier"] for issue in made]
    assert len(set(identifiers)) == 60
    assert {issue["identifier"] for issue in made} == {f"MANY-{issue['number']}" for issue in made}
    for n, board in enumerate(boards):
        numbers = [issue["number"] for issue in made[n::4]]
        assert len(set(numbers)) == 15
        assert await counter(board) == max(numbers)
    assert await world.database.fetchval("SELECT count(*) FROM missions WHERE identifier LIKE 'MANY-%'") == 60


async def test_the_same_identifier_in_another_workspace_is_another_issue(world: World) -> None:
    here, there = await Board.of(world, issue_prefix="BOTH"), await Board.of(world, world.other, issue_prefix="BOTH")
    mine, theirs = await here.create("Mine"), await there.create("Theirs")
    assert mine["identifier"] == theirs["identifier"] == "BOTH-1"
    assert [(await board.get(mine))["title"] for board in (here, there)] == ["Mine", "Theirs"]


async def test_agents_and_users_share_the_count(world: World) -> None:
    board = await Board.of(world)
    token = world.settings.internal_token.get_secret_value()  # type: ignore[union-attr]
    body: dict[str, Any] = {"workspace_id": world.workspace.id, "crew_id": board.crew.id, "title": "Found"}

    async def by_agent() -> int:
        answer = await world.rest(
            None,
            "POST",
            f"/api/v1/internal{ISSUES.removeprefix('/api/v1')}",
            body,
            workspace=None,
            **{"x-internal-token": token},
        )
        assert answer.status_code == 201, answer.text[:300]
        return int(answer.json()["identifier"].rpartition("-")[2])

    async def by_user() -> int:
        return int((await board.create())["number"])

    numbers = await asyncio.gather(*[made() for made in (by_agent, by_user) * 6])
    assert sorted(numbers) == list(range(1, 13))
