"""Documents, variables and cursors that no client would send: each is answered, in time, and says what is wrong."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.every import each_of
from tests.fuzz.judgement import clear_graphql
from tests.fuzz.sockets import request, speak
from tests.generation.estate import Estate
from tests.world import World

pytestmark = pytest.mark.anyio

PROMPT = 5.0  # seconds that nothing here may take, on a loaded machine
CREWS = '{ crews(workspaceId: "workspace", %s) { nodes { id } } }'
LABEL = 'mutation { createLabel(workspaceId: "workspace", input: %s) { id } }'

REFUSED = {
    "nothing": "",
    "a comment": "# nothing",
    "half a document": "{ viewer {",
    "no name": "{ \U0001f600 }",
    "NUL": "{ viewer\0 { id } }",
    "a definition": "type A { a: Int }",
    "a query and a definition": "{ __typename } type A { a: Int }",
    "two of a name": "query A { __typename } query A { __typename }",
    "two without a name": "{ a: __typename } { b: __typename }",
    "which one": "query A { __typename } query B { __typename }",
    "a subscription": "subscription { labelCreated { id } }",
    "an unknown field": "{ labelz }",
    "an unknown directive": "{ __typename @nothing }",
    "a repeated directive": "{ __typename " + "@include(if: true) " * 300 + "}",
    "directives": "{ __typename " + "@a" * 5000 + "}",
    "a cycle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "itself": "{ ...A } fragment A on Query { ...A }",
    "a bomb": (
        "{ ...A0 } "
        + " ".join(f"fragment A{n} on Query {{ ...A{n + 1} ...A{n + 1} }}" for n in range(60))
        + " fragment A60 on Query { __typename }"
    ),
    "a chain": (
        "{ ...A0 } "
        + " ".join(f"fragment A{n} on Query {{ ...A{n + 1} }}" for n in range(700))
        + " fragment A700 on Query { __typename }"
    ),
    "depth": "{ workspaces { crews { nodes { " + "agents { nodes { crew { " * 20 + "id " + "} } } " * 20 + "} } } }",
    "fields": "{ " + "viewer { id } " * 400 + "}",
    "braces": "{" * 100_000,
    "brackets": "{ labels(workspaceId: " + "[" * 50_000 + ") { id } }",
    "a list": "{ labels(workspaceId: " + "[" * 150 + "]" * 150 + ") { id } }",
    "a type": "query($a: " + "[" * 2000 + "Int" + "]" * 2000 + ") { __typename }",
    "objects": LABEL % ("{ name: " * 300 + '"a"' + " }" * 300),
    "aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(1000)) + " }",
    "an alias": "{ " + "a" * 5000 + ": __typename }",
    "tokens": "{ " + "a " * 20_000 + "}",
    "introspection": (
        "{ __schema { types {"
        " fields { type { fields { type { fields { type { fields { type { name } } } } } } } } } } }"
    ),
    "conflicting fields": "{ viewer { id id: email } }",
    "high surrogate": '{ labels(workspaceId: "\\ud800") { id } }',
    "beyond Unicode": '{ labels(workspaceId: "\\u{110000}") { id } }',
    "an unclosed text": '{ labels(workspaceId: "a) { id } }',
    "a huge number": CREWS % "limit: 1" + "0" * 500,
    "beyond 32 bits": CREWS % f"limit: {10**30}",
    "a float for an Int": CREWS % "first: 1.5",
    "infinity": (
        "mutation {"
        ' createCrew(workspaceId: "workspace", input: {name: "aa", slug: "aa", containerCpus: 1e400}) { id } }'
    ),
    "a list for an input": LABEL % '[{name: "a"}]',
    "an enum that is none": (
        'mutation { addMember(workspaceId: "workspace", input: {userId: "x", role: EMPEROR}) { id } }'
    ),
    "a null": '{ crew(id: null, workspaceId: "workspace") { id } }',
    "NUL in a text": LABEL % '{name: "a\\u0000b", color: "#fff"}',
    "a version below 0": 'mutation { deleteLabel(workspaceId: "workspace", ifVersion: -1, input: {id: "x"}) { id } }',
    "no workspace": '{ labels(workspaceId: "") { id } }',
    "no such workspace": '{ labels(workspaceId: "nothing") { id } }',
    "another's workspace": '{ labels(workspaceId: "other") { id } }',
    "a NUL of a workspace": '{ labels(workspaceId: "\\u0000") { id } }',
    "blocks": '{ labels(workspaceId: """' + "\n a" * 20_000 + '""") { id } }',
}
DEEP: list[Any] = []
for _ in range(600):
    DEEP = [DEEP]
CURSORS: list[Any] = [
    "!!",
    "é",
    "A",
    "A" * 50_000,
    [],
    ["x"],
    ["x", "y"],
    [None, None],
    [1e308, "c"],
    [True, True],
    [{}, []],
    ["2026-01-01T00:00:00Z", 5],
    ["99999-01-01T00:00:00Z", "c"],
    ["infinity", "c"],
    ["epoch", "c"],
    ["2026-01-01T00:00:00Z", "c", "d"],
    ["2026-01-01T00:00:00Z", "\0"],
    {"a": 1},
    None,
    5,
    DEEP,
]
REQUESTS: list[bytes] = [
    b"",
    b"null",
    b"1",
    b'"a"',
    b"[]",
    b'[{"query": "{ __typename }"}]',
    b'{"query":',
    b'{"query": 1}',
    b'{"query": null}',
    b'{"variables": {}}',
    b"\xff",
    b"{" * 100_000,
    b'{"query": "{ __typename }", "variables": []}',
    b'{"query": "{ __typename }", "variables": "{}"}',
    b'{"query": "{ __typename }", "extensions": 1}',
    b'{"query": "{ __typename }", "operationName": 1}',
    b'{"query": "{ __typename }", "operationName": "B"}',
    b'{"documentId": "sha256:0"}',
    b'{"documentId": 1}',
    b'{"query": "{ labels(workspaceId: \\"\\ud800\\") { id } }"}',
    b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
]


async def post(world: World, body: bytes, path: str = "/graphql") -> tuple[int, list[dict[str, Any]], Any]:
    started = time.monotonic()
    answer = await speak(world.url, request("POST", path, body=body, token=world.owner.token))
    assert time.monotonic() - started < PROMPT
    return answer.status, clear_graphql(answer.status, answer.body), answer.json.get("data")


@each_of("name", REFUSED)
async def test_no_document_breaks_anything(name: str, estate: Estate) -> None:
    _, errors, data = await post(estate.world, json.dumps({"query": REFUSED[name]}).encode())
    assert errors, data
    assert not data or set(data.values()) == {None}
    assert await estate.recorder.changes() == []


@pytest.mark.parametrize("field", ["crews", "agents"])
async def test_a_cursor_that_is_none_is_refused(field: str, estate: Estate) -> None:
    for cursor in CURSORS:
        text = (
            cursor
            if isinstance(cursor, str) and cursor[0] != "["
            else base64.b64encode(json.dumps(cursor).encode()).decode()
        )
        document = (
            f"query($ws: ID, $after: String) {{ {field}(workspaceId: $ws, first: 2, after: $after) {{"
            " nodes { id } } }"
        )
        _, errors, data = await post(
            estate.world, json.dumps({"query": document, "variables": {"ws": "workspace", "after": text}}).encode()
        )
        assert errors or data[field]["nodes"] is not None
        assert all(e["extensions"]["code"] == "BAD_REQUEST" for e in errors), (cursor, errors)


async def test_what_is_no_request_is_refused(estate: Estate) -> None:
    for body in REQUESTS:
        status, errors, data = await post(estate.world, body) if body else (400, [{}], None)
        assert (status in (200, 400, 404), bool(errors), data) == (True, True, None), (body[:80], status, errors)


async def test_no_query_string_breaks_anything(estate: Estate) -> None:
    for query in (
        "", "query", "query=", "query=%00", "query=%ff", "query=%ed%a0%80", "variables={}",
        "query={__typename}&variables=[", "query={__typename}&variables=[]",
        "query={__typename}&variables=" + "[" * 5000, "query={__typename}&extensions=1",
        "query={__typename}&operationName=%00", "&" * 10_000,
        "&".join(f"a{n}=1" for n in range(1500)), "query=" + quote(LABEL % '{name: "by GET", color: "#fff"}'),
        "documentId=%00",
    ):  # fmt: skip
        answer = await speak(estate.world.url, request("GET", f"/graphql?{query}", token=estate.world.owner.token))
        assert answer.status < 500
        assert clear_graphql(answer.status, answer.body), query
    assert await estate.recorder.changes() == []


async def test_many_variables_and_names_of_javascript_are_only_names(estate: Estate) -> None:
    many = {f"v{n}": n for n in range(30_000)}
    assert await post(estate.world, json.dumps({"query": "{ __typename }", "variables": many}).encode()) == (
        200,
        [],
        {"__typename": "Query"},
    )
    status, errors, data = await post(
        estate.world, b'{"query": "{ __proto__: viewer { id } constructor: viewer { id } }"}'
    )
    assert (status, errors, set(data)) == (200, [], {"__proto__", "constructor"})
