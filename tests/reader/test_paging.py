"""Pages: every row once, in the list's order, whatever sorts it and happens meanwhile; and cursors that are none."""

import base64
import json
import random
from datetime import timedelta
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type
from sqlalchemy import case, func
from sqlmodel import col

from models.agents import Agent, AgentStatus, LeadMode
from resolvers.kernel.inputs import Paging
from resolvers.kernel.operation import OPERATIONS, Auth
from resolvers.kernel.query import QueryScope, query
from resolvers.kernel.reader import Column, Nested, Page, Shape, intern
from rest_compat.routes import ROUTES
from schema.selection import BACKREF
from tests.reader.library import SCHEMA, Library
from tests.reader.rows import START
from tests.world import World

pytestmark = pytest.mark.anyio


# ---- every page of the schema ----------------------------------------------------------------------------------------


def pages() -> list[tuple[str, str]]:
    """(type, field) of everything that answers a page."""
    made = []
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            made += [
                (type_.name, name)
                for name, f in type_.fields.items()
                if get_named_type(f.type).name.endswith("Connection") and "first" in f.args
            ]
    return sorted(made)


NAMED = {"Issue": 'issue(identifier: "{name}")', "Label": "labels", "Milestone": 'milestones(projectId: "{name}")'}
"""How a row is given that no query gives by its id: of a list, it is the one of that id."""


def parent(library: Library, place: tuple[str, str]) -> tuple[str, str]:
    """What opens and closes a selection of the rows with many rows below."""
    type_ = place[0]
    if type_ in ("Query", "Workspace"):
        return {"Query": ("{", "}"), "Workspace": ("{ parent: workspace {", "} }")}[type_]
    roots = [n for n, f in SCHEMA.query_type.fields.items() if get_named_type(f.type).name == type_ and "id" in f.args]  # type: ignore[union-attr]
    assert roots or type_ in NAMED, f"{type_} has pages below it, and no query gives one of it by id"
    id, name = library.ids[f"richest {'.'.join(place)}"]
    given = NAMED[type_] if type_ in NAMED else f'{roots[0]}(id: "{{id}}")'
    return f"{{ parent: {given.format(id=id, name=name)} {{ id", "} }"


def below(library: Library, place: tuple[str, str], data: Any) -> Any:
    """The page, in an answer."""
    if place[0] == "Query":
        return data[place[1]]
    parents = data["parent"] if isinstance(data["parent"], list) else [data["parent"]]
    id = library.ids.get(f"richest {'.'.join(place)}", [None])[0]
    [found] = [row for row in parents if row.get("id") == id]
    return found[place[1]]


OF_ONE = {
    ("Query", "webhookDeliveries"): ("id", "WebhookEndpoint.deliveries"),
    ("Query", "messages"): ("chatId", "Chat.messages"),
    ("Query", "agentLogs"): ("agentId", "Agent.chats"),
}


async def ask(library: Library, place: tuple[str, str], arguments: str) -> dict[str, Any]:
    opened, closed = parent(library, place)
    if place in OF_ONE:
        argument, key = OF_ONE[place]
        arguments = f'({argument}: "{library.ids[f"richest {key}"][0]}", {arguments[1:]}'
    id = "id: seq" if place[1] == "agentLogs" else "id"
    selection = (
        f"{{ nodes {{ {id} }} edges {{ cursor node {{ {id} }} }} totalCount"
        " pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
    )
    answer = await library.same(library.world.owner, f"{opened} {place[1]}{arguments} {selection} {closed}")
    assert "errors" not in answer, answer["errors"]
    page: dict[str, Any] = below(library, place, answer["data"])
    assert page["nodes"] == [edge["node"] for edge in page["edges"]]
    cursors = [edge["cursor"] for edge in page["edges"]]
    assert [page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]] == (
        [cursors[0], cursors[-1]] if cursors else [None, None]
    )
    return page


