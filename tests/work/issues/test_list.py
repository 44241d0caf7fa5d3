"""The list of issues: filters, orders, windows, and how few plans they all take."""

import itertools
from typing import Any

import pytest

from models.work.missions import Mission, MissionStatus
from resolvers.work import issues
from tests.every import each_of
from tests.work.issues.board import ISSUES, UNKNOWN, Board, word
from tests.world import World

pytestmark = pytest.mark.anyio
MOST_PLANS = 40
LIST = """
    query($ws: ID, $limit: Int, $first: Int, $after: String, $status: [MissionStatus!], $priority: [String!],
          $search: String, $crewId: ID, $sort: IssueSort) {
      issues(workspaceId: $ws, limit: $limit, first: $first, after: $after, status: $status, priority: $priority,
             search: $search, crewId: $crewId, sort: $sort) { nodes { title } pageInfo { hasNextPage endCursor } }
    }
"""
TITLES = {
    "Alpha bug": {"priority": "low"},
    "beta BUG": {"priority": "high"},
    "Gamma 100%": {"priority": "urgent"},
    "delta_x": {"priority": "medium"},
    "deltaax": {},
    "ÄRGER": {},
}


class Listed:
    """A board with issues of every kind, and a second crew."""

    def __init__(self, board: Board, other: Board, ids: dict[str, str]) -> None:
        self.board, self.other, self.ids = board, other, ids

    @classmethod
    async def of(cls, world: World) -> "Listed":
        board, other = await Board.of(world), await Board.of(world)
        a, b, project = await board.label("list-a"), await board.label("list-b"), await board.project()
        more: dict[str, dict[str, Any]] = {
            "Alpha bug": {"labels": [a.id]},
            "beta BUG": {"assignee_type": "agent", "assignee_id": board.worker.id},
            "Gamma 100%": {"labels": [a.id, b.id], "project_id": project.id},
        }
        made = {title: await board.create(title, **fields, **more.get(title, {})) for title, fields in TITLES.items()}
        made["Other crew bug"] = await other.create("Other crew bug")
        await board.mission(title="A mission bug")
        await board.change(made["delta_x"], status="IN_PROGRESS", sort_order=3)
        await board.change(made["Alpha bug"], status="TODO", sort_order=9)
        ids = {"a": a.id, "project": project.id} | {title: issue["id"] for title, issue in made.items()}
        return cls(board, other, ids)

    async def titles(self, **query: Any) -> list[str]:
        return [issue["title"] for issue in await self.board.read(ISSUES, **query)]

    async def nodes(self, **variables: Any) -> list[str]:
        return [issue["title"] for issue in (await self.board.data(LIST, **variables))["nodes"]]


@pytest.fixture(scope="module")
async def listed(world: World) -> Listed:
    return await Listed.of(world)


ALL = ["Other crew bug", "ÄRGER", "deltaax", "delta_x", "Gamma 100%", "beta BUG", "Alpha bug"]
BUGS = ["Other crew bug", "beta BUG", "Alpha bug"]
CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ALL),
    ({"mission_type": "orchestration"}, ["A mission bug"]),
    ({"mission_type": "nope"}, []),
    ({"status": "TODO"}, ["Alpha bug"]),
    ({"status": "TODO, IN_PROGRESS"}, ["delta_x", "Alpha bug"]),
    ({"status": "NOPE"}, []),
    ({"status": "NOPE,TODO"}, ["Alpha bug"]),
    ({"priority": "high,urgent"}, ["Gamma 100%", "beta BUG"]),
    ({"priority": "none"}, ["Other crew bug", "ÄRGER", "deltaax"]),
    ({"label": "list-a"}, ["Gamma 100%", "Alpha bug"]),
    ({"label": "LIST-A"}, []),
    ({"search": "bug"}, BUGS),
    ({"search": "100%"}, ["Gamma 100%"]),
    ({"search": "%"}, ["Gamma 100%"]),
    ({"search": "delta_x"}, ["delta_x"]),
    ({"search": "_"}, ["delta_x"]),
    ({"search": "\\"}, []),
    ({"search": "ärger"}, []),
    ({"search": "Ärger"}, ["ÄRGER"]),
    ({"search": "text"}, []),
    ({"label": "list-a", "priority": "urgent", "search": "gamma"}, ["Gamma 100%"]),
    ({"label": "list-a", "priority": "high"}, []),
    ({"sort": "updated_at", "limit": 2}, ["Alpha bug", "delta_x"]),
    ({"sort": "sort_order", "limit": 2}, ["Alpha bug", "delta_x"]),
    ({"sort": "title", "limit": 2}, ALL[:2]),
    ({"limit": 2, "offset": 2}, ALL[2:4]),
    ({"limit": 1, "offset": -5}, ALL[:1]),
    ({"offset": 100}, []),
    ({"limit": "abc"}, ALL),
    ({"status": "", "priority": "", "search": "", "limit": "", "sort": "", "mission_type": ""}, ALL),
]


