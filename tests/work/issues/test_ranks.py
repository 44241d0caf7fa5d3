"""The order of a board: ranks have room between them, and moves at once are as one after the other."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.work.issues import ranks
from resolvers.work.issues.ranks import LONGEST, MOST_SPREAD, spread
from tests.work.issues.board import UNKNOWN, Board

MOVE = "mutation($ws: ID, $in: MoveIssueInput!) { moveIssue(workspaceId: $ws, input: $in) { id status rank version } }"
FIRST: Any = None


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
def test_between_two_ranks_there_is_always_another(places: list[int]) -> None:
    order: list[str] = []
    for place in places:
        at = place % (len(order) + 1)
        low, high = (order[at - 1] if at else None), (order[at] if at < len(order) else None)
        [new] = spread(low, high, 1)
        assert new.isdigit()
        assert not new.endswith("0")
        order.insert(at, new)
        assert order == sorted(set(order))


@given(st.from_regex(r"[0-9]{0,30}[1-9]", fullmatch=True), st.from_regex(r"[0-9]{0,30}[1-9]", fullmatch=True))
def test_many_places_at_once(one: str, other: str) -> None:
    low, high = min(one, other), max(one, other)
    if low == high:
        with pytest.raises(ValueError, match="is not before"):
            spread(low, high, 1)
        return
    for bounds in ((low, high), (low, None), (None, high)):
        made = spread(*bounds, MOST_SPREAD + 1)
        assert made == sorted(set(made))
        assert (bounds[0] or "") < made[0]
        assert bounds[1] is None or made[-1] < bounds[1]
        assert max(map(len, made)) <= max(len(low), len(high), 13) + 3


def test_places_at_the_ends_do_not_get_longer() -> None:
    for last in (True, False):
        rank = "0017645"
        for _ in range(10_000):
            [rank] = spread(rank, None, 1) if last else spread(None, rank, 1)
        assert len(rank) < 20


async def moved(board: Board, issue: Any, after: Any, **more: Any) -> Any:
    values = {"id": issue["id"], "after": after and after["id"]} | more
    return await board.data(MOVE, **{"in": values})


async def order(board: Board) -> list[str]:
    """The ids of the crew's issues."""
    rows = await board.world.database.fetch(
        "SELECT id, rank FROM missions WHERE crew_id = $1 ORDER BY rank, id", board.crew.id
    )
    assert len({row["rank"] for row in rows}) == len(rows)
    return [row["id"] for row in rows]


def after_move(before: list[str], id: str, after: str | None) -> list[str]:
    rest = [each for each in before if each != id]
    at = 0 if after is None else rest.index(after) + 1
    return [*rest[:at], id, *rest[at:]]


@pytest.mark.anyio
async def test_a_new_issue_is_the_last_and_a_moved_one_where_it_was_put(board: Board) -> None:
    issues = [await board.create(f"Leak {n}") for n in range(6)]
    known = [issue["id"] for issue in issues]
    assert await order(board) == known
    chosen = random.Random(7)
    for _ in range(40):
        issue, after = chosen.choice(issues), chosen.choice([None, *issues])
        if issue is not after:
            before = await board.row(issue)
            shown = await moved(board, issue, after)
            known = after_move(known, issue["id"], after and after["id"])
            row = await board.row(issue)
            assert (shown["rank"], shown["version"]) == (row["rank"], before["version"])
            assert await order(board) == known
    await asyncio.sleep(1.1)  # a place behind the last one may be that of an issue of the same second
    late = await board.create("Late")
    assert await order(board) == [*known, late["id"]]


@pytest.mark.anyio
async def test_a_move_to_a_column_and_a_place_is_one_change(board: Board) -> None:
    one, other, issue = [await board.create(f"Leak {n}") for n in range(3)]
    since = await board.since()
    shown = await moved(board, issue, one, status="REVIEW")
    assert (shown["status"], shown["version"]) == ("REVIEW", 2)
    assert await order(board) == [one["id"], issue["id"], other["id"]]
    assert await board.events(since) == [("issue.updated", {"id": issue["id"]})]
    assert [details for *_, details in await board.activity(issue)] == ["BACKLOG \u2192 REVIEW"]
    again = await board.row(issue)
    for values in ({"status": "REVIEW"}, {"status": "REVIEW", "after": one["id"]}, {"after": one["id"]}):
        await board.data(MOVE, **{"in": {"id": issue["id"]} | values})
        assert await board.row(issue) == again


@pytest.mark.anyio
async def test_what_is_no_move(board: Board) -> None:
    issue, mission = await board.create(), await board.mission()
    elsewhere = await Board.of(board.world, board.world.other)
    foreign = await elsewhere.create()
    before = await board.row(issue)
    for values in (
        {}, {"after": issue["id"]}, {"after": UNKNOWN}, {"after": mission.id}, {"after": foreign["id"]},
        {"status": "COMPLETED"}, {"status": "COMPLETED", "after": None},
    ):  # fmt: skip
        code, _ = await board.code(MOVE, **{"in": {"id": issue["id"]} | values})
        assert code == "BAD_REQUEST", values
    for id in (UNKNOWN, mission.id, foreign["id"]):
        code, text = await board.code(MOVE, **{"in": {"id": id, "after": None}})
        assert (code, text) == ("NOT_FOUND", "Issue not found"), id
    assert await board.row(issue) == before


@pytest.mark.anyio
async def test_moves_at_once_are_as_one_after_the_other(board: Board) -> None:
    """The outbox tells in which order they were done; the order of the board is what a list of theirs comes to."""
    issues = [await board.create(f"Leak {n}") for n in range(12)]
    known = await order(board)
    chosen = random.Random(11)
    for _ in range(5):
        movers = chosen.sample(issues, 8)
        wanted = {
            mover["id"]: chosen.choice([None, *[each for each in issues if each is not mover]]) for mover in movers
        }
        since = await board.since()
        await asyncio.gather(*[moved(board, mover, wanted[mover["id"]]) for mover in movers])
        for _, payload in await board.events(since):
            after = wanted.pop(payload["id"])
            known = after_move(known, payload["id"], after and after["id"])
        assert wanted == {}
        assert await order(board) == known


@pytest.mark.anyio
async def test_many_moves_to_one_place_neither_lengthen_ranks_nor_rewrite_the_column(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room runs out at last: then a few issues get new ranks, and no other."""
    monkeypatch.setattr(ranks, "MOST_SPREAD", 3)
    monkeypatch.setattr(ranks, "LONGEST", 26)
    issues = [await board.create(f"Leak {n}") for n in range(8)]
    known, most, rewritten = await order(board), 0, 0
    for n in range(60):
        issue = issues[2 + n % 2]
        before = {id: await rank_of(board, id) for id in known}
        await moved(board, issue, issues[0])
        known = after_move(known, issue["id"], issues[0]["id"])
        assert await order(board) == known
        changed = [id for id in known if await rank_of(board, id) != before[id]]
        most, rewritten = max(most, len(changed)), rewritten + (len(changed) > 1)
    assert rewritten > 0
    assert most <= 4
    assert max([len(await rank_of(board, id)) for id in known]) <= 30 < LONGEST


async def rank_of(board: Board, id: str) -> str:
    return await board.world.database.fetchval("SELECT rank FROM missions WHERE id = $1", id)  # type: ignore[no-any-return]