MISSIONS = "SELECT * FROM missions WHERE mission_type = 'issue'"
CHILDREN = {
    ("Crew", "agents"): ("crews", "p.slug", "SELECT crew_id AS key FROM agents WHERE deleted_at IS NULL"),
    ("Crew", "issues"): ("crews", "p.slug", f"SELECT crew_id AS key FROM ({MISSIONS})"),
    ("Agent", "chats"): ("agents", "p.slug", "SELECT agent_id AS key FROM chats"),
    ("Agent", "runs"): ("agents", "p.slug", "SELECT agent_id AS key FROM runs"),
    ("Agent", "inboxItems"): (
        "agents",
        "p.slug",
        "SELECT sender_id AS key FROM inbox_items WHERE target_user_id IS NULL",
    ),
    ("WebhookEndpoint", "deliveries"): (
        "webhook_endpoints",
        "p.name",
        "SELECT endpoint_id AS key FROM webhook_deliveries",
    ),
    ("Chat", "messages"): ("chats", "''", "SELECT chat_id AS key FROM messages"),
    ("Chat", "runs"): ("chats", "''", "SELECT chat_id AS key FROM runs"),
    ("Project", "issues"): ("projects", "p.slug", f"SELECT project_id AS key FROM ({MISSIONS})"),
    ("Milestone", "issues"): ("milestones", "p.project_id", f"SELECT milestone_id AS key FROM ({MISSIONS})"),
    ("Label", "issues"): (
        "labels",
        "p.name",
        f"SELECT label_id AS key FROM issue_labels JOIN ({MISSIONS}) AS issue ON issue.id = mission_id",
    ),
    ("Issue", "comments"): (f"({MISSIONS})", "p.identifier", "SELECT mission_id AS key FROM issue_comments"),
}
"""Where there are pages below a row: its table, what else it is known by, and the rows below."""


@pytest.fixture(autouse=True, scope="module")
async def richest(library: Library) -> None:
    """The row with most rows below, for each kind of page."""
    for (type_, field), (table, name, rows) in CHILDREN.items():
        live = " AND p.deleted_at IS NULL" if table in ("crews", "agents") else ""
        counted = (
            f"SELECT p.id, {name} FROM {table} AS p JOIN ({rows}) AS r ON r.key = p.id WHERE p.workspace_id = $1{live}"
        )
        row = await library.world.database.fetchrow(
            f"{counted} GROUP BY 1, 2 ORDER BY count(*) DESC, 1 LIMIT 1", library.world.workspace.id
        )
        library.ids[f"richest {type_}.{field}"] = [*row]


@pytest.mark.parametrize("place", pages(), ids=".".join)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_give_every_row_once(library: Library, place: tuple[str, str], size: int) -> None:
    most = 500 if place == ("Query", "journal") else 100
    whole = [n["id"] for n in (await ask(library, place, f"(first: {most})"))["nodes"]]
    assert len(whole) > 3, "too few rows to say anything"
    seen: list[str] = []
    after = ""
    while True:
        page = await ask(library, place, f"(first: {size}{after})")
        seen += [n["id"] for n in page["nodes"]]
        assert page["totalCount"] == len(whole)
        assert page["pageInfo"]["hasPreviousPage"] is (after != "")
        assert page["pageInfo"]["hasNextPage"] is (len(seen) < len(whole))
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = f', after: "{page["pageInfo"]["endCursor"]}"'
    assert seen == whole
    if place == ("Query", "journal"):  # it is entered by cursors alone, and forwards
        return
    assert await backwards(library, place, size, len(whole)) == whole
    by_offset = [
        n["id"]
        for start in range(0, len(whole) + size, size)
        for n in (await ask(library, place, f"(limit: {size}, offset: {start})"))["nodes"]
    ]
    assert by_offset == whole
    beyond = await ask(library, place, f"(limit: {size}, offset: {len(whole)})")
    assert beyond["nodes"] == []
    assert beyond["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": True, "startCursor": None, "endCursor": None}


async def backwards(library: Library, place: tuple[str, str], size: int, total: int) -> list[str]:
    """Page before page, from the end."""
    seen: list[str] = []
    before = ""
    while True:
        page = await ask(library, place, f"(last: {size}{before})")
        seen = [n["id"] for n in page["nodes"]] + seen
        assert page["totalCount"] == total
        assert page["pageInfo"]["hasNextPage"] is (before != "")
        assert page["pageInfo"]["hasPreviousPage"] is (len(seen) < total)
        if not page["pageInfo"]["hasPreviousPage"]:
            return seen
        before = f', before: "{page["pageInfo"]["startCursor"]}"'


# ---- keys that are null, equal, mixed --------------------------------------------------------------------------------


class Window(Paging):
    page_maximum = 7


