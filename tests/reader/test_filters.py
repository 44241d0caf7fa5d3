"""Lists filtered and sorted: each filter and some together, in each order, page by page, as the oracle has them."""

import random
from itertools import product
from typing import Any

import pytest

from resolvers.work.issues.graph import IssueSort
from resolvers.work.projects.projects import ProjectSort
from tests.every import each_of, one_quickly
from tests.reader.issue_rows import PRIORITIES
from tests.reader.library import SCHEMA, Library
from tests.reader.oracle import Cursor, Oracle
from tests.reader.test_oracle import judge, rows_of
from tests.reader.twins import Twins

pytestmark = pytest.mark.anyio

TYPES = {
    "projectId": "ID", "crewId": "ID", "assigneeId": "ID", "status": "[MissionStatus!]", "priority": "[String!]",
    "label": "String", "search": "String",
    "sort": "IssueSort", "after": "String", "missionType": "String",
}  # fmt: skip
PAGE = "{ nodes { id } totalCount pageInfo { hasNextPage endCursor } }"
OWNERS = {
    "workspace": "workspace { page: issues(#) % }",
    "crew": "crew(id: $owner) { page: issues(#) % }",
    "project": "project(id: $owner) { page: issues(#) % }",
    "milestone": "project(id: $owner) { milestones { page: issues(#) % } }",
    "label": "labels { page: issues(#) % }",
}


@pytest.fixture(scope="module")
async def oracle(library: Library) -> Oracle:
    return Oracle(SCHEMA, Twins(), await rows_of(library.world))


async def offered(library: Library, seed: int) -> list[dict[str, Any]]:
    """Nothing, each filter by itself with what it finds and what it does not, and some of them together."""
    world, chance = library.world, random.Random(seed)
    ids = {}
    for column in ("project_id", "crew_id", "assignee_id"):
        counted = (
            f"SELECT {column} FROM missions WHERE workspace_id = $1 AND {column} IS NOT NULL"
            " GROUP BY 1 ORDER BY count(*) DESC, 1"
        )
        ids[column] = [row[0] for row in await world.database.fetch(counted, world.workspace.id)]
    statuses = ["BACKLOG", "TODO", "IN_PROGRESS", "REVIEW", "DONE", "FAILED"]
    values: dict[str, list[Any]] = {
        "projectId": [*ids["project_id"][:2], "none", ""],
        "crewId": [*ids["crew_id"][:2], library.named["crewId"][-1]],
        "assigneeId": [*ids["assignee_id"][:2], "none"],
        "status": [statuses[:1], statuses, []],
        "priority": [PRIORITIES[:1], PRIORITIES[3:], [""], []],
        "label": [*library.named["label"][:3], "none"],
        "search": ["PLAIN", "E", "%", "ü", "Ü", ""],
    }
    single: list[dict[str, Any]] = [{name: value} for name, found in values.items() for value in found]
    together = [{name: chance.choice(values[name][:2]) for name in chance.sample(list(values), 2)} for _ in range(12)]
    return [{}, *single, *together]


def asked(place: str, values: dict[str, Any], **more: str) -> str:
    """A document of variables, with the window of a page in place of `#`, and what is read of it in place of `%`."""
    kinds = {name: kind for name, kind in (TYPES | more).items() if name in values}
    head = ", ".join(f"${name}: {kind}" for name, kind in kinds.items())
    given = "".join(f", {name}: ${name}" for name in kinds if name not in more)
    return f"query({head}) {{ {place.replace('#', f'first: 7{given}').replace('%', PAGE)} }}".replace(
        "query()", "query"
    )


@pytest.mark.slow
@each_of("sort", one_quickly(None, *IssueSort))
async def test_filters_of_issues_in_each_order(library: Library, oracle: Oracle, sort: str | None) -> None:
    found = []
    for filters in await offered(library, 1):
        for kind in (None, "orchestration") if len(filters) < 2 else (None,):
            values = filters | {"sort": sort} | ({} if kind is None else {"missionType": kind})
            total = 0
            while True:
                answer = await judge(library, oracle, library.world.viewer, asked("page: issues(#) %", values), values)
                page = answer["data"]["page"]
                total += len(page["nodes"])
                if not page["pageInfo"]["hasNextPage"]:
                    break
                values["after"] = page["pageInfo"]["endCursor"]
            assert total == page["totalCount"]
            found.append(total)
    assert len([total for total in found if total > 7]) > 10, "few filters let several pages through"
    assert len(set(found)) > 10


@pytest.mark.slow
@each_of("owner", OWNERS)
async def test_filters_of_edges_that_lead_to_issues(library: Library, oracle: Oracle, owner: str) -> None:
    column = "project_id" if owner == "milestone" else f"{owner}_id"
    named: dict[str, Any] = {}
    if "$owner" in OWNERS[owner]:
        counted = (
            f"SELECT {column} FROM missions WHERE workspace_id = $1 AND {column} IS NOT NULL"
            " GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        )
        named["owner"] = await library.world.database.fetchval(counted, library.world.workspace.id)
    for filters, sort in zip(await offered(library, 2), [None, *IssueSort] * 20, strict=False):
        values = named | filters | ({} if sort is None else {"sort": sort.value})
        answer = await judge(library, oracle, library.world.viewer, asked(OWNERS[owner], values, owner="ID!"), values)
        assert "errors" not in answer, answer["errors"]


async def test_a_cursor_is_a_place_in_orders_of_its_kind_alone(library: Library, oracle: Oracle) -> None:
    """Whatever list a cursor comes from, the answer is a page or a refusal, as its kinds of keys say."""
    counted = "SELECT chat_id FROM messages WHERE workspace_id = $1 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    chat = await library.world.database.fetchval(counted, library.world.workspace.id)
    ends = "pageInfo { startCursor endCursor }"
    lists = [
        *[f"issues(sort: {sort}, first: 30) {{ {ends} }}" for sort in IssueSort],
        f"agents {{ {ends} }}",
        f"chats {{ {ends} }}",
    ]
    lists += [f"issues(sort: sort_order, first: {size}) {{ {ends} }}" for size in (1, 8, 25, 45)] + [
        f'messages(chatId: "{chat}", first: 1) {{ {ends} }}'
    ]
    for text in lists:
        await judge(library, oracle, library.world.owner, f"{{ {text} }}", {})
    cursors = [*oracle.cursors, "W10="]
    oracle.cursors["W10="] = Cursor((), (), "")
    refused = 0
    for place, cursor in product(
        [*[f"issues(sort: {sort}, after: $after)" for sort in IssueSort], f'messages(chatId: "{chat}", after: $after)'],
        cursors,
    ):
        answer = await judge(
            library, oracle, library.world.owner, f"query($after: String) {{ page: {place} {PAGE} }}", {"after": cursor}
        )
        refused += "errors" in answer
    assert 0.2 < refused / (5 * len(cursors)) < 0.9


@each_of("sort", [None, *ProjectSort])
@each_of("status", ["", "null", "[]", "[backlog]", "[in_progress, planned, paused, completed]"])
async def test_projects_are_filtered_and_sorted(
    library: Library, oracle: Oracle, sort: str | None, status: str
) -> None:
    arguments = ", ".join([f"{name}: {value}" for name, value in (("sort", sort), ("status", status)) if value])
    answer = await judge(
        library,
        oracle,
        library.world.viewer,
        f"{{ projects{f'({arguments})' if arguments else ''} {{ id name progress }} }}",
        {},
    )
    assert "errors" not in answer
