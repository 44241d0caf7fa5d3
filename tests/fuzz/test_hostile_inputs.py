"""Every field of every operation with what does not belong into it, on both surfaces: refused clearly and without a
trace, or carried out.
"""

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote, quote_from_bytes
from zlib import crc32

import httpx2
import pytest

from resolvers.identity.machine_tokens import caller_signature
from resolvers.kernel.declarations.operation import Auth, Operation
from rest_compat.http.routes import ROUTES
from rest_compat.http.table import PARAMETER, Route, ValueOf
from tests.every import each_of
from tests.fuzz.judgement import EMPTY, clear, clear_graphql
from tests.generation import selection
from tests.generation.estate import LOGS_OF_REFUSALS, Estate
from tests.generation.inputs import valid
from tests.generation.registry import graphql_fields, operations
from tests.generation.surfaces import ask, content_of
from tests.world import Person

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
T = TypeVar("T")

DEEP = "[" * 600 + "]" * 600  # what orjson still reads, and nothing else follows
# As they stand in a JSON text.
VALUES = {
    "null": "null", "boolean": "true", "zero": "0", "negative": "-1", "fraction": "1.5", "beyond 64 bits": str(10**30),
    "beyond a float": "1e400",
    "almost infinite": "1e308", "beyond 32 bits": str(2**31), "not a number": "NaN", "empty": '""', "space": '" "',
    "NUL": '"a\\u0000b"',
    "high surrogate": '"\\ud800"', "low surrogate": '"\\udc00a"', "long": f'"{"ä" * 70_000}"', "list": '["a", null, 1]',
    "list of NUL": '["\\u0000"]',
    "list of lists": "[[]]", "object": '{"a": {"\\u0000": 1}}', "deep": DEEP,
    "deep object": '{"a":' * 600 + "1" + "}" * 600,
    "other direction": '"\\u202eabc\\u0000"', "lines": '"a\\r\\nSet-Cookie: b=c"', "quote": "\"' OR 1=1; --\"",
    "no character": '"\\uffff\\ufdd0"',
}  # fmt: skip
SEGMENTS = [
    b"%00",
    b"%ff",
    b"%ed%a0%80",
    b"a%2Fb",
    b"%252f",
    b"%2e",
    b"%0d%0aX:%20y",
    b"%F0%9F%92%A5",
    b"a" * 4000,
    b"%25",
    b"%",
    b"'%3B--",
    b"*",
    b"%7Bid%7D",
]
QUERY_VALUES = [
    *SEGMENTS,
    b"-1",
    b"0",
    b"1e9",
    b"99999999999999999999",
    b"true",
    b"null",
    b"%EF%BC%91",
    b"",
    b"[]",
    b"=",
    b"%20",
]
BODIES = {
    "nothing": b"", "cut off": b'{"name":', "list": b"[]", "null": b"null", "number": b"1e400", "text": b'"a"',
    "NaN": b"NaN", "bytes": b"\xff\xfe\x00",
    "UTF-16": '{"name": "a"}'.encode("utf-16"), "byte order mark": b"\xef\xbb\xbf{}",
    "surrogate": b'{"name": "\xed\xa0\x80"}',
    "twice": b'{"name": 1, "name": "b"}', "two": b"{}{}", "comment": b"{} // a", "deep": b"[" * 100_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000, "deep objects": b'{"a":' * 100_000,
    "many keys": json.dumps({f"k{n}": n for n in range(30_000)}).encode(),
    "unknown and deep": b'{"x":' + DEEP.encode() + b"}", "a form": b"name=a&color=b",
}  # fmt: skip
BY_REST = [route for route in ROUTES if route.operation.auth is not Auth.NONE or route.takes_body]
BY_GRAPHQL = [op for op in operations() if op.name in graphql_fields()]


PARTS = 12
NUMBERS = [0, *[pytest.param(number, marks=pytest.mark.slow) for number in range(1, PARTS)]]


def part(values: Iterable[T], number: int, name: str) -> Iterable[T]:
    """Each field is sent another part of what can be sent to it, so that the quick tests send everything somewhere."""
    return islice(values, (crc32(name.encode()) + number) % PARTS, None, PARTS)


def who(estate: Estate, op: Operation[Any]) -> Person:
    return estate.caller(op) or estate.world.owner


def credential(estate: Estate, op: Operation[Any]) -> dict[str, str]:
    person = who(estate, op)
    if op.auth is not Auth.INTERNAL:
        return {"authorization": f"Bearer {person.token}"}
    signature = caller_signature(person.token, estate.home.workspace.id, person.user_id)
    named = {"x-caller-user-id": person.user_id, "x-caller-signature": signature}
    return {"x-internal-token": person.token} | named


async def send(
    estate: Estate,
    route: Route,
    raw: dict[str, Any],
    target: str | None = None,
    body: bytes | None = None,
    **headers: str,
) -> httpx2.Response:
    """The answer is judged, and whatever it changed is undone. A refusal has changed nothing."""
    values, path = dict(raw), route.path
    for written, name in zip(PARAMETER.findall(route.path), route.parameters, strict=True):
        value = values.pop(name, estate.home.workspace.id if name == "workspace_id" else "x")
        path = path.replace(f"{{{written}}}", quote(str(value), safe=""))
    content = body if body is not None else (content_of(route, values) if route.takes_body else b"")
    given = credential(estate, route.operation) | {
        "x-workspace-id": estate.home.workspace.id,
        "content-type": "application/json",
        "prefer": "respond-async",  # no worker ends the runs that it starts
    }
    answer = await ask(estate.client, route.method, target or path, content=content, headers=given | headers)
    estate.client.cookies.clear()
    clear(answer.status_code, answer.content, answer.headers.get("content-type", ""))
    changes = await estate.recorder.changes()
    if estate.recorder.dirty:
        await estate.recorder.undo()
    counted = route.operation.writes_on_refusal  # wrong passwords
    if getattr(route.operation, "refused", None) is not None:
        changes = [change for change in changes if change.table not in LOGS_OF_REFUSALS]
    assert answer.status_code < 400 or counted or not changes, (answer.text, changes)
    return answer