@each_of(("query", "titles"), CASES, ids=[str(query) for query, _ in CASES])
async def test_what_a_list_shows(listed: Listed, query: dict[str, Any], titles: list[str]) -> None:
    assert await listed.titles(**query) == titles


async def test_filters_by_id(listed: Listed) -> None:
    board, ids = listed.board, listed.ids
    assert await listed.titles(project_id=ids["project"]) == ["Gamma 100%"]
    assert await listed.titles(assignee_id=board.worker.id) == ["beta BUG"]
    assert await listed.titles(crew_id=listed.other.crew.id) == ["Other crew bug"]
    assert (
        await listed.titles(crew_id=board.crew.slug)
        == await listed.titles(label=ids["a"])
        == await listed.titles(project_id=UNKNOWN)
        == []
    )
    assert await listed.titles(crew_id=board.crew.id, search="bug", status="TODO,BACKLOG") == ["beta BUG", "Alpha bug"]


async def test_priority_sorts_as_text(listed: Listed) -> None:
    shown = [issue["priority"] for issue in await listed.board.read(ISSUES, sort="priority")]
    assert shown == ["urgent", "none", "none", "none", "medium", "low", "high"]


async def test_of_equal_ones_the_newest_comes_first(listed: Listed) -> None:
    by_priority = ["Gamma 100%", "Other crew bug", "ÄRGER", "deltaax", "delta_x", "Alpha bug", "beta BUG"]
    by_hand = ["Alpha bug", "delta_x", "Other crew bug", "ÄRGER", "deltaax", "Gamma 100%", "beta BUG"]
    for sort, titles in (("priority", by_priority), ("sort_order", by_hand)):
        assert await listed.titles(sort=sort) == await listed.nodes(sort=sort) == titles


async def test_graphql_lists_the_same(listed: Listed) -> None:
    for query, titles in CASES:
        if (
            query.keys() & {"mission_type", "offset", "label"}
            or "NOPE" in str(query)
            or {"title", "abc"} & set(query.values())
        ):
            continue
        variables: dict[str, Any] = dict(query)
        for name in ("status", "priority"):
            if name in variables:
                variables[name] = [part.strip() for part in variables[name].split(",")]
        assert await listed.nodes(**variables) == titles, query


async def test_no_status_at_all_is_none_of_them(listed: Listed) -> None:
    """An empty list is a filter: nothing is in it."""
    assert await listed.nodes(status=[]) == await listed.nodes(priority=[]) == []


