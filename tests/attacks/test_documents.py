"""Documents that cost much: who may send them, where they are read, and what is kept of them."""

import asyncio
import gc
import sys
import threading
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    Location,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    Token,
)

from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.kept import Kept
from schema.bridge import documents, trees
from schema.bridge.documents import KEPT_BYTES, KEPT_PLAN_BYTES, QUICK, Document
from schema.bridge.endpoint import OF_ANYBODY, Endpoint
from schema.bridge.limits import MAX_SAME
from schema.bridge.root import schema
from schema.bridge.trees import Tree
from schema.bridge.worker import Worker
from schema.live.messages import LONGEST_PAYLOAD
from schema.live.subscription import subscription_of
from tests.attacks.graphql import USER, post
from tests.every import each_of
from tests.live.graphql import socket
from tests.world import World

pytestmark = pytest.mark.anyio

FORGED = {"authorization": "Bearer crewship_cli_" + "0" * 64}
BAD_SESSION = {"authorization": "Bearer a.b.c"}
LARGE = "{ viewer { id } } #" + "x" * OF_ANYBODY


# ---- who -------------------------------------------------------------------------------------------------------------


async def test_large_documents_are_read_for_callers_only_who_are_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()

    class Watched(Document):
        def __init__(self, core: Any, text: str, name: str | None, **options: Any) -> None:
            read.append(text)
            super().__init__(core, text, name, **options)

    monkeypatch.setattr(documents, "Document", Watched)
    for headers in ({}, FORGED, BAD_SESSION):
        cost = await post(world, LARGE, **headers)
        assert cost.codes == {"UNAUTHENTICATED"}
        assert "data" not in cost.json
    assert read == []
    known = {"authorization": f"Bearer {world.viewer.token}"}
    for _ in range(3):
        assert (await post(world, LARGE, **known)).json["data"] == {"viewer": {"id": world.viewer.user_id}}
    assert read == [LARGE]


async def test_a_stream_of_nobody_reads_no_large_document(world: World) -> None:
    multipart = "multipart/mixed;subscriptionSpec=1.0"
    for path, accept in (
        ("/graphql/stream", "text/event-stream"),
        ("/graphql", f"{multipart},application/json"),
        ("/graphql", multipart),
    ):
        async with world.client(None, accept=accept) as client:
            text = "subscription { userEvents { __typename } } #a" + "x" * OF_ANYBODY
            answer = await client.post(path, json={"query": text})
            assert "UNAUTHENTICATED" in answer.text


# ---- where -----------------------------------------------------------------------------------------------------------