@each_of("number", NUMBERS)
@each_of("route", [r for r in BY_REST if r.takes_body], ids=lambda r: f"{r.method} {r.path}")
async def test_no_body_of_a_rest_call_breaks_anything(route: Route, number: int, estate: Estate) -> None:
    raw = valid(route.operation, estate)
    for body in part(BODIES.values(), number, route.operation.name):
        await send(estate, route, raw, body=body)
        await send(estate, route, raw, body=body, **{"idempotency-key": "the same key"})
    for name in sorted(route.operation.input.model_fields.keys() - set(route.parameters)):
        others = {key: value for key, value in raw.items() if key not in route.parameters and key != name}
        for value in part(VALUES.values(), number, f"{route.operation.name} {name}"):
            text = f"{json.dumps(others)[:-1]}{', ' if others else ''}{json.dumps(name)}: {value}}}"
            await send(estate, route, raw, body=(value if isinstance(route.body, ValueOf) else text).encode())


# what the path names is made, or gone either way
NAMED_BY_CALLERS = {"instance_settings.put", "me.preferences_set", "me.preferences_delete"}
NAMED_BY_CALLERS |= {"admin.gdpr_export", "admin.gdpr_delete"}  # of nobody there is nothing
NOT_LOOKED_FOR = {"crews.provision", "crews.provision.rebuild", "crews.restart_agents", "cache.images.delete"}
"""Without containers."""
ALSO = {"waitpoints.complete": 409}
"""One answer for a token that is unknown, and one that was used (contract: waitpoints.complete)."""


@each_of("number", NUMBERS)
@each_of("route", [r for r in BY_REST if r.parameters], ids=lambda r: f"{r.method} {r.path}")
async def test_no_segment_of_a_path_breaks_anything(route: Route, number: int, estate: Estate) -> None:
    raw = valid(route.operation, estate)
    body = content_of(route, raw) if route.takes_body else b""
    for segment in part(SEGMENTS, number, route.operation.name):
        path = PARAMETER.sub(segment.decode(), route.path)
        answer = await send(estate, route, raw, path, body)
        if route.operation.name in NAMED_BY_CALLERS and answer.status_code in (200, 202, 204):
            continue
        if route.operation.name in NOT_LOOKED_FOR and answer.status_code == 503:
            continue
        if route.operation.name in EMPTY and answer.status_code == 200:
            assert answer.json() == EMPTY[route.operation.name]
        else:
            also = ALSO.get(route.operation.name, 401 if route.operation.auth is Auth.WEBHOOK else 404)
            assert answer.status_code in (400, 403, 404, 405, also), (segment, answer.status_code)  # nobody's row


@each_of("number", NUMBERS)
@each_of("route", [r for r in ROUTES if r.method == "GET"], ids=lambda r: r.path)
async def test_no_query_of_a_rest_call_breaks_anything(route: Route, number: int, estate: Estate) -> None:
    raw = valid(route.operation, estate)
    path = PARAMETER.sub("x", route.path)
    names = [*route.operation.input.model_fields, "workspace_id"]
    for name in names:
        for value in part(QUERY_VALUES, number, f"{route.operation.name} {name}"):
            await send(estate, route, raw, f"{path}?{name}={value.decode()}")
    queries = (
        "&" * 5000,
        "&".join(f"a{n}=1" for n in range(5000)),
        "=&=&=",
        "a",
        "%",
        "&".join(f"{names[0]}={n}" for n in range(100)),
        quote_from_bytes(bytes(range(256))),
    )
    for query in part(queries, number, route.operation.name):
        await send(estate, route, raw, f"{path}?{query}")


@each_of("number", NUMBERS)
@each_of("op", BY_GRAPHQL, ids=lambda op: op.name)
async def test_no_variable_of_a_graphql_call_breaks_anything(op: Operation[Any], number: int, estate: Estate) -> None:
    kind, name, definition = graphql_fields()[op.name][0]
    variables = selection.arguments(op, definition, valid(op, estate), estate.home.workspace.id, None)
    document = selection.document(kind, name, definition, variables, depth=1)
    nested: dict[str, Any] = variables.get("input", {})
    for holder, key in [*[(variables, key) for key in variables], *[(nested, key) for key in nested]]:
        for value in part(VALUES.values(), number, f"{op.name} {key}"):
            mark = "\x01here\x01"
            changed = holder | {key: mark} if holder is variables else variables | {"input": holder | {key: mark}}
            body = json.dumps({"query": document, "variables": changed}).replace(json.dumps(mark), value).encode()
            headers = {"authorization": f"Bearer {who(estate, op).token}", "content-type": "application/json"}
            answer = await estate.client.post("/graphql", content=body, headers=headers)
            estate.client.cookies.clear()
            errors = clear_graphql(answer.status_code, answer.content)
            changes = await estate.recorder.changes()
            if estate.recorder.dirty:
                await estate.recorder.undo()
            if not op.writes_on_refusal:  # it counts what it refuses
                assert not errors or not changes, (answer.text, changes)
