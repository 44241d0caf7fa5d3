"""A request to its route, the route to its operation. A tree of path segments: 300 routes cost what 3 do."""

import hashlib
import inspect
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from resolvers.errors import Code, Refusal
from resolvers.identity import credentials
from resolvers.identity.caller import Caller, SessionChange
from resolvers.identity.webhook_senders import read_claim
from resolvers.instance.store import Arriving, Opened
from resolvers.kernel.declarations.operation import Answer, Auth, Deprecation
from resolvers.kernel.ground.inputs import BODY
from resolvers.kernel.ground.streamed import Streamed
from resolvers.problem import problem
from rest_compat.http import streams
from rest_compat.http.errors import JSON, Headers, refused
from rest_compat.http.table import Claims, Reply, Request, Route, ValueOf

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

NO_KEY = "Idempotency-Key is not supported for file bodies"
VALUE = "The body must be a JSON value"
QUERY_FIELDS = 200  # no route reads more than ten
IF_MATCH = re.compile(r'^(?:W/)?"v(\d{1,9})(?:-[0-9a-f]*)?"\Z')


class Node:
    __slots__ = ("children", "parameter", "routes")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.routes: dict[str, Route] = {}

    def allow(self) -> tuple[bytes, bytes]:
        """The header of a 405: the methods of the path."""
        methods = {*self.routes, *(["HEAD"] if "GET" in self.routes else [])}
        return b"allow", ", ".join(sorted(methods)).encode()


