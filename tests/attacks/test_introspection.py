"""Introspection is for everybody: nobody may make it large, slow, or have pages of others ask for it."""

import threading
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from graphql import get_introspection_query, parse, validate

from schema.bridge import introspection
from schema.bridge.endpoint import Endpoint
from schema.bridge.limits import MAX_TYPES, exceeded
from schema.bridge.root import schema
from tests.attacks.graphql import USER, post
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio

EVERYTHING: dict[str, Any] = {
    "specified_by_url": True, "directive_is_repeatable": True, "schema_description": True,
    "input_value_deprecation": True, "one_of": True,
}  # fmt: skip
NAMES = "kind name description"
CROSS = (
    "fragment F on __Type { interfaces { possibleTypes { name kind description"
    " specifiedByURL isOneOf enumValues { name } __typename ofType { name } } } }"
)
MULTIPLIED = {
    **{
        f"{n} aliases": "{ __schema { " + " ".join(f"a{i}: types {{ ...F }}" for i in range(n)) + " } } " + CROSS
        for n in (1, 4, 16, 58)
    },
    "without aliases": "{ __schema { types { ...F } } } " + CROSS,
    "without fragments": "{ __schema { types { interfaces { possibleTypes { name } } } } }",
    "members of members": "{ __schema { types { possibleTypes { interfaces { possibleTypes { name } } } } } }",
    "fields of fields": "{ __schema { types { fields { type { fields { type { name } } } } } } }",
    "fields of inputs": (
        "{ __schema { types { fields { args { type { inputFields { type { inputFields { name } } } } } } } } }"
    ),
    "far below": (
        "{ __schema { queryType { ofType { fields { type { ofType { ofType { possibleTypes { name } } } } } } } } }"
    ),
    "of one type": '{ __type(name: "Event") { possibleTypes { fields { name } } } }',
    "schemas": "{ a: __schema { types { name } } b: __schema { types { name } } }",
    "schemas of fragments": (
        "{ ...A ...B } fragment A on Query { __schema { types { name } } }"
        " fragment B on Query { b: __schema { types { name } } }"
    ),
    "types": "{ " + " ".join(f't{n}: __type(name: "Crew") {{ name }}' for n in range(MAX_TYPES + 1)) + " }",
    "an alias of a value": "{ __schema { types { a: description b: description } } }",
    "an alias in a fragment": "{ __schema { types { ... { ...A } } } } fragment A on __Type { n: name }",
    "beside an operation": "{ version { current } ...A } fragment A on Query { __schema { types { ...F } } } " + CROSS,
}


@each_of("kind", MULTIPLIED)
async def test_introspection_that_multiplies_is_refused(world: World, kind: str) -> None:
    cost = await post(world, MULTIPLIED[kind])
    assert cost.codes == {"BAD_REQUEST"}
    assert "data" not in cost.json
    assert len(cost.body) < 1000
    assert cost.busy < 0.2


@pytest.mark.slow
async def test_what_tools_ask_is_answered_and_small() -> None:
    endpoint = Endpoint(schema)
    for query in (
        get_introspection_query(),
        get_introspection_query(descriptions=False),
        get_introspection_query(**EVERYTHING),
        (
            '{ __type(name: "Crew") { name fields { name args { name }'
            " type { name kind ofType { name kind ofType { name } } } } } }"
        ),
        (
            "{ __schema { types { name enumValues { name }"
            " inputFields { name type { enumValues { name } } } } } __typename }"
        ),
        "{ " + " ".join(f't{n}: __type(name: "Crew") {{ name }}' for n in range(MAX_TYPES)) + " }",
    ):
        assert validate(schema._schema, parse(query)) == []
        assert exceeded(parse(query)) is None
        document = await endpoint.documents.read(query, None, USER)
        plan = await endpoint.documents.plan(document, document.values({}), USER)
        assert plan.complete
        for root in plan.roots:
            if isinstance(root, introspection.Introspection):
                answer, errors = await endpoint.answers.get(root, {}, USER)
                assert errors == []
                assert 10 < len(answer) < 1_500_000


async def test_the_answer_is_that_of_the_executor(world: World) -> None:
    """By both paths; and with variables, of which the answer depends too."""
    text = """query Q($name: String!, $old: Boolean = false, $not: Boolean!) {
      t: __type(name: $name) { name fields(includeDeprecated: $old) { ...F } description @skip(if: $not) }
      __typename __schema { queryType { name } }
    } fragment F on __Field { name isDeprecated }"""
    slow = Endpoint(schema, compiled=False)
    for variables in (
        {"name": "Crew", "not": True},
        {"name": "Agent", "old": True, "not": False},
        {"name": "Nothing", "not": False},
    ):
        seen = (await post(world, text, variables)).json
        expected = await slow.execute(
            world.owner.caller, {"query": text, "operationName": None, "documentId": None, "variables": variables}
        )
        assert httpx2.Response(200, content=expected.body).json() == seen
    assert seen["data"] == {"t": None, "__typename": "Query", "__schema": {"queryType": {"name": "Query"}}}


