"""What a document may ask, and how fast more is refused: every answer is JSON with a code, none the server's fault."""

import json
import time
from typing import Any

import pytest

from resolvers.kernel.admission import plans
from resolvers.kernel.admission.plans import Shelf
from resolvers.kernel.ground.inputs import NoInput
from resolvers.kernel.reader import Column, Nested, Shape, intern, shape
from resolvers.work import labels
from schema.bridge import trees
from schema.bridge.documents import KEPT, KEPT_BYTES, KEPT_PLAN_BYTES, KEPT_PLANS, Document, Documents
from schema.bridge.endpoint import MAX_COST
from schema.bridge.limits import (
    MAX_ALIASES,
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_LETTERS,
    MAX_REPEATS,
    MAX_ROOTS,
    MAX_SAME,
    MAX_SPREADS,
)
from schema.bridge.worker import Worker
from tests.attacks.graphql import USER
from tests.every import each_of
from tests.reader.library import SCHEMA, Library
from tests.world import World

pytestmark = pytest.mark.anyio
FAST = 0.05  # seconds


def many(text: str, number: int, between: str = " ") -> str:
    return between.join(text.replace("#", str(n)) for n in range(number))


def aliased(number: int) -> str:
    """This many aliases of roots and of their values."""
    roots, left = number // 4, number % 4
    return many("r#: labels { x#: id y#: name z#: color }", roots) + " labels { " + many("w#: name", left) + " id }"