async def test_what_takes_long_is_done_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, parsing again, and compiling."""
    by: dict[str, int] = {}

    def watched(what: str, call: Any) -> Any:
        def watching(*args: Any, **named: Any) -> Any:
            by[what] = threading.get_ident()
            return call(*args, **named)

        return watching

    for module, what in ((trees, "parse"), (documents, "validate"), (Document, "compile")):
        monkeypatch.setattr(module, what, watched(what, getattr(module, what)))
    endpoint = Endpoint(schema)
    for long in (False, True):
        text = "query($a: Boolean!) { viewer { id @skip(if: $a) email } }" + "#" * QUICK * long
        document = await endpoint.documents.read(text, None, USER)
        await endpoint.documents.plan(document, document.values({"a": True}), USER, Document.compile)
        read = by.copy()
        await endpoint.documents.read("{ viewer { id } }", None, USER)
        await endpoint.documents.plan(document, document.values({"a": False}), USER, Document.compile)
        for thread in [*read.values(), by["parse"], by["compile"]]:
            assert (thread != threading.get_ident()) is long


async def test_who_is_read_and_compiled_at_once_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, parse = list[str](), trees.parse
    monkeypatch.setattr(
        trees, "parse", lambda source, **options: parsed.append(source.body) or parse(source, **options)
    )
    kept = Endpoint(schema).documents
    first, other = "query($a: Boolean!) { viewer { id @skip(if: $a) email } }", "{ viewer { id } }"
    for text in (first, first + "#" * QUICK):
        parsed.clear()
        document = await kept.read(text, None, USER)
        for skipped in (True, False):
            await kept.plan(document, document.values({"a": skipped}), USER)
        assert parsed == [text]
        await kept.read(other, None, USER)
        kept.plans = Kept(10, 100_000)
        await kept.plan(document, document.values({"a": True}), USER)
        assert parsed == [text, other, text]


async def test_between_two_documents_that_come_together_others_have_their_turn() -> None:
    kept, seen, rounds = documents.Documents(schema._schema, Worker()), list[int](), [0]

    async def read(n: int) -> None:
        await kept.read(f"{{ d{n}: __typename }}", None, USER)
        seen.append(rounds[0])

    def count() -> None:
        rounds[0] += 1
        if len(seen) < 10:
            asyncio.get_running_loop().call_soon(count)

    count()
    await asyncio.gather(*map(read, range(10)))
    assert len(set(seen)) == 10


async def test_who_waits_for_a_long_document_holds_up_nobody(world: World) -> None:
    known = {"authorization": f"Bearer {world.viewer.token}"}
    objects = "mutation { createLabel(input: { " + " ".join(f"x{n}: 1" for n in range(1200)) + " }) { id } } #"
    costs = await asyncio.gather(
        *[post(world, objects + str(n), **known) for n in range(3)], post(world, "{ viewer { id } }", **known)
    )
    assert [cost.codes for cost in costs[:3]] == [{"BAD_REQUEST"}] * 3
    assert costs[3].json["data"]


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_values_are_kept_up_to_a_number_and_up_to_a_size() -> None:
    kept: Kept[int, str] = Kept(3, 100)
    for n in range(4):
        kept.put(n, str(n), 10)
    assert [kept.get(n) for n in range(4)] == [None, "1", "2", "3"]
    kept.get(1)
    kept.put(4, "4", 85)
    assert [kept.get(n) for n in range(5)] == [None, "1", None, None, "4"]
    kept.put(4, "four", 5)
    kept.put(5, "5", 101)
    assert (kept.get(4), kept.get(5), kept.size, len(kept)) == ("four", None, 15, 2)


def _different(n: int) -> str:
    return (
        "query($a: Boolean!) { crews(first: 2) {"
        f" nodes {{ id @skip(if: $a) a{n}: agents {{ nodes {{ i{n}: id n{n}: name status }} }} }} }} }}"
    )


BODIES: dict[str, dict[str, Any]] = {
    "query": {"query": _different(1), "variables": {"a": True}},
    "query of rows": {
        "query": "query($id: ID!, $n: Int = 2) { crew(id: $id) { id agents(first: $n) { nodes { id } } } }",
        "variables": {"id": "x"},
    },
    "mutation": {
        "query": (
            "mutation($n: String!, $m: CreateLabelInput!) {"
            ' a: createLabel(input: {name: $n, color: "#fff"}) { id } b: createLabel(input: $m) { id } }'
        ),
        "variables": {"n": "x", "m": {"name": "y", "color": "#fff"}},
    },
    "subscription": {
        "query": (
            "subscription($ws: ID!) { workspaceEvents(workspaceId: $ws) {"
            " __typename ... on CrewCreatedEvent { name } } }"
        )
    },
    "introspection": {
        "query": (
            "query($n: String!) { t: __type(name: $n) { ...F } __schema { queryType { name } } }"
            " fragment F on __Type { fields { name } }"
        ),
        "variables": {"n": "Crew"},
    },
    "several operations": {
        "query": "query A { labels { id } } query B { ...F } fragment F on Query { crews { nodes { id } } }",
        "operationName": "B",
    },
}
# what is there without documents
STOPS = (type, ModuleType, FunctionType, BuiltinFunctionType, GraphQLSchema, GraphQLNamedType, GraphQLField, Operation)
PARTS_OF_TREES = (SelectionSetNode, OperationDefinitionNode, DocumentNode, Token)


def _held(*things: Any) -> list[Any]:
    """Everything that these keep alive, of the kinds that belong to documents."""
    found, todo = dict[int, Any](), list[Any](things)
    while todo:
        thing = todo.pop()
        if id(thing) not in found and not isinstance(thing, STOPS):
            found[id(thing)] = thing
            todo += gc.get_referents(thing)
    return list(found.values())


@each_of("compiled", [True, False], ids=["compiled", "fallback"])
@each_of("kind", BODIES)
async def test_a_kept_document_holds_no_tree(world: World, kind: str, compiled: bool) -> None:
    """Nor do its plan and the answers to introspection."""
    endpoint, text = Endpoint(schema, compiled=compiled), BODIES[kind]["query"]
    body = {"operationName": None, "documentId": None, "variables": {}} | BODIES[kind]
    if kind == "subscription":
        body["variables"] = {"ws": world.workspace.id}
        assert await subscription_of(endpoint, world.owner.caller, body)
    else:
        caller = world.owner.caller
        caller.workspace = world.workspace.id
        assert b'"data"' in (await endpoint.execute(caller, body))[1]
    kept = endpoint.documents
    assert (len(kept.kept), len(kept.plans)) == (1, 1)
    assert bool(len(endpoint.answers._kept)) is (compiled and kind == "introspection")
    held = _held(kept.kept, kept.plans, endpoint.answers._kept)
    assert [thing.body for thing in held if isinstance(thing, Source)] == [text]
    assert [thing for thing in held if isinstance(thing, PARTS_OF_TREES)] == []
    assert [
        thing
        for thing in _held(Document(schema._schema, text, body["operationName"]))
        if isinstance(thing, SelectionSetNode)
    ], "this would be seen"


@pytest.mark.slow
async def test_a_document_and_its_plan_are_few_objects() -> None:
    """However many are kept, a full round of the collector has little to walk; and at most one has a tree."""
    names = "id name slug description color icon agentCount memberCount createdAt updatedAt"
    text = f"""query Page($ws: ID!, $first: Int!, $after: String) {{
        page: crews(workspaceId: $ws, first: $first, after: $after) {{
            nodes {{ {names}
                a%d: agents(first: 20) {{ nodes {{ id name slug status }} pageInfo {{ hasNextPage endCursor }} }} }}
            pageInfo {{ hasNextPage endCursor }}
        }}
    }}"""
    endpoint = Endpoint(schema)

    async def planned(n: int) -> None:
        document = await endpoint.documents.read(text % n, None, USER)
        await endpoint.documents.plan(document, document.values({"ws": "x", "first": 3}), USER)

    await planned(1000)
    gc.collect()
    before, trees = len(gc.get_objects()), _documents()
    for n in range(200):
        await planned(n)
    gc.collect()
    assert len(endpoint.documents.plans) == 201
    assert 350 < len(text) < 650
    assert (len(gc.get_objects()) - before) / 200 < 80
    assert _documents() <= trees


async def test_a_tree_is_freed_at_once() -> None:
    """It has no cycles: neither what is read once nor what the cache lets go waits for a full round of the collector,
    which walks all that is kept.
    """
    gc.collect()
    gc.disable()
    try:
        others = _nodes()  # held, so that what earlier tests let go now is not counted
        tree = Tree(Source(_different(1)), None)
        assert len(_nodes()) > len(others) + 100
        del tree
        assert len(_nodes()) == len(others)
        document = Document(schema._schema, BODIES["mutation"]["query"], None)
        plan = document.compile(document.tree(), {})
        gc.collect()  # what validation left behind, which is young
        assert len(others) < len(_nodes()) < len(others) + 100
        del document, plan
        assert len(_nodes()) == len(others)
    finally:
        gc.enable()


def _documents() -> int:
    return sum(isinstance(thing, DocumentNode) for thing in gc.get_objects())


def _nodes() -> list[Any]:
    return [thing for thing in gc.get_objects() if isinstance(thing, (Token, Location, Node))]


LONG = " ".join(f'"{n}"' for n in range(300))
ATTRIBUTES = 64  # bytes of a node that `getsizeof` does not see
COUNTED = {
    "conditions": _different(1),
    "edges": (
        "{ crews { nodes { " + " ".join(f"a{n}xN: agents {{ nodes {{ b{n}xN: id }} }}" for n in range(25)) + " } } }"
    ),
    "simple variables": (
        "query("
        + " ".join(f"$v{n}xN: Int $w{n}xN: String" for n in range(20))
        + ") { "
        + " ".join(f"r{n}: crews(first: $v{n}xN, after: $w{n}xN) {{ nodes {{ id }} }}" for n in range(20))
        + " }"
    ),
    "a default": (
        f'mutation($aN: [String!] = [{LONG}]) {{ createCliToken(input: {{name: "x", scopes: $aN}}) {{ id }} }}'
    ),
    "variables in a list": (
        f'mutation($aN: String = "x") {{ createCliToken(input: {{name: "x", scopes: [{LONG} $aN]}}) {{ id }} }}'
    ),
    "a list": f'mutation {{ createCliToken(input: {{name: "N", scopes: [{LONG}]}}) {{ id }} }}',
    "a text": 'mutation { createCliToken(input: {name: "' + "x" * 5000 + 'N"}) { id } }',
    "a comment": "{ __typename } # N" + "x" * 3000,
    "other letters": "{ __typename } # N" + "☃" * 3000,
    "introspection": "query QN { __schema { queryType { name } } }",
}


@each_of("kind", COUNTED)
def test_documents_are_counted_with_what_they_take(kind: str) -> None:
    document = Document(schema._schema, COUNTED[kind], None)
    assert not document.errors, document.errors
    plan = document.compile(document.tree(), dict.fromkeys(document.conditions, False))
    taken = sum(sys.getsizeof(thing) + ATTRIBUTES * isinstance(thing, Node) for thing in _held(document, plan))
    counted = document.size + plan.size
    assert counted / 5 < taken < counted * 1.2, (counted, taken)


def _resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
async def test_ten_thousand_different_documents_do_not_fill_the_memory() -> None:
    endpoint, sizes = Endpoint(schema), [_resident()]
    for n in range(10_000):
        document = await endpoint.documents.read(_different(n), None, USER)
        assert not document.errors
        for skip in (True, False):
            await endpoint.documents.plan(document, document.values({"a": skip}), USER)
        if n % 2500 == 2499:
            sizes.append(_resident())
    assert endpoint.documents.kept.size <= KEPT_BYTES
    assert endpoint.documents.plans.size <= KEPT_PLAN_BYTES
    assert sizes[1] - sizes[0] < 96 * 2**20, sizes
    assert sizes[-1] - sizes[1] < 16 * 2**20, sizes


# ---- one value, many times -------------------------------------------------------------------------------------------


async def test_a_text_is_not_multiplied_by_aliases(world: World) -> None:
    known = {"authorization": f"Bearer {world.viewer.token}"}
    start = "query($ws: ID!) { crews(workspaceId: $ws, first: 10) { nodes { "
    for inside in (
        " ".join(f"a{n}: description" for n in range(59)),
        "description " + " ".join(f"a{n}: description" for n in range(MAX_SAME)),
        (
            "... { a: description b: description }"
            " ... @include(if: true) { c: description d: description e: description f: description }"
        ),
        " ".join(f"a{n}: agentCount" for n in range(MAX_SAME + 1)),
    ):
        cost = await post(world, start + inside + " } } }", {"ws": world.workspace.id}, **known)
        assert cost.codes == {"BAD_REQUEST"}
        assert "is requested too often" in cost.json["errors"][0]["message"]
    few = await post(world, start + "a: name b: name c: name d: slug } } }", {"ws": world.workspace.id}, **known)
    assert few.json["extensions"]["cost"] == 1 + 10 * 3
    heard = (
        "subscription($ws: ID!) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { "
        + " ".join(f"a{n}: name" for n in range(6))
        + " } } }"
    )
    async with socket(world) as talk:
        await talk.begin(**known)
        await talk.subscribe("a", heard, ws=world.workspace.id)
        assert "is requested too often" in (await talk.hear())["payload"][0]["message"]


# ---- one key, many mutations -----------------------------------------------------------------------------------------

TWO = """mutation($ws: ID!) {
  a: createLabel(workspaceId: $ws, input: {name: "%s a", color: "#000000"}) { id name }
  b: createLabel(workspaceId: $ws, input: {name: "%s b", color: "#000000"}) { id name }
}"""


async def test_a_document_with_two_equal_mutations_is_carried_out_and_replayed_with_one_key(world: World) -> None:
    headers = {"authorization": f"Bearer {world.owner.token}", "idempotency-key": "two"}
    text = TWO % ("key", "key")
    first = await post(world, text, {"ws": world.workspace.id}, **headers)
    assert "errors" not in first.json
    assert [first.json["data"][key]["name"] for key in "ab"] == ["key a", "key b"]
    again = await post(world, text, {"ws": world.workspace.id}, **headers)
    assert again.json == first.json
    assert await world.database.fetchval("SELECT count(*) FROM labels WHERE name LIKE 'key %'") == 2
    other = await post(world, TWO % ("key", "other"), {"ws": world.workspace.id}, **headers)
    assert [error["extensions"]["code"] for error in other.json["errors"]] == ["UNPROCESSABLE"]
    assert other.json["data"] == {"a": first.json["data"]["a"], "b": None}


async def test_the_executor_gives_each_mutation_a_key_of_its_own(world: World) -> None:
    slow = Endpoint(schema, compiled=False)
    answers = []
    for _ in range(2):
        body = {
            "query": TWO % ("slow", "slow"),
            "operationName": None,
            "documentId": None,
            "variables": {"ws": world.workspace.id},
        }
        answers.append(await slow.execute(world.owner.caller, body, key="slow"))
    assert answers[0].body == answers[1].body
    assert [answer.replayed for answer in answers] == [False, True]
    assert b'"errors"' not in answers[0].body


async def test_one_mutation_keeps_the_key_as_it_is_sent(world: World) -> None:
    headers = {"authorization": f"Bearer {world.owner.token}", "idempotency-key": "one"}
    text = 'mutation($ws: ID!) { x: createLabel(workspaceId: $ws, input: {name: "one", color: "#000000"}) { id } }'
    assert "errors" not in (await post(world, text, {"ws": world.workspace.id}, **headers)).json
    assert await world.database.fetchval("SELECT count(*) FROM idempotency_keys WHERE key = 'one'") == 1


# ---- on a socket -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["connection_init", "ping", "pong"])
async def test_payloads_of_a_socket_are_bounded_in_size_and_depth(world: World, type: str) -> None:
    for payload in ('{"a": "%s"}' % ("x" * LONGEST_PAYLOAD), '{"a": ' + "[" * 5000 + "]" * 5000 + "}"):
        async with socket(world) as talk:
            await talk.say(f'{{"type": "{type}", "payload": {payload}}}')
            assert (await talk.closed())[0] == 4400


async def test_messages_of_a_socket_are_bounded(world: World) -> None:
    async with socket(world) as talk:
        await talk.begin(authorization=f"Bearer {world.viewer.token}")
        await talk.say(
            '{"id": "a", "type": "subscribe", "payload": {"query": "{ __typename }", "variables": {"a": "%s"}}}'
            % ("x" * 1024 * 1024)
        )
        assert (await talk.closed())[0] == 1009