KEYS: dict[str, tuple[Any, ...]] = {
    "ascending": (col(Agent.lead_mode), col(Agent.expired_at)),
    "descending": (col(Agent.expired_at).desc(), col(Agent.lead_mode).desc()),
    "down_and_up": (
        col(Agent.schedule_next_run).desc(),
        col(Agent.llm_model),
        col(Agent.memory_enabled).desc(),
        col(Agent.timeout_seconds),
    ),
    "up_and_down": (col(Agent.llm_provider), col(Agent.expired_at).desc(), col(Agent.id)),
    "text": (col(Agent.name),),
    "numbers": (col(Agent.timeout_seconds).desc(),),
    "an_expression": (col(Agent.expired_at).is_not(None), col(Agent.crew_id)),
    "never_null": (col(Agent.timeout_seconds), col(Agent.name), col(Agent.memory_enabled)),
    "never_null_descending": (col(Agent.memory_enabled).desc(), col(Agent.created_at).desc()),
    "never_null_mixed": (col(Agent.memory_enabled).desc(), col(Agent.timeout_seconds), col(Agent.created_at).desc()),
    "null_behind_the_first": (col(Agent.memory_enabled), col(Agent.expired_at), col(Agent.lead_mode)),
    "null_behind_the_first_descending": (
        col(Agent.memory_enabled).desc(),
        col(Agent.expired_at).desc(),
        col(Agent.crew_id).desc(),
    ),
    "a_fallback": (func.coalesce(col(Agent.expired_at), col(Agent.created_at)).desc(),),
    "a_fallback_by_case": (
        case((col(Agent.expired_at).is_(None), col(Agent.created_at)), else_=col(Agent.expired_at)).desc(),
    ),
    "a_case_without_else": (case((col(Agent.memory_enabled), col(Agent.created_at))), col(Agent.name)),
}


def _sorted(name: str) -> Any:
    def rows(scope: QueryScope, data: Window) -> Page[Agent]:
        return scope.select(Agent).order_by(*KEYS[name]).page(data)

    rows.__annotations__ |= {"data": Window, "return": Page[Agent]}
    return query(f"test.reader.{name}")(rows)


SORTED = {name: OPERATIONS.get(f"test.reader.{name}") or _sorted(name) for name in KEYS}
ASKED = Shape(
    (
        Nested("nodes", None, Shape((Column("id", "id"),), "list")),
        Nested("edges", None, Shape((Column("cursor", "cursor"),), "edges")),
        Nested(
            "info",
            None,
            Shape(
                (
                    Column("next", "has_next_page"), Column("previous", "has_previous_page"),
                    Column("start", "start_cursor"), Column("end", "end_cursor"),
                ),
                "page_info",
            ),
        ),
    ),
    "connection",
)  # fmt: skip


async def asked(world: World, name: str, **raw: Any) -> dict[str, Any]:
    answer = await SORTED[name](world.viewer.caller, raw, intern(ASKED), (), world.workspace.id)
    page: dict[str, Any] = json.loads(answer.body or b"")
    return page


async def page_of(world: World, name: str, **raw: Any) -> tuple[list[str], str | None]:
    """(ids, cursor to go on from while there is more)."""
    page = await asked(world, name, **raw)
    return [n["id"] for n in page["nodes"]], page["info"]["end"] if page["info"]["next"] else None


@pytest.mark.parametrize("name", KEYS)
async def test_any_window_is_the_slice_of_the_list_that_a_model_says(library: Library, name: str) -> None:
    world, chance = library.world, random.Random(name)
    rows, after = list[tuple[str, str]](), None
    while True:
        page = await asked(world, name, first=7, after=after)
        rows += zip([n["id"] for n in page["nodes"]], [e["cursor"] for e in page["edges"]], strict=True)
        after = page["info"]["end"]
        if not page["info"]["next"]:
            break
    for _ in range(40):
        size, offset, at = (
            chance.randint(1, 7),
            chance.choice([0, 0, 1, 3, 200]),
            chance.choice([None, *range(len(rows))]),
        )
        back = chance.random() < 0.6
        cursor = None if at is None else rows[at][1]
        raw = {"last": size, "before": cursor} if back else {"first": size, "after": cursor}
        page = await asked(world, name, offset=offset, **raw)
        if back:
            rest = rows[: max((len(rows) if at is None else at) - offset, 0)]
            expected = rest[max(len(rest) - size, 0) :]
        else:
            rest = rows[(0 if at is None else at + 1) + offset :]
            expected = rest[:size]
        assert [n["id"] for n in page["nodes"]] == [id for id, _ in expected], raw
        assert [e["cursor"] for e in page["edges"]] == [place for _, place in expected]
        more, entered = len(rest) > size, at is not None or offset > 0
        assert page["info"] == {
            "next": entered if back else more,
            "previous": more if back else entered,
            "start": expected[0][1] if expected else None,
            "end": expected[-1][1] if expected else None,
        }