def nested(depth: int) -> str:
    """A selection of exactly this depth."""
    return (
        "{ crews { nodes "
        + "{ agents { nodes { crew " * ((depth - 3) // 3)
        + "{ id }"
        + " } } }" * ((depth - 3) // 3)
        + " } }"
    )


TOO_MUCH = {
    "depth": (nested(MAX_DEPTH + 3), f"at most {MAX_DEPTH} levels"),
    "aliases": ("{ " + aliased(MAX_ALIASES + 1) + " }", f"at most {MAX_ALIASES} aliases"),
    "aliases of fragments": ("{ labels { ...F ...F } } fragment F on Label { " + many("a#: name", 31) + " }",
        f"at most {MAX_ALIASES} aliases"),
    "one value": ("{ labels { name " + many("a#: name", MAX_SAME) + " } }", f"under at most {MAX_SAME} names"),
    "one value of fragments": (
        "{ labels { ...F ...G } labels { d: name } } fragment F on Label { a: name b: name ...G }"
        " fragment G on Label { c: name e: name f: name name }",
        "'name' is requested too often",
    ),
    "one number": ("{ crews { " + many("a#: totalCount", MAX_SAME + 1) + " } }", "'totalCount' is requested too often"),
    "fields": ("{ labels { " + many("...F#", 60) + " } } " +
        many("fragment F# on Label { id name " + "color " * 15 + "}", 60),
        f"at most {MAX_FIELDS} fields"),
    "roots": ("{ " + many("r#: __typename", MAX_ROOTS + 1) + " }", f"at most {MAX_ROOTS} root fields"),
    "roots of fragments": ("{ ...F ...G } fragment F on Query { ...G } fragment G on Query { " +
        many("r#: __typename", 11) + " }", "root fields are allowed"),
    "merged fields": ("{ labels { " + "id " * (MAX_REPEATS + 1) + "} }", f"at most {MAX_REPEATS} fields of one name"),
    "merged fields, deep": ("{ " + "labels { id id id } " * 8 + "}", f"at most {MAX_REPEATS} fields of one name"),
    "spreads": ("{ labels { " + "...F " * (MAX_SPREADS + 1) + "} } fragment F on Label { id }",
        f"at most {MAX_SPREADS} spread fragments"),
    "tokens": ("{ labels(x: [" + "1 " * trees.MAX_TOKENS + "]) { id } }", "tokens"),
    "doubling fragments": (
        "{ labels { ...F0 } } " + " ".join(f"fragment F{n} on Label {{ ...F{n + 1} ...F{n + 1} }}" for n in range(300))
        + " fragment F300 on Label { id }",
        "too large",
    ),
    "doubling fields": (
        "{ crews { nodes { ...F0 } } } "
        + " ".join(f"fragment F{n} on Crew {{ a: agentCount ...F{n + 1} ... {{ ...F{n + 1} }} }}" for n in range(200))
        + " fragment F200 on Crew { id }",
        "too large",
    ),
    "a cycle": ("{ labels { ...A } } fragment A on Label { ...B } fragment B on Label { ...A }",
        "Cannot spread fragment"),
    "a wide cycle": (
        "{ crews { nodes { ...F0 } } } "
        + many("fragment F# on Crew { " + many("x#: agents { nodes { crew { ...F# } } } ", 2) + "}", 2),
        "Cannot spread fragment",
    ),
    "a long alias": ("{ labels { " + "a" * 64 + ": name } }", "too long: at most 63"),
    "a long alias of a total": ("{ crews { " + "a" * 64 + ": totalCount } }", "too long: at most 63"),
    "a long alias of a root": ("{ " + "a" * 64 + ": crews { totalCount } }", "too long: at most 63"),
    "a letter of no name": ("{ labels { ünïcödé: name } }", "Syntax Error"),
    "a very long name": ("{ " + "n" * (MAX_LETTERS - 4) + " }", "Cannot query field"),
    "letters": ("{ __typename } #" + "x" * MAX_LETTERS, f"at most {MAX_LETTERS} letters"),
    "deep lists": ("{ labels(workspaceId: " + "[" * 1500 + "]" * 1500 + ") { id } }", "nested too deeply"),
    "deep braces": ("{ labels " * 1200 + "}" * 1200, "nested too deeply"),
    "nothing": ("", "Syntax Error"),
}  # fmt: skip


@each_of("kind", TOO_MUCH)
async def test_too_much_is_refused_fast_and_clearly(library: Library, kind: str) -> None:
    text, reason = TOO_MUCH[kind]
    took = []
    for _ in range(3):  # the machine may be busy; what is slow is slow each time
        started = time.process_time()
        document = Document(SCHEMA, text, None)
        took.append(time.process_time() - started)
    assert document.errors
    status, answer = await library.ask(library.compiled, library.world.owner, text)
    assert status == 200
    assert "data" not in answer
    assert {e["extensions"]["code"] for e in answer["errors"]} == {"BAD_REQUEST"}
    assert reason in answer["errors"][0]["message"]
    assert len(answer["errors"][0]["message"]) < 1000
    assert min(took) < FAST


def test_the_largest_documents_allowed_are_read_in_reasonable_time() -> None:
    """Validation compares fields of one name and fragments with each other: within the limits this takes no seconds."""
    fields = ["id", "name", "slug", "description", "color", "icon", "avatarStyle"]
    fragments = " ".join(f"fragment F{n} on Crew {{ {fields[n % 7]} }}" for n in range(90))
    texts = (
        "{ crews { nodes { " + many("...F#", 90) + " } } } " + fragments,
        "{ crews { nodes { "
        + many("...F#", 20)
        + " } } } "
        + many("fragment F# on Crew { " + " ".join(fields) + " agents { nodes { id name } } }", 20),
        "{ "
        + many("r#: crews { nodes { id name agents { nodes { " + "id name slug status " * 5 + "} } } }", 20)
        + " }",
        "{ crews { nodes { " + "agents { nodes { id name slug } } " * 20 + " } } }",
    )
    for text in texts:
        started = time.process_time()
        document = Document(SCHEMA, text, None)
        assert time.process_time() - started < 0.5
        assert document.errors == []


async def test_what_is_within_the_limits_is_answered(library: Library) -> None:
    for text in (
        nested(MAX_DEPTH),
        "{ " + aliased(MAX_ALIASES) + " }",
        "{ labels { name " + many("a#: name", MAX_SAME - 1) + " } }",
        "{ " + many("r#: __typename", MAX_ROOTS) + " }",
        "{ labels { " + "id " * MAX_REPEATS + "} }",
        "{ labels { " + "...F " * MAX_SPREADS + "} } fragment F on Label { id }",
        "{ crews { " + "a" * 63 + ": totalCount nodes { " + "b" * 63 + ": members { " + "c" * 63 + ": id } } } }",
    ):
        answer = await library.same(
            library.world.owner, text.replace("crews {", "crews(first: 2) {").replace("agents {", "agents(first: 2) {")
        )
        assert "errors" not in answer, (text[:200], answer["errors"])


# ---- cost ------------------------------------------------------------------------------------------------------------

WIDE = (
    "crews(first: 100) { nodes { members { id } "
    + " ".join(f"{n}: agents(first: 100) {{ nodes {{ id }} }}" for n in "abc")
    + " } }"
)
DEAR = "crews(first: 100) { nodes { agents(first: 100) { nodes { crew { agents(first: 100) { nodes { id } } } } } } }"


@each_of(
    "text",
    [
        "{ " + DEAR + " }",
        "{ x: " + DEAR.replace("nodes", "y: nodes").replace("agents", "z: agents") + " }",
        "{ " + DEAR.replace("nodes { agents", "edges { node { agents").replace("} } } } } } }",
            "} } } } } } } }") + " }",
        "{ bad: crews(after: \"bad\") { totalCount } " + DEAR + " }",
        "{ __schema { queryType { name } } " + DEAR + " }",
        "{ ... { ...F } } fragment F on Query { " + DEAR + " }",
        "{ " + many("r#: " + WIDE, 14) + " }",
    ],
)  # fmt: skip
async def test_an_answer_that_could_be_huge_is_refused_before_anything_is_read(library: Library, text: str) -> None:
    for endpoint in (library.compiled, library.executor):
        status, answer = await library.ask(endpoint, library.world.owner, text)
        assert status == 200
        assert "data" not in answer
        [error] = answer["errors"]
        assert error["extensions"]["code"] == "BAD_REQUEST"
        assert error["extensions"]["cost"] > MAX_COST
        assert "smaller pages" in error["message"]


async def test_the_cost_is_that_of_the_pages_asked_for(library: Library) -> None:
    async def cost(text: str, variables: Any = None) -> int:
        _, answer = await library.ask(library.compiled, library.world.owner, text, variables)
        return int(answer["extensions"]["cost"])

    one = await cost("{ crews(first: 3) { nodes { id } } }")
    assert (
        one
        == await cost("{ x: crews(first: 3) { y: nodes { z: id } } }")
        == await cost("query($n: Int) { crews(first: $n) { nodes { id } } }", {"n": 3})
    )
    assert one == 4
    assert await cost("{ crews(first: 3) { nodes { agents(first: 2) { nodes { id } } } } }") == 1 + 3 * (1 + 1 + 2)
    assert await cost(
        "{ crews(first: 3) { nodes { a: agents(first: 2) { nodes { id } } b: agents(first: 5) { nodes { id } } } } }"
    ) == 1 + 3 * (1 + 3 + 6)
    assert await cost("{ crews(first: 3) { totalCount } crews(first: 3) { nodes { id @skip(if: true) } } }") == 4
    assert await cost("{ __typename crews(first: 1000000) { nodes { id } } }") == 101


# ---- variables -------------------------------------------------------------------------------------------------------


async def test_variables_of_any_shape_are_answered_with_json(world: World) -> None:
    document = "mutation($ws: ID, $in: CreateLabelInput!) { createLabel(workspaceId: $ws, input: $in) { id } }"
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    deeper: Any = {}
    for _ in range(900):
        deeper = {"a": deeper}
    before = await world.snapshot()
    for value in (
        deep,
        deeper,
        {"name": deep, "color": "x"},
        {"name": "x", "color": deeper},
        [],
        7,
        None,
        {},
        {"name": "x" * 1_000_00, "color": 1},
        {"name": "a\0", "color": "x"},
    ):
        answer = await world.graphql(world.owner, document, {"in": value})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert len(answer["errors"][0]["message"]) < 2000
    assert await world.snapshot() == before


async def test_json_nested_beyond_all_measure_is_no_fault_of_the_server(world: World) -> None:
    async with world.client(world.owner) as client:
        for depth in (1_000, 5_000, 100_000):
            body = '{"query": "{ labels { id } }", "variables": {"x": ' + "[" * depth + "]" * depth + "}}"
            answer = await client.post("/graphql", content=body.encode(), headers={"content-type": "application/json"})
            assert answer.status_code in (200, 400)
            assert answer.json()["errors"][0]["message"]


async def test_many_variables_are_no_fault_of_the_server(library: Library) -> None:
    names = many('$v#: ID = "x"', 400)
    _, answer = await library.ask(library.compiled, library.world.owner, f"query({names}) {{ labels {{ id }} }}")
    assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"  # none of them is used
    _, answer = await library.ask(
        library.compiled, library.world.owner, f"query({many('$v#: ID', 5000)}) {{ labels {{ id }} }}"
    )
    assert "tokens" in answer["errors"][0]["message"]
    _, answer = await library.ask(
        library.compiled, library.world.owner, "{ labels { id } }", {f"v{n}": "x" for n in range(50_000)}
    )
    assert "errors" not in answer


async def test_conditions_belong_to_the_chosen_operation(library: Library) -> None:
    text = "query A { labels { id } } query B($x: Boolean!) { labels { id @include(if: $x) name } }"
    assert "errors" not in await library.same(library.world.owner, text, {}, "A")
    assert "errors" not in await library.same(library.world.owner, text, {"x": False}, "B")


async def test_a_null_condition_is_refused(library: Library) -> None:
    text = "query($x: Boolean = true) { labels { id @include(if: $x) name @skip(if: $x) } }"
    answer = await library.same(library.world.owner, text, {"x": None})
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert list((await library.same(library.world.owner, text))["data"]["labels"][0]) == ["id"]


# ---- caches ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_documents_are_kept_up_to_a_number_and_up_to_a_size() -> None:
    documents = Documents(SCHEMA, Worker())
    for n in range(KEPT + 20):
        await documents.read(f"{{ a{n}: __typename }}", None, USER)
    assert len(documents.kept) == KEPT
    assert documents.known("{ a0: __typename }", None) is None
    assert documents.known("{ a20: __typename }", None) is not None
    await documents.read("{ b: __typename }", None, USER)
    assert documents.known("{ a20: __typename }", None) is not None, "the one used last is not the first to go"
    long = "#" + "x" * (MAX_LETTERS - 100)
    most = KEPT_BYTES // len(long)
    for n in range(most + 10):
        await documents.read(f"{{ c{n}: __typename }} {long}", None, USER)
    assert documents.kept.size <= KEPT_BYTES
    await documents.read("{ nothing }", None, USER)
    assert documents.known("{ nothing }", None) is None
    assert most - 10 < len(documents.kept) < most


@pytest.mark.slow
async def test_plans_of_documents_are_bounded(library: Library) -> None:
    heads = ", ".join(f"$b{n}: Boolean!" for n in range(6))
    fields = " ".join(f"a{n}: {('name', 'color')[n % 2]} @include(if: $b{n})" for n in range(6))
    text = f"query({heads}) {{ labels {{ {fields} }} }}"
    for n in range(64):
        answer = await library.same(library.world.owner, text, {f"b{bit}": bool(n >> bit & 1) for bit in range(6)})
        assert list(answer["data"]["labels"][0]) == [f"a{bit}" for bit in range(6) if n >> bit & 1]
    documents = library.compiled.documents
    document = await documents.read("query($a: Boolean!) { labels { id @skip(if: $a) name } }", None, USER)
    for n in range(KEPT_PLANS + 10):
        documents.plans.put((document, (True, n)), None, 10)
    assert len(documents.plans) <= KEPT_PLANS
    for n in range(20):
        documents.plans.put((document, (False, n)), None, KEPT_PLAN_BYTES // 10)
    assert documents.plans.size <= KEPT_PLAN_BYTES


@pytest.mark.slow
async def test_plans_are_bounded(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    person, workspace = library.world.owner, library.world.workspace.id
    monkeypatch.setattr(plans, "shelf", small := Shelf(200_000))
    labels.list_labels.plans.clear()
    for n in range(100):
        for key in ("often", f"k{n}"):
            answer = await labels.list_labels(
                person.caller, {}, intern(Shape((Column(key, "name"),), "list")), (), workspace
            )
            assert answer.body is not None
            assert json.loads(answer.body)[0].keys() == {key}
    kept = labels.list_labels.plans.values()
    assert sum(len(plan.sql) for plan in kept) <= small.size <= small.limit
    assert 30 < len(kept) < 100
    assert any('"often"' in plan.sql for plan in kept), "what is used stays"
    assert labels.list_labels.input is NoInput


def test_equal_shapes_are_one_object_for_as_long_as_one_is_used() -> None:
    def made(key: str = "a") -> Shape:
        return intern(Shape((Column(key, "name"), Nested("edge", "edge", Shape((Column("id", "id"),)))), "list"))

    before = len(shape._KNOWN)
    one, other = made(), made()
    assert one is other
    assert made("b") is not one
    assert len(shape._KNOWN) == before + 1
    del one, other
    assert len(shape._KNOWN) == before
