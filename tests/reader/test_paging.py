"""Pages: every row once, in the list's order, whatever sorts it and happens meanwhile; and cursors that are none."""

import base64
import json
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type

from resolvers.kernel.declarations.operation import Auth
from resolvers.kernel.ground.inputs import Paging
from resolvers.kernel.reader import Page
from rest_compat.http.routes import ROUTES
from schema.bridge.selection import BACKREF
from tests.every import each_of, one_quickly
from tests.reader.library import SCHEMA, Library

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]


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
    return sorted(set(made) - {RANKED})


RANKED = ("Query", "searchConversations")
"""What it finds is walked by tests/staff/conversations."""
NAMED = {
    "Issue": 'issue(identifier: "{name}")',
    "Label": "labels",
    "Milestone": 'milestones(projectId: "{name}")',
    "Mission": 'mission(crewId: "{name}", id: "{id}")',
    "Assignment": "issueRuns({name})",
    "Routine": 'routine(slug: "{name}")',
}
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
    ("Query", "credentialEvents"): ("id", "Credential.events"),
    ("Query", "credentialRotations"): ("id", "Credential.rotations"),
    ("Query", "messages"): ("chatId", "Chat.messages"),
    ("Query", "findMessages"): ("chatId", "Chat.messages"),
    ("Query", "agentLogs"): ("agentId", "Agent.chats"),
    ("Query", "crewMissions"): ("crewId", "Crew.missions"),
    ("Query", "crewAssignments"): ("crewId", "Crew.agents"),
    ("Query", "peerConversations"): ("crewId", "Crew.peerConversations"),
    ("Query", "escalations"): ("crewId", "Crew.escalations"),
    ("Query", "checkpoints"): ("missionId", "Mission.checkpoints"),
    ("Query", "agentPersonaVersions"): ("agentId", "Agent.personaVersions"),
    ("Query", "webhookReceipts"): ("agentId", "Agent.chats"),
    ("Query", "routineVersions"): ("slug", "Routine.versions"),
    ("Query", "routineRunRecords"): ("slug", "Routine.runs"),
}


async def ask(library: Library, place: tuple[str, str], **window: int | str) -> dict[str, Any]:
    """`window` travels as variables, so that a document is read once for all its pages."""
    opened, closed = parent(library, place)
    passed = {name: f"${name}" for name in window}
    if place in OF_ONE:
        argument, key = OF_ONE[place]
        passed[argument] = f'"{library.ids[f"richest {key}"][int(argument == "slug")]}"'
    declared = ", ".join(f"${name}: {'Int' if isinstance(value, int) else 'String'}" for name, value in window.items())
    arguments = ", ".join(f"{name}: {value}" for name, value in passed.items())
    id = "id: seq" if place[1] in ("agentLogs", "log") else "id"
    selection = (
        f"{{ nodes {{ {id} }} edges {{ cursor node {{ {id} }} }} totalCount"
        " pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
    )
    text = f"query({declared}) {opened} {place[1]}({arguments}) {selection} {closed}"
    answer = await library.same(library.world.owner, text, window)
    assert "errors" not in answer, answer["errors"]
    page: dict[str, Any] = below(library, place, answer["data"])
    assert page["nodes"] == [edge["node"] for edge in page["edges"]]
    cursors = [edge["cursor"] for edge in page["edges"]]
    assert [page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]] == (
        [cursors[0], cursors[-1]] if cursors else [None, None]
    )
    return page