class Dispatcher:
    """The REST surface as an ASGI application. What it does not know is passed to `otherwise`."""

    def __init__(self, routes: tuple[Route, ...], otherwise: Any = None) -> None:
        self.root, self.otherwise = Node(), otherwise
        for route in routes:
            node = self.root
            for segment in route.path.split("/")[1:]:
                if segment.startswith("{"):
                    node.parameter = node = node.parameter or Node()
                else:
                    node = node.children.setdefault(segment, Node())
            if route.method in node.routes:
                raise RuntimeError(f"two routes are {route.method} {route.path}")
            node.routes[route.method] = route

    def find(self, path: str) -> tuple[Node | None, list[str]]:
        """A literal segment wins over a parameter at each step; these are decoded once (contract: base.path_rules)."""
        node, values = self.root, list[str]()
        for segment in path.split("/")[1:]:
            child = node.children.get(segment)
            if child is None:
                child = node.parameter
                if child is None or not segment:
                    return None, values
                values.append(unquote(segment) if "%" in segment else segment)
            node = child
        return node, values

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        raw_path: bytes | None = scope.get("raw_path")
        node, values = self.find(raw_path.decode("latin-1") if raw_path else path)
        if node is None or not node.routes:
            if self.otherwise is not None:
                await self.otherwise(scope, receive, send)
                return
            await reply(send, Reply(404, problem(404, "There is no such path", path), [JSON]), False)
            return
        method = scope["method"]
        route = node.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            await reply(
                send,
                Reply(405, problem(405, f"{method} is not offered here", path), [JSON, node.allow()]),
                method == "HEAD",
            )
            return
        transport, body, upload = scope["crewship"], b"", None
        if route.upload is not None:
            upload = streams.arriving(route.upload, transport.headers, receive)
        elif method not in ("GET", "HEAD"):
            body = await read_body(receive)
        made = await self.answer(
            route, values, transport, path, scope["query_string"], body, method if route.streams else "", upload
        )
        await reply(send, made, method == "HEAD", receive)

    def surface(self, method: str, raw_path: bytes) -> Any:
        """(transport, target, body) -> (status, headers, body) of that path; None where no route is `method` there."""
        node, values = self.find(raw_path.decode("latin-1"))
        route = None if node is None else node.routes.get(method)
        return None if route is None or route.streams else partial(self._whole, route, values)

    def limit_of(self, method: str, path: str) -> int | None:
        """Bytes that a body may have; None if the route does not say so."""
        node, _ = self.find(path)
        route = None if node is None else node.routes.get(method)
        if route is None or route.upload is None:
            return None if route is None else route.body_limit
        return route.upload.most

    async def _whole(
        self, route: Route, values: list[str], transport: Any, target: Any, body: bytes
    ) -> tuple[int, Headers, bytes]:
        made = await self.answer(
            route, values, transport, target.path, target.query, b"" if target.method == "GET" else body
        )
        return made.status, made.all_headers(), made.body

    async def answer(
        self,
        route: Route,
        values: list[str],
        transport: Any,
        path: str,
        query: bytes,
        body: bytes,
        method: str = "",
        upload: Arriving | None = None,
    ) -> Reply:
        headers = transport.headers
        caller = caller_for(route.operation.auth, transport, path, body, route.claims)
        session: SessionChange | None = None
        try:
            request = Request(method or route.method, path, parse_query(query, route.kept_empty), headers, body, caller)
            route = route.asked_for(request.query)
            raw = self._raw(route, request, values)
            given, key = headers.get(b"if-match"), headers.get(b"idempotency-key")
            answer: Answer = await route.operation(
                caller, raw, route.shape, place=request.place, also=request.also, fault=request.fault, upload=upload,
                if_version=None if given in (None, b"*") or route.gives is not None else version_of(given),
                key=None if key is None else key.decode("latin-1"),
            )  # fmt: skip
            made, session = await _made(route, request, answer), answer.session
        except Refusal as refusal:
            made, session = _refused(route, headers, path, refusal), "ended" if refusal.ends_session else None
        if session is not None:
            cookies = credentials.session_cookies(session, https=caller.https)
            made.headers += [(b"set-cookie", text.encode()) for text in cookies]
        if route.heads is not None:
            made.headers += route.heads(caller)
        if route.operation.deprecated is not None:
            made.headers += deprecation_headers(route.operation.deprecated)
        return made

    def _raw(self, route: Route, request: Request, values: list[str]) -> dict[str, Any]:
        """The operation's input before validation, without the workspace (contract: workspace_context).

        If the path names the workspace, every other name of one must mean the same.
        """
        query = request.query
        request.place = query.pop("workspace_id", None)
        if route.place_in_query:
            request.caller.workspace = None
        raw: dict[str, Any]
        if route.body_limit is not None and len(request.body) > route.body_limit:
            request.fault, raw = Refusal(Code.TOO_LARGE, "Request body too large"), {}
        elif route.reads is not None:
            raw = route.reads(request)
        elif isinstance(route.body, ValueOf):
            raw = value_of(request, route.body.field)
        elif route.takes_body:
            raw = body_of(request, optional=route.optional_body)
        else:
            raw = (
                (route.completes or dict)(query)
                if route.method in ("GET", "DELETE") or route.upload is not None
                else {}
            )
        if route.upload is not None and route.upload.instead_of is not None:
            raw.pop(route.upload.instead_of, None)
        for name in route.in_query:
            raw.pop(name, None)
            raw |= {name: query[name]} if name in query else {}
        if route.upload is not None and b"idempotency-key" in request.headers:
            request.fault = Refusal(Code.BAD_REQUEST, NO_KEY)
        for name, value in zip(route.parameters, values, strict=True):
            if name == "workspace_id":
                named = (request.place, request.caller.workspace)
                request.also, request.place = tuple([name for name in named if name and name != value]), value
            else:
                raw[name] = value
        return raw


def caller_for(auth: Auth, transport: Any, path: str, body: bytes, claims: Claims = read_claim) -> Caller:
    """The caller, by the credentials that count for this authentication; others are ignored."""
    headers, client, forwarded = transport.headers, transport.client, transport.forwarded
    if auth is Auth.INTERNAL:
        return credentials.internal(
            headers, client=client, forwarded=forwarded, local_socket=transport.local_socket, path=path
        )
    if auth is Auth.WEBHOOK:
        return credentials.webhook(headers, body, client=client, forwarded=forwarded, path=path, read=claims)
    local_socket, https, origin = transport.local_socket, transport.https, transport.origin
    return credentials.caller_of(
        headers, client=client, forwarded=forwarded, local_socket=local_socket, https=https, origin=origin, path=path
    )


