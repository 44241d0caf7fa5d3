"""One call of an operation on a surface, and what came of it in words that both surfaces share."""

import asyncio
import contextlib
import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from resolvers.errors import Code
from resolvers.identity import machine_tokens
from resolvers.kernel.declarations.operation import Operation
from rest_compat.http.errors import STATUS
from rest_compat.http.table import PARAMETER, Route, ValueOf
from tests.generation import selection
from tests.generation.recorder import Change
from tests.generation.registry import graphql_fields, routes_of
from tests.generation.selection import DEPTH
from tests.world import Person

MACHINE = "machine"  # no person: a program with the internal token
CODES = {status: code.value for code, status in STATUS.items()}


@dataclass(frozen=True)
class Call:
    """`token` replaces the person's. `workspace` is an id, a slug, or None for no workspace at all. `depth`: of the
    objects that are asked for over GraphQL, where no selection is given.
    """

    operation: Operation[Any]
    raw: Mapping[str, Any]
    person: Person | None
    workspace: str | None
    token: str | None = None
    version: int | None = None
    selection: str | None = None
    depth: int = DEPTH
    cookies: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None  # Idempotency-Key, over REST
    # what else names the workspace beside the path of a route: a query parameter and a header
    in_query: str | None = None
    in_header: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        token = self.token or (self.person.token if self.person else None)
        if self.person is not None and self.person.name == MACHINE:
            signature = machine_tokens.caller_signature(self.person.token, self.workspace or "", self.person.user_id)
            named = {"x-caller-user-id": self.person.user_id, "x-caller-signature": signature}
            return {"x-internal-token": self.person.token} | named
        made = {"authorization": f"Bearer {token}"} if token else {}
        if self.cookies:
            made["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return made


@dataclass
class Outcome:
    """`code`: None when carried out. `by_schema`: GraphQL's own types refused the arguments, no operation did."""

    surface: str
    code: str | None
    text: str
    status: int
    body: Any
    changes: list[Change] = field(default_factory=list)
    by_schema: bool = False
    location: str | None = None
    etag: str | None = None
    replayed: bool = False
    kept: str = ""  # Cache-Control
    varies: str = ""

    def __str__(self) -> str:
        return (
            f"{self.surface}: {self.status} {self.code} {self.text!r}"
            f" {self.body!r} {[(c.table, c.old, c.new) for c in self.changes]}"
        )


LINES = "application/x-ndjson"
EVENTS, BEGUN = "text/event-stream", 10.0  # seconds; streams say at once that there is nothing


async def ask(client: httpx2.AsyncClient, method: str, path: str, **options: Any) -> httpx2.Response:
    """The answer to a request; of one without an end, what it begins with."""
    answer = await client.send(client.build_request(method, path, **options), follow_redirects=False, stream=True)
    try:
        if answer.headers.get("content-type") != EVENTS:
            await answer.aread()
            return answer
        begun = bytearray()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGUN):
                async for piece in answer.aiter_bytes():
                    begun += piece
                    if b"\ndata: " in begun or begun.count(b"\n\n") > 1:
                        break
        return httpx2.Response(answer.status_code, headers=answer.headers, content=bytes(begun))
    finally:
        await answer.aclose()