MISSIONS = "SELECT * FROM missions WHERE mission_type = 'issue'"
LIVE_MISSIONS = "(SELECT * FROM missions WHERE crew_id IN (SELECT id FROM crews WHERE deleted_at IS NULL))"
CHILDREN = {
    ("Crew", "agents"): ("crews", "p.slug", "SELECT crew_id AS key FROM agents WHERE deleted_at IS NULL"),
    ("Crew", "issues"): ("crews", "p.slug", f"SELECT crew_id AS key FROM ({MISSIONS})"),
    ("Agent", "chats"): ("agents", "p.slug", "SELECT agent_id AS key FROM chats"),
    ("Agent", "runs"): ("agents", "p.slug", "SELECT agent_id AS key FROM runs"),
    ("Agent", "personaVersions"): ("agents", "p.slug", "SELECT owner_id AS key FROM memory_versions"),
    ("Agent", "inboxItems"): (
        "agents",
        "p.slug",
        "SELECT sender_id AS key FROM inbox_items WHERE target_user_id IS NULL",
    ),
    ("Crew", "peerConversations"): (
        "crews",
        "p.slug",
        "SELECT a.crew_id AS key FROM agents AS a JOIN peer_conversations AS b ON a.id IN (b.from_agent_id,"
        " b.to_agent_id) WHERE a.crew_id IS NOT NULL",
    ),
    ("Crew", "approvals"): ("crews", "p.slug", "SELECT crew_id AS key FROM approvals WHERE status = 'pending'"),
    ("Agent", "approvals"): ("agents", "p.slug", "SELECT agent_id AS key FROM approvals WHERE status = 'pending'"),
    ("Crew", "escalations"): ("crews", "p.slug", "SELECT crew_id AS key FROM escalations"),
    ("Agent", "escalations"): ("agents", "p.slug", "SELECT from_agent_id AS key FROM escalations"),
    ("Issue", "assignments"): (f"({MISSIONS})", "p.identifier", "SELECT chat_id AS key FROM assignments"),
    ("Issue", "runs"): (
        f"({MISSIONS})",
        "p.identifier",
        "SELECT a.chat_id AS key FROM runs AS r JOIN assignments AS a ON a.id = r.assignment_id",
    ),
    ("Mission", "escalations"): (LIVE_MISSIONS, "p.crew_id", "SELECT chat_id AS key FROM escalations"),
    ("Mission", "workPauses"): (LIVE_MISSIONS, "p.crew_id", "SELECT mission_id AS key FROM work_pauses"),
    ("WebhookEndpoint", "deliveries"): (
        "webhook_endpoints",
        "p.name",
        "SELECT endpoint_id AS key FROM webhook_deliveries",
    ),
    ("Credential", "rotations"): ("credentials", "p.name", "SELECT credential_id AS key FROM credential_rotations"),
    ("Credential", "events"): ("credentials", "p.name", "SELECT credential_id AS key FROM credential_events"),
    ("Credential", "assignments"): ("credentials", "p.name", "SELECT credential_id AS key FROM agent_credentials"),
    ("Credential", "bindings"): ("credentials", "p.name", "SELECT credential_id AS key FROM credential_bindings"),
    ("Agent", "credentials"): ("agents", "p.slug", "SELECT agent_id AS key FROM agent_credentials"),
    ("Crew", "credentials"): ("crews", "p.slug", "SELECT crew_id AS key FROM credential_crews"),
    ("Chat", "messages"): ("chats", "''", "SELECT chat_id AS key FROM messages"),
    ("Run", "children"): ("runs", "''", "SELECT parent_id AS key FROM runs"),
    ("Run", "log"): ("runs", "''", "SELECT run_id AS key FROM run_frames WHERE agent_id IS NOT NULL"),
    ("Run", "spans"): ("runs", "''", "SELECT run_id AS key FROM run_spans"),
    ("Chat", "runs"): ("chats", "''", "SELECT chat_id AS key FROM runs"),
    ("Chat", "pendingApprovals"): (
        "chats",
        "''",
        "SELECT r.chat_id AS key FROM runs AS r JOIN approvals AS a ON a.run_id = r.id WHERE a.status = 'pending'",
    ),
    ("Chat", "attachments"): ("chats", "''", "SELECT chat_id AS key FROM chat_attachments WHERE deleted_at IS NULL"),
    ("Project", "issues"): ("projects", "p.slug", f"SELECT project_id AS key FROM ({MISSIONS})"),
    ("Milestone", "issues"): ("milestones", "p.project_id", f"SELECT milestone_id AS key FROM ({MISSIONS})"),
    ("Label", "issues"): (
        "labels",
        "p.name",
        f"SELECT label_id AS key FROM issue_labels JOIN ({MISSIONS}) AS issue ON issue.id = mission_id",
    ),
    ("Issue", "changes"): (f"({MISSIONS})", "p.identifier", "SELECT mission_id AS key FROM issue_activity"),
    ("Issue", "attachments"): (f"({MISSIONS})", "p.identifier", "SELECT mission_id AS key FROM issue_attachments"),
    ("Issue", "codeLinks"): (f"({MISSIONS})", "p.identifier", "SELECT mission_id AS key FROM issue_code_links"),
    ("Issue", "comments"): (f"({MISSIONS})", "p.identifier", "SELECT mission_id AS key FROM issue_comments"),
    ("Crew", "missions"): ("crews", "p.slug", "SELECT crew_id AS key FROM missions"),
    ("Agent", "ledMissions"): ("agents", "p.slug", "SELECT lead_agent_id AS key FROM missions"),
    ("Agent", "missionTasks"): ("agents", "p.slug", "SELECT assigned_agent_id AS key FROM mission_tasks"),
    ("Mission", "tasks"): (LIVE_MISSIONS, "p.crew_id", "SELECT mission_id AS key FROM mission_tasks"),
    ("Mission", "assignments"): (LIVE_MISSIONS, "p.crew_id", "SELECT chat_id AS key FROM assignments"),
    ("Assignment", "runs"): (
        f"(SELECT a.*, crew_id, identifier FROM ({MISSIONS}) AS m JOIN mission_tasks AS t ON t.mission_id = m.id"
        " JOIN assignments AS a ON a.id = assignment_id)",
        """format('crewId: "%s", identifier: "%s"', p.crew_id, p.identifier)""",
        "SELECT assignment_id AS key FROM runs",
    ),
    ("Routine", "versions"): ("routines", "p.slug", "SELECT routine_id AS key FROM routine_versions"),
    ("Routine", "runs"): ("routines", "p.slug", "SELECT routine_id AS key FROM routine_runs"),
    ("Mission", "checkpoints"): (LIVE_MISSIONS, "p.crew_id", "SELECT mission_id AS key FROM checkpoints"),
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


@each_of("place", pages(), ids=".".join)
@each_of("size", one_quickly(3, 1, 100))
async def test_pages_give_every_row_once(library: Library, place: tuple[str, str], size: int) -> None:
    most = 500 if place in (("Query", "journal"), ("Query", "attention")) else 100
    whole = [n["id"] for n in (await ask(library, place, first=most))["nodes"]]
    assert len(whole) > 3, "too few rows to say anything"
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = await ask(library, place, first=size, **after)
        seen += [n["id"] for n in page["nodes"]]
        assert page["totalCount"] == len(whole)
        assert page["pageInfo"]["hasPreviousPage"] is bool(after)
        assert page["pageInfo"]["hasNextPage"] is (len(seen) < len(whole))
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = {"after": page["pageInfo"]["endCursor"]}
    assert seen == whole
    if place == ("Query", "journal"):  # it is entered by cursors alone, and forwards
        return
    assert await backwards(library, place, size, len(whole)) == whole
    by_offset = [
        n["id"]
        for start in range(0, len(whole) + size, size)
        for n in (await ask(library, place, limit=size, offset=start))["nodes"]
    ]
    assert by_offset == whole
    beyond = await ask(library, place, limit=size, offset=len(whole))
    assert beyond["nodes"] == []
    assert beyond["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": True, "startCursor": None, "endCursor": None}


async def backwards(library: Library, place: tuple[str, str], size: int, total: int) -> list[str]:
    """Page before page, from the end."""
    seen: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = await ask(library, place, last=size, **before)
        seen = [n["id"] for n in page["nodes"]] + seen
        assert page["totalCount"] == total
        assert page["pageInfo"]["hasNextPage"] is bool(before)
        assert page["pageInfo"]["hasPreviousPage"] is (len(seen) < total)
        if not page["pageInfo"]["hasPreviousPage"]:
            return seen
        before = {"before": page["pageInfo"]["startCursor"]}


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


@each_of("kind", BAD)
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


@each_of("kind", BAD)
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


@each_of("route", WINDOWS, ids=lambda r: r.path)
async def test_rest_takes_any_limit_and_offset(library: Library, route: Any) -> None:
    world, kind = library.world, route.operation.input
    token = world.settings.internal_token
    machine = {"x-internal-token": token.get_secret_value()} if token and route.operation.auth is Auth.INTERNAL else {}
    async with world.client(None if machine else world.owner, **machine) as client:

        async def rows(**window: Any) -> list[Any]:
            answer = await client.get(route.path, params={"workspace_id": world.workspace.id} | window)
            assert answer.status_code == 200, (window, answer.text)
            body = answer.json()
            return (
                body
                if isinstance(body, list)
                else next(body[name] for name in ("data", "rows", "servers", "deliveries") if name in body)
            )

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
    assert roots == {name for type_, name in [*pages(), RANKED] if type_ == "Query"}