@pytest.mark.parametrize("name", KEYS)
async def test_any_keys_can_be_walked(library: Library, name: str) -> None:
    world = library.world
    [number] = await world.database.fetchrow(
        "SELECT count(*) FROM agents WHERE workspace_id = $1 AND deleted_at IS NULL", world.workspace.id
    )
    orders = []
    for size in (1, 2, 7):
        seen, after = [], None
        while True:
            ids, after = await page_of(world, name, first=size, after=after)
            seen += ids
            if after is None:
                break
        assert len(seen) == len(set(seen)) == number
        orders.append(seen)
    assert (
        orders[0]
        == orders[1]
        == orders[2]
        == [id for start in range(0, number, 7) for id in (await page_of(world, name, limit=7, offset=start))[0]]
    )


@pytest.mark.parametrize("back", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("name", KEYS)
async def test_rows_that_stay_are_seen_once_while_others_come_and_go(library: Library, name: str, back: bool) -> None:
    world, chance = library.world, random.Random(name)
    staying = {
        r[0]
        for r in await world.database.fetch(
            "SELECT id FROM agents WHERE workspace_id = $1 AND deleted_at IS NULL", world.workspace.id
        )
    }
    made: list[str] = []
    seen: list[str] = []
    place: str | None = None
    while True:
        page = await asked(world, name, **({"last": 3, "before": place} if back else {"first": 3, "after": place}))
        ids = [n["id"] for n in page["nodes"]][:: -1 if back else 1]
        seen += ids
        place = page["info"]["start" if back else "end"]
        if not page["info"]["previous" if back else "next"]:
            break
        for number in range(2):  # some land before the cursor, some behind it
            agent = Agent(
                workspace_id=world.workspace.id, name=chance.choice(["", "m", "zz"]),
                slug=f"{name}-{len(made)}-{number}".replace("_", "-"),
                lead_mode=chance.choice([None, *LeadMode]),
                expired_at=chance.choice([None, START, START + timedelta(hours=9)]), status=AgentStatus.IDLE,
                description=chance.choice([None, "a"]), timeout_seconds=chance.choice([-5, 5]),
            )  # fmt: skip
            await world.add(agent)
            made.append(agent.id)
        if ids[-1] in made or chance.random() < 0.5:  # the row of the cursor goes too
            await world.database.execute(
                "UPDATE agents SET deleted_at = now() WHERE id = $1 AND id = ANY($2)", ids[-1], made
            )
        if len(made) > 4:
            await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", chance.choice(made))
    assert len(seen) == len(set(seen)), "a row was seen twice"
    assert staying <= set(seen), "a row was missed"
    await world.database.execute("DELETE FROM agents WHERE id = ANY($1)", made)


async def test_the_row_of_a_cursor_may_be_gone(library: Library) -> None:
    world = library.world
    agent = Agent(workspace_id=world.workspace.id, name="gone", slug="gone-soon", timeout_seconds=77)
    await world.add(agent)
    seen: list[str] = []
    after: str | None = None
    while agent.id not in seen:
        ids, after = await page_of(world, "numbers", first=1, after=after)
        seen += ids
    ahead, _ = await page_of(world, "numbers", first=7, after=after)
    await world.database.execute("DELETE FROM agents WHERE id = $1", agent.id)
    assert await page_of(world, "numbers", first=7, after=after) == (
        ahead,
        (await page_of(world, "numbers", first=7, after=after))[1],
    )
    assert ahead


# ---- cursors that are none -------------------------------------------------------------------------------------------


def cursor(*keys: Any) -> str:
    return base64.b64encode(json.dumps(keys).encode()).decode()


BAD = {
    "no base64": "not a cursor!",
    "no JSON": base64.b64encode(b"not json").decode(),
    "no list": base64.b64encode(b'{"a": 1}').decode(),
    "a number": base64.b64encode(b"7").decode(),
    "invalid UTF-8": base64.b64encode(b'["\xff\xfe"]').decode(),
    "half a character": base64.b64encode(b'["\\ud800", "x"]').decode(),
    "empty": "",
    "nothing inside": cursor(),
    "too few keys": cursor("2026-03-01T12:00:00+00:00"),
    "too many keys": cursor("2026-03-01T12:00:00+00:00", "x", "y"),
    "a list of another order": cursor(True, "2026-03-01T12:00:00+00:00", "x"),
    "numbers": cursor(1, 2),
    "a time that is none": cursor("yesterday", "x"),
    "a time with NUL": cursor("2026-03-01T12:00:00+00:00", "a\0b"),
    "a list for a key": cursor(["2026-03-01T12:00:00+00:00"], "x"),
    "an object for a key": cursor("2026-03-01T12:00:00+00:00", {"a": 1}),
    "a boolean for a key": cursor("2026-03-01T12:00:00+00:00", True),
    "a number for the id": cursor("2026-03-01T12:00:00+00:00", 10**30),
    "a time beyond all": cursor("9999-12-31T23:59:59.999999-23:59", "x"),
    "a megabyte of noise": "A" * 600_000,
    "deeply nested": base64.b64encode(b"[" * 2000 + b"]" * 2000).decode(),
    "quite nested": base64.b64encode(b"[" * 900 + b"]" * 900).decode(),
}


@pytest.mark.parametrize("kind", BAD)
async def test_what_is_no_cursor_is_a_bad_request(library: Library, kind: str) -> None:
    crew = library.ids["richest Crew.agents"][0]
    for text in (
        "query($after: String) { page: crews(after: $after) { nodes { id } pageInfo { endCursor } } }",
        f'query($after: String) {{ page: crew(id: "{crew}") {{ agents(after: $after) {{ edges {{ cursor }} }} }} }}',
        "query($after: String) { page: workspace { crews(after: $after) { pageInfo { hasNextPage } } } }",
    ):
        answer = await library.same(library.world.owner, text, {"after": BAD[kind]})
        assert answer["data"] == {"page": None}
        [error] = answer["errors"]
        assert error["extensions"]["code"] == "BAD_REQUEST"
        assert len(error["message"]) < 500


@pytest.mark.parametrize("kind", BAD)
async def test_what_is_no_cursor_is_no_place_to_end_before_either(library: Library, kind: str) -> None:
    text = "query($before: String) { page: crews(last: 2, before: $before) { nodes { id } } }"
    answer = await library.same(library.world.owner, text, {"before": BAD[kind]})
    assert answer["data"] == {"page": None}
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert "after" not in error["message"]


TWO_WAYS = ("first: 1, last: 1", "first: 1, before: $c", "after: $c, last: 1", "after: $c, before: $c")


@pytest.mark.parametrize("arguments", TWO_WAYS)
async def test_nobody_walks_both_ways_at_once(library: Library, arguments: str) -> None:
    world = library.world
    whole = await library.same(world.owner, "{ crews(first: 2) { nodes { id } pageInfo { endCursor } } }")
    place = {"c": whole["data"]["crews"]["pageInfo"]["endCursor"]}
    crew = library.ids["richest Crew.agents"][0]
    head = "query($c: String)" if "$c" in arguments else "query"
    for root in (
        f"page: crews({arguments}) {{ nodes {{ id }} }}",
        f'page: crew(id: "{crew}") {{ agents({arguments}) {{ nodes {{ id }} }} }}',
    ):
        answer = await library.same(world.owner, f"{head} {{ {root} }}", place)
        assert answer["data"] == {"page": None}
        [error] = answer["errors"]
        assert error["extensions"]["code"] == "BAD_REQUEST"
        assert "first and after, or last and before" in error["message"]


async def test_a_null_is_no_direction(library: Library) -> None:
    """Clients that go both ways send all four, two of them null."""
    world, shown = library.world, "{ nodes { id } pageInfo { startCursor endCursor hasPreviousPage hasNextPage } }"
    ways = "query($f: Int, $a: String, $l: Int, $b: String)"
    text = f"{ways} {{ crews(first: $f, after: $a, last: $l, before: $b) {shown} }}"
    nothing = dict.fromkeys("falb")
    one = (await library.same(world.owner, text, nothing | {"f": 1}))["data"]["crews"]
    two = (await library.same(world.owner, text, nothing | {"f": 1, "a": one["pageInfo"]["endCursor"]}))["data"][
        "crews"
    ]
    back = (await library.same(world.owner, text, nothing | {"l": 1, "b": two["pageInfo"]["startCursor"]}))["data"][
        "crews"
    ]
    assert back["nodes"] == one["nodes"] != two["nodes"]
    assert back["pageInfo"] == one["pageInfo"] | {"hasPreviousPage": False, "hasNextPage": True}


async def test_the_journal_goes_one_way(library: Library) -> None:
    assert "last" not in SCHEMA.query_type.fields["journal"].args  # type: ignore[union-attr]
    async with library.world.client(library.world.owner) as client:
        answer = await client.get("/api/v1/journal", params={"workspace_id": library.world.workspace.id, "last": 2})
        assert answer.status_code == 400, answer.text


async def test_a_long_text_in_a_cursor_is_only_a_place_in_the_order(library: Library) -> None:
    text = "query($after: String) { crews(after: $after) { nodes { id } } }"
    answer = await library.same(library.world.owner, text, {"after": cursor("2026-03-01T12:00:00+00:00", "x" * 3000)})
    assert "errors" not in answer


async def test_a_bad_cursor_of_a_stranger_is_no_answer(library: Library) -> None:
    answer = await library.same(library.world.nobody, 'query { crews(after: "bad") { totalCount } }')
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_bad_cursor_in_the_answer_of_a_write_takes_it_back(library: Library) -> None:
    world = library.world
    before = await world.snapshot()
    text = (
        'mutation { createCrew(input: {name: "Crew of no cursor", slug: "no-cursor"}) {'
        ' id agents(after: "W10=") { nodes { id } } } }'
    )
    for endpoint in (library.compiled, library.executor):
        _, answer = await library.ask(endpoint, world.owner, text)
        assert answer["data"] == {"createCrew": None}
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert await world.snapshot() == before


# ---- REST ------------------------------------------------------------------------------------------------------------

STRICT = {"/api/v1/journal"}  # where a bad limit is refused (contract: journal.list)
WINDOWS = [
    r
    for r in ROUTES
    if r.method == "GET" and issubclass(r.operation.input, Paging) and not r.parameters
    if r.gives is None and r.path not in STRICT
]


@pytest.mark.parametrize("route", WINDOWS, ids=lambda r: r.path)
async def test_rest_takes_any_limit_and_offset(library: Library, route: Any) -> None:
    world, kind = library.world, route.operation.input
    token = world.settings.internal_token
    machine = {"x-internal-token": token.get_secret_value()} if token and route.operation.auth is Auth.INTERNAL else {}
    async with world.client(None if machine else world.owner, **machine) as client:

        async def rows(**window: Any) -> list[Any]:
            answer = await client.get(route.path, params={"workspace_id": world.workspace.id} | window)
            assert answer.status_code == 200, (window, answer.text)
            body = answer.json()
            return body if isinstance(body, list) else body.get("data", body.get("rows"))

        whole = await rows(limit=kind.page_maximum)
        for bad in ("0", "-1", "", "x", "5.5", "1e3", "null", "0x10", " ", "\0", "9" * 5000, "-" + "9" * 400):
            assert await rows(limit=bad) == whole[: kind.page_default]
            assert await rows(offset=bad) in (whole[: kind.page_default], [])
        beyond = whole[: kind.page_default] if kind.cut_to_default else whole
        assert await rows(limit=10**9) == beyond
        assert await rows(limit=10**30) == beyond
        assert await rows(offset=10**30) == []
        assert await rows(limit=2, offset=1) == whole[1:3]
        assert [row for start in range(len(whole)) for row in await rows(limit=1, offset=start)] == whole


def test_every_page_of_an_operation_is_walked_here() -> None:
    query: Any = SCHEMA.query_type
    roots = {
        n
        for n, f in query.fields.items()
        if getattr(f.extensions[BACKREF].metadata.get("operation"), "form", None) is Page
    }
    assert roots == {name for type_, name in pages() if type_ == "Query"}