async def _made(route: Route, request: Request, answer: Answer) -> Reply:
    if route.answers is not None:
        made = route.answers(request, answer)
        return await made if inspect.isawaitable(made) else made
    if isinstance(answer.body, Opened):
        return _of_file(request, answer.body)
    if isinstance(answer.body, Streamed):
        headers, part = streams.going_on(answer.body)
        return Reply(route.status, b"", headers, part)
    body, replayed = answer.body, [(b"idempotent-replayed", b"true")] if answer.replayed else []
    if route.wire is None or body is None:
        return Reply(route.status, headers=replayed)
    if route.envelope is not None:
        body = b'{"%b":%b}' % (route.envelope.encode(), body)
    headers = [JSON]
    if answer.version is not None:
        tag = b'"v%d-%b"' % (answer.version, hashlib.blake2b(body, digest_size=8).hexdigest().encode())
        headers.append((b"etag", tag))
        if route.method == "GET" and matches(request.headers.get(b"if-none-match"), tag):
            return Reply(304, b"", headers[1:])
    return Reply(route.status, body, headers + replayed)


def _refused(route: Route, headers: Any, path: str, refusal: Refusal) -> Reply:
    shown = None if route.refuses is None else route.refuses(headers, refusal)
    if shown is not None:
        return shown
    return Reply(*refused(refusal, path))


def _of_file(request: Request, opened: Opened) -> Reply:
    part = None
    try:
        status, headers, part = streams.answer(request.method, request.headers, opened)
        if status == 416:
            return Reply(
                status, problem(status, "The requested range is outside the file", request.path), [JSON, *headers]
            )
        return Reply(status, b"", headers, part)
    finally:
        if part is None:
            opened.close()


def matches(given: bytes | None, tag: bytes) -> bool:
    """If-None-Match compares the whole tag, weakly (RFC 9110, 13.1.2)."""
    return given is not None and (given == b"*" or any(t.strip().removeprefix(b"W/") == tag for t in given.split(b",")))


def version_of(tag: bytes) -> int:
    found = IF_MATCH.match(tag.strip().decode("latin-1"))
    if found is None:
        raise Refusal(Code.PRECONDITION_FAILED, "If-Match takes one ETag of this resource")
    return int(found.group(1))


def body_of(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """A JSON object; anything else is a fault."""
    if optional and not request.body.strip():
        return {}
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    if not optional:
        request.fault = Refusal(Code.BAD_REQUEST, BODY)
    return {}


def value_of(request: Request, field: str) -> dict[str, Any]:
    """Any JSON value; anything else is a fault."""
    try:
        return {field: orjson.loads(request.body)}
    except orjson.JSONDecodeError:
        request.fault = Refusal(Code.BAD_REQUEST, VALUE)
        return {}


def body_if_any(request: Request) -> dict[str, Any]:
    """For routes with an optional body, which must be JSON if it is present."""
    return body_of(request) if request.body.strip() else {}


def workspace_in_body(request: Request) -> dict[str, Any]:
    """For routes whose body names the workspace (contract: auth.methods.internal_token)."""
    raw = body_of(request)
    if isinstance(raw.get("workspace_id"), str):
        request.place = raw["workspace_id"]
    return raw


def parse_query(query: bytes, kept_empty: Collection[str] = ()) -> dict[str, str]:
    """A parameter without a value is one that was not sent: forms send all of theirs. `kept_empty` are sent empty."""
    if not query:
        return {}
    if not kept_empty and b"&" not in query and b"%" not in query and b"+" not in query and query.count(b"=") == 1:
        name, _, value = query.decode("latin-1").partition("=")
        return {name: value} if value else {}
    if query.count(b"&") >= QUERY_FIELDS:
        raise Refusal(Code.BAD_REQUEST, f"Too many query parameters: at most {QUERY_FIELDS} are allowed")
    pairs = parse_qsl(query.decode("latin-1"), errors="replace", keep_blank_values=bool(kept_empty))
    return {name: value for name, value in pairs if value or name in kept_empty}


def deprecation_headers(deprecation: Deprecation) -> Headers:
    """RFC 9745 and RFC 8594."""
    since, sunset = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (deprecation.since, deprecation.sunset))
    return [
        (b"deprecation", b"@%d" % since.timestamp()),
        (b"sunset", format_datetime(sunset, usegmt=True).encode()),
        (b"link", f'<{deprecation.use}>; rel="successor-version"'.encode()),
    ]


async def read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def reply(send: Send, made: Reply, head: bool, receive: Receive | None = None) -> None:
    try:
        await send({"type": "http.response.start", "status": made.status, "headers": made.all_headers()})
        if made.part is None or receive is None or head:
            await send({"type": "http.response.body", "body": b"" if head else made.body})
        else:
            await made.part.send(receive, send)
    finally:
        if made.part is not None:
            await made.part.close()