async def test_the_whole_schema_is_put_together_once_and_beside_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = list[int]()
    execute = introspection.execute_sync

    def watched(*args: Any, **named: Any) -> Any:
        by.append(threading.get_ident())
        return execute(*args, **named)

    monkeypatch.setattr(introspection, "execute_sync", watched)
    query = get_introspection_query(**EVERYTHING) + " # watched"
    costs = [await post(world, query) for _ in range(5)]
    assert len(by) == 1
    assert by[0] != threading.get_ident()
    assert {cost.status for cost in costs} == {200}
    assert len({cost.body for cost in costs}) == 1
    assert len(costs[0].body) > 100_000
    assert min(cost.busy for cost in costs) < 0.05


async def test_the_answers_that_are_kept_are_few(world: World) -> None:
    endpoint = Endpoint(schema)
    text = "query Q($name: String!) { __type(name: $name) { name fields { name } } }"
    for n in range(100):
        body = {"query": text, "operationName": None, "documentId": None, "variables": {"name": f"Crew{n}"}}
        assert (await endpoint.execute(world.owner.caller, body))[0] == 200
    assert len(endpoint.answers._kept) <= 32
    long = {"query": text, "operationName": None, "documentId": None, "variables": {"name": "x" * 100_000}}
    await endpoint.execute(world.owner.caller, long)
    assert all(len(said) <= introspection.LONGEST_KEY for _, said in endpoint.answers._kept._values)


# ---- by GET ----------------------------------------------------------------------------------------------------------

IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
EVIL = "https://evil.example/"
FOREIGN: dict[str, dict[str, str]] = {
    "image": {"accept": IMAGE, "sec-fetch-site": "cross-site", "sec-fetch-dest": "image", "referer": EVIL},
    "image without a word of where": {"accept": IMAGE},
    "script": {"accept": "*/*", "sec-fetch-site": "cross-site", "sec-fetch-dest": "script"},
    "script of an older browser": {"accept": "*/*", "referer": EVIL},
    "style": {"accept": "text/css,*/*;q=0.1"},
    "fetch without CORS": {"accept": "application/json", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    "fetch with CORS": {
        "accept": "application/graphql-response+json",
        "origin": "https://evil.example",
        "sec-fetch-site": "cross-site",
    },
    "fetch with CORS of an older browser": {"accept": "application/json", "origin": "https://evil.example"},
    "another port": {"accept": "*/*", "sec-fetch-site": "same-site"},
    "another port of an older browser": {"accept": "*/*", "referer": "http://127.0.0.1:1/"},
    "a link": {"accept": PAGE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    "a form": {"accept": PAGE},
    "nowhere": {"accept": "application/json", "origin": "null"},
}


@each_of("path", ["/graphql", "/graphql/stream"])
@each_of("kind", FOREIGN)
async def test_pages_of_others_ask_nothing_by_get(world: World, kind: str, path: str) -> None:
    async with httpx2.AsyncClient(base_url=world.url, verify=False) as client:
        headers = FOREIGN[kind]
        if path.endswith("stream"):  # what this path answers, so that it is not refused for that
            headers = headers | {"accept": headers["accept"] + ", text/event-stream"}
            if "sec-fetch-site" not in headers and "referer" not in headers and "origin" not in headers:
                return
        answer = await client.get(f"{path}?query={quote(get_introspection_query())}", headers=headers)
    assert answer.status_code == 403, answer.text[:200]
    assert len(answer.content) < 500
    assert answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_scripts_and_own_pages_ask_by_get(world: World) -> None:
    own = {"origin": world.url, "referer": world.url + "/graphql"}
    async with httpx2.AsyncClient(base_url=world.url, verify=False) as client:
        for headers in (
            {"accept": "*/*"}, {"accept": "application/json"},
            {"accept": "application/graphql-response+json, application/json;q=0.9"}, {"accept": "*/*"} | own,
            {"accept": "*/*", "sec-fetch-site": "same-origin"},
            {"accept": "application/json", "sec-fetch-site": "none"},
        ):  # fmt: skip
            answer = await client.get("/graphql", params={"query": "{ __typename }"}, headers=headers)
            assert (answer.status_code, answer.json().get("data")) == (200, {"__typename": "Query"}), headers