async def by_rest(client: httpx2.AsyncClient, call: Call, route: Route | None = None) -> Outcome:
    route = route or routes_of(call.operation)[0]
    raw, path, query = dict(call.raw), route.path, dict[str, Any]()
    for written, name in zip(PARAMETER.findall(route.path), route.parameters, strict=True):
        value = call.workspace if name == "workspace_id" else raw.pop(name)
        path = path.replace(f"{{{written}}}", httpx2.URL(f"http://x/{value}").raw_path.decode()[1:])
    if call.workspace is not None and "{workspaceId}" not in route.path:
        query["workspace_id"] = call.workspace
    if call.in_query is not None:
        query["workspace_id"] = call.in_query
    query |= {name: raw.pop(name) for name in route.in_query if name in raw}
    body: dict[str, Any] = {}
    if route.takes_body:
        body = {"content": content_of(route, raw), "headers": {"content-type": "application/json"}}
    elif route.upload is not None and route.upload.form is not None:
        # what is no text is base64 on surfaces without uploads
        given = raw.pop(route.upload.instead_of or "", None)
        content = b"example" if given is None else b64decode(given)
        body = {"files": {route.upload.form: ("example.txt", content)}}
    elif route.upload is not None:
        body = {"content": str(raw.pop(route.upload.instead_of or "", "")).encode()}
    if not route.takes_body and (route.method in ("GET", "DELETE") or route.upload is not None):
        query |= {name: str(value).lower() if isinstance(value, bool) else value for name, value in raw.items()}
    headers = call.headers | ({"if-match": f'"v{call.version}"'} if call.version is not None else {})
    headers |= {"idempotency-key": call.key} if call.key is not None else {}
    headers |= {"x-workspace-id": call.in_header} if call.in_header is not None else {}
    headers |= body.pop("headers", {}) | {"prefer": "respond-async"}  # no worker ends the runs that it starts
    answer = await ask(client, route.method, path, params=query, headers=headers, **body)
    kind = answer.headers.get("content-type")
    content = _events(answer) if kind == EVENTS else _lines(answer) if kind == LINES else _json(answer)
    client.cookies.clear()  # each call is a stranger to the one before
    code = None if answer.status_code < 400 else CODES[answer.status_code]
    text = content.get("detail", "") if code and isinstance(content, dict) else ""
    etag, replayed = answer.headers.get("etag"), "idempotent-replayed" in answer.headers
    return Outcome(
        "rest",
        code,
        text,
        answer.status_code,
        content,
        location=answer.headers.get("location"),
        etag=etag,
        replayed=replayed,
        **_caching(answer),
    )


def _caching(answer: httpx2.Response) -> Any:
    return {"kept": answer.headers.get("cache-control", ""), "varies": answer.headers.get("vary", "")}


def _events(answer: httpx2.Response) -> list[Any]:
    lines = answer.text.split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def _lines(answer: httpx2.Response) -> list[Any]:
    return [json.loads(line) for line in answer.text.splitlines()]


def content_of(route: Route, raw: Mapping[str, Any]) -> bytes:
    """The body of a route, of what is not in its path."""
    values: Any = {name: value for name, value in raw.items() if name not in route.parameters}
    if isinstance(route.body, ValueOf):
        if route.body.field not in values:
            return b""
        values = values[route.body.field]
    return json.dumps(values).encode()


def _json(answer: httpx2.Response) -> Any:
    if answer.headers.get("content-type", "").split(";")[0].endswith("json"):
        return answer.json()
    return answer.content or None


async def by_graphql(client: httpx2.AsyncClient, call: Call) -> Outcome:
    kind, name, definition = graphql_fields()[call.operation.name][0]
    variables = selection.arguments(call.operation, definition, call.raw, call.workspace, call.version)
    text = selection.document(kind, name, definition, variables, call.selection, call.depth)
    answer = await client.post("/graphql", json={"query": text, "variables": variables}, headers=call.headers)
    client.cookies.clear()
    content = answer.json()
    fault = (content.get("errors") or [None])[0]
    if fault is None:
        return Outcome("graphql", None, "", answer.status_code, content["data"][name], **_caching(answer))
    code = fault.get("extensions", {}).get("code", "NONE")
    by_schema = "path" not in fault
    for error in content["errors"]:
        told = error.get("extensions", {})
        assert ("requires" in told) is (told.get("code") == Code.FORBIDDEN), f"{call.operation.name}: {error}"
    return Outcome(
        "graphql", code, fault["message"], answer.status_code, content, by_schema=by_schema, **_caching(answer)
    )
