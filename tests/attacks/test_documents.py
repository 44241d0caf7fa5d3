"""Documents that cost much: who may send them, where they are read, and what is kept of them."""

import asyncio
import gc
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from graphql import Location, Token

from resolvers.kernel.errors import Code, Refusal
from schema import documents
from schema.documents import KEPT_BYTES, KEPT_PLAN_BYTES, QUICK, Document
from schema.endpoint import OF_ANYBODY, Endpoint
from schema.kept import Kept
from schema.limits import MAX_SAME
from schema.live.messages import LONGEST_PAYLOAD
from schema.root import schema
from schema.worker import Worker
from tests.attacks.graphql import post
from tests.live.graphql import socket
from tests.world import World

pytestmark = pytest.mark.anyio

FORGED = {"authorization": "Bearer crewship_cli_" + "0" * 64}
BAD_SESSION = {"authorization": "Bearer a.b.c"}
LARGE = "{ viewer { id } } #" + "x" * OF_ANYBODY


# ---- who -------------------------------------------------------------------------------------------------------------


async def test_large_documents_are_read_for_callers_only_who_are_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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
    for path, accept in (("/graphql/stream", "text/event-stream"), ("/graphql", f"{multipart},application/json"), ("/graphql", multipart)):
        async with world.client(None, accept=accept) as client:
            text = "subscription { userEvents { __typename } } #a" + "x" * OF_ANYBODY
            answer = await client.post(path, json={"query": text})
            assert "UNAUTHENTICATED" in answer.text


# ---- where -----------------------------------------------------------------------------------------------------------


async def test_what_takes_long_is_read_beside_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    by: dict[str, int] = {}
    validate, compile = documents.validate, Document.compile

    def validated(*args: Any, **named: Any) -> Any:
        by["validate"] = threading.get_ident()
        return validate(*args, **named)

    def compiled(self: Document, truth: Any) -> Any:
        by["compile"] = threading.get_ident()
        return compile(self, truth)

    monkeypatch.setattr(documents, "validate", validated)
    monkeypatch.setattr(Document, "compile", compiled)
    endpoint = Endpoint(schema)
    for text, beside in (("{ viewer { id } }", False), ("{ viewer { id } } #" + "x" * QUICK, True)):
        document = await endpoint.documents.read(text, None)
        await endpoint.documents.plan(document, document.values({}), compiled)
        assert (by["validate"] != threading.get_ident()) is (by["compile"] != threading.get_ident()) is beside


async def test_who_waits_for_a_long_document_holds_up_nobody(world: World) -> None:
    known = {"authorization": f"Bearer {world.viewer.token}"}
    objects = "mutation { createLabel(input: { " + " ".join(f"x{n}: 1" for n in range(1200)) + " }) { id } } #"
    costs = await asyncio.gather(*[post(world, objects + str(n), **known) for n in range(3)], post(world, "{ viewer { id } }", **known))
    assert [cost.codes for cost in costs[:3]] == [{"BAD_REQUEST"}] * 3
    assert costs[3].json["data"]


async def test_work_that_waits_is_bounded() -> None:
    worker, go = Worker(most=3), threading.Event()
    waiting = [asyncio.create_task(worker.run(partial(go.wait, 30))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as refused:
        await worker.run(lambda: None)
    assert refused.value.code is Code.UNAVAILABLE
    go.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await worker.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(lambda: 8) == 8


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
    return f"query($a: Boolean!) {{ crews(first: 2) {{ nodes {{ id @skip(if: $a) a{n}: agents {{ nodes {{ i{n}: id n{n}: name status }} }} }} }} }}"


async def test_a_document_that_is_dropped_is_freed_at_once() -> None:
    """It has no cycles: what the cache lets go need not wait for a full round of the collector, which walks all that is kept."""
    gc.collect()
    gc.disable()
    try:
        before = _alive(Token), _alive(Location)
        document = Document(schema._schema, _different(1), None)
        document.compile({"a": True})
        gc.collect()  # what reading left behind, which is young
        assert _alive(Token) == before[0]
        assert _alive(Location) > before[1]
        del document
        assert _alive(Location) == before[1]
    finally:
        gc.enable()


def _alive(kind: type) -> int:
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


def _resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
async def test_ten_thousand_different_documents_do_not_fill_the_memory() -> None:
    endpoint, sizes = Endpoint(schema), [_resident()]
    for n in range(10_000):
        document = await endpoint.documents.read(_different(n), None)
        assert not document.errors
        for skip in (True, False):
            await endpoint.documents.plan(document, document.values({"a": skip}))
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
        "... { a: description b: description } ... @include(if: true) { c: description d: description e: description f: description }",
        " ".join(f"a{n}: agentCount" for n in range(MAX_SAME + 1)),
    ):
        cost = await post(world, start + inside + " } } }", {"ws": world.workspace.id}, **known)
        assert cost.codes == {"BAD_REQUEST"}
        assert "is asked for too often" in cost.json["errors"][0]["message"]
    few = await post(world, start + "a: name b: name c: name d: slug } } }", {"ws": world.workspace.id}, **known)
    assert few.json["extensions"]["cost"] == 1 + 10 * 3
    heard = "subscription($ws: ID!) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { " + " ".join(f"a{n}: name" for n in range(6)) + " } } }"
    async with socket(world) as talk:
        await talk.begin(**known)
        await talk.subscribe("a", heard, ws=world.workspace.id)
        assert "is asked for too often" in (await talk.hear())["payload"][0]["message"]


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
        caller = world.owner.caller
        caller.idempotency_key = "slow"
        body = {"query": TWO % ("slow", "slow"), "operationName": None, "documentId": None, "variables": {"ws": world.workspace.id}}
        answers.append(await slow.execute(caller, body))
    assert answers[0] == answers[1]
    assert b'"errors"' not in answers[0][1]


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
        await talk.say('{"id": "a", "type": "subscribe", "payload": {"query": "{ __typename }", "variables": {"a": "%s"}}}' % ("x" * 1024 * 1024))
        assert (await talk.closed())[0] == 1009