async def test_pages_follow_each_other(listed: Listed) -> None:
    for sort in ("created_at", "updated_at", "priority", "sort_order"):
        seen, after = list[str](), None
        while True:
            page = await listed.board.data(LIST, first=2, after=after, sort=sort)
            seen += [issue["title"] for issue in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert sorted(seen) == sorted(ALL)
        assert seen == await listed.nodes(sort=sort)


async def test_more_than_a_hundred_is_fifty(world: World) -> None:
    board = await Board.of(world, world.other)
    row = await board.row(await board.create())
    await world.add(
        *[
            Mission(**row | {"id": f"cmany{n}", "number": n, "identifier": f"MANY-{n}", "trace_id": f"many{n}"})
            for n in range(120)
        ]
    )

    async def size(**query: Any) -> int:
        return len(await board.read(ISSUES, **query))

    asked = ("", 7, 100, 101, 500, 0, -1, "x", 999_999_999_999)
    assert [await size(limit=limit) for limit in asked] == [50, 7, 100, 50, 50, 50, 50, 50, 50]
    whole = [issue["id"] for issue in await board.read(ISSUES, limit=100)]
    rest = [issue["id"] for issue in await board.read(ISSUES, limit=100, offset=100)]
    assert (len(whole), len(set(whole + rest))) == (100, 121)
    assert [issue["id"] for issue in await board.read(ISSUES, limit=500, offset=50)] == whole[50:]


@pytest.mark.slow
async def test_all_combinations_take_few_plans(listed: Listed) -> None:
    """A plan is compiled for each order and each filter that leads, whatever else is asked; and all of them agree."""
    board, ids = listed.board, listed.ids
    values = {
        "project_id": ids["project"], "crew_id": board.crew.id, "assignee_id": board.worker.id, "status": "BACKLOG",
        "priority": "urgent",
        "label": "list-a", "search": "gamma", "mission_type": "issue",
    }  # fmt: skip
    plans = issues.list_issues.plans
    asked, known = 0, set(plans)
    async with board.world.client(board.person) as client:
        for sort in ("created_at", "updated_at", "priority", "sort_order", "nonsense"):
            for size in range(len(values) + 1):
                for names in itertools.combinations(values, size):
                    query = {name: values[name] for name in names} | {
                        "sort": sort,
                        "workspace_id": board.crew.workspace_id,
                    }
                    answer = await client.get(ISSUES, params=query)
                    assert answer.status_code == 200, answer.text[:300]
                    gamma = {name for name in names if name not in ("crew_id", "status", "mission_type")}
                    if "assignee_id" not in names and gamma:
                        assert {issue["title"] for issue in answer.json()} >= {"Gamma 100%"}
                    asked += 1
    assert asked == 5 * 2 ** len(values)
    assert len(set(plans) - known) <= MOST_PLANS
    assert len([key for key in plans if key[0] == next(iter(set(plans)))[0]]) <= MOST_PLANS


async def test_edges_filter_as_the_list_does(listed: Listed) -> None:
    board, ids = listed.board, listed.ids
    document = """
        query($ws: ID, $id: ID!, $search: String, $status: [MissionStatus!]) {
          crew(workspaceId: $ws, id: $id) { issues(search: $search, status: $status, limit: 200) { nodes { title } } }
        }
    """

    async def titles(**variables: Any) -> list[str]:
        return [
            issue["title"] for issue in (await board.data(document, id=board.crew.id, **variables))["issues"]["nodes"]
        ]

    assert await titles() == ALL[1:]
    assert await titles(search="BUG") == ["beta BUG", "Alpha bug"]
    assert await titles(status=["TODO"], search="bug") == ["Alpha bug"]
    document = "query($ws: ID, $id: ID!) { project(workspaceId: $ws, id: $id) { issues { nodes { title } } } }"
    assert await board.data(document, id=ids["project"]) == {"issues": {"nodes": [{"title": "Gamma 100%"}]}}
    document = 'query($ws: ID) { labels(workspaceId: $ws) { name issues(search: "gam") { nodes { title } } } }'
    found = {
        label["name"]: [issue["title"] for issue in label["issues"]["nodes"]] for label in await board.data(document)
    }
    assert (found["list-a"], found["list-b"]) == (["Gamma 100%"], ["Gamma 100%"])


async def test_issues_of_the_other_workspace_are_in_no_list(listed: Listed) -> None:
    there = await Board.of(listed.board.world, listed.board.world.other)
    title = f"bug {word()}"
    await there.create(title)
    await there.in_state(MissionStatus.TODO, title=title)
    assert title not in await listed.titles(search=title)
    assert await there.read(ISSUES, crew_id=listed.board.crew.id) == []
