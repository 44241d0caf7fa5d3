"""/graphql over HTTP (GraphQL-over-HTTP): documents compiled to shapes, run as operations; the rest by the executor."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson
import strawberry
from graphql import GraphQLError, OperationType, execute

from resolvers.attention.channels import identify
from resolvers.errors import Code, Refusal
from resolvers.identity import credentials
from resolvers.identity.caller import Caller, SessionChange
from resolvers.identity.cookies import GRAPHQL_PATH
from resolvers.kernel.declarations.operation import Answer
from schema.bridge.by_id import RootsByType, SeveralCalls, refused_at
from schema.bridge.documents import Document, DocumentPlan, Documents
from schema.bridge.errors import refused, reported
from schema.bridge.executor import ExecutionContext, attach
from schema.bridge.introspection import Answers, Introspection
from schema.bridge.origins import asked_on_purpose, is_from_here
from schema.bridge.roots import Faulty, ask, ask_all, errors_of
from schema.bridge.selection import Asking, Call, Root, Throttle
from schema.bridge.worker import Who, Worker

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
Whole = tuple[int, list[Header], bytes]
"""Status, headers and body of an answer."""


class Executed(NamedTuple):
    """A document that was run: the JSON, and what the transport has to tell of its operations."""

    status: int
    body: bytes
    session: SessionChange | None = None
    replayed: bool = False

    @classmethod
    def of(cls, body: bytes, answers: list[Answer], asking: Asking) -> "Executed":
        session = asking.sessions[-1] if asking.sessions else None
        return cls(200, body, session, any(answer.replayed for answer in answers))


RESPONSE = "application/graphql-response+json"
LEGACY = "application/json"
SUBSCRIPTIONS = b"subscriptionspec"  # in Accept: the client takes multipart/mixed;subscriptionSpec=1.0
OF_ANYBODY = 4000  # letters of a new document that is read before it is known who sends it
MUTATION, LONGEST_MUTATION = b"x-client-mutation-id", 64
KINDS = 32  # values of a header whose meaning is remembered
MAX_COST = 500_000  # objects an answer could hold at most; what it does hold is bounded by time
STREAMED = (
    "Subscriptions are streams: ask over WebSocket, accept multipart/mixed;subscriptionSpec=1.0, or use /graphql/stream"
)
MALFORMED = {403: Code.FORBIDDEN, 404: Code.NOT_FOUND, 405: Code.NOT_OFFERED}


class Malformed(Exception):
    """The HTTP request is not a GraphQL request."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers

    @property
    def formatted(self) -> dict[str, Any]:
        refusal = Refusal(MALFORMED.get(self.status, Code.BAD_REQUEST), self.text)
        return {"message": self.text, "extensions": refusal.extensions}


Called = Call | SeveralCalls | Faulty | Introspection | tuple[str, bytes]
Streaming = Callable[["Endpoint", MutableMapping[str, Any], Receive, Send, dict[str, Any]], Awaitable[None]]
"""(endpoint, scope, receive, send, body): answers a request that subscribes."""


class Endpoint:
    """The GraphQL surface as an ASGI application.

    `trusted`: sha256 -> text of known documents; `trusted_only` refuses every other. `page` answers browsers.
    `throttle`: the rate limits of operations beyond this path's. `streaming` serves subscriptions to clients that
    accept a stream. `open_schema`: introspection and suggestions in errors are for everyone, not only for authenticated
    callers. `allowed`: seconds of processor time per minute for new documents of an unauthenticated caller.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        compiled: bool = True,
        trusted: Mapping[str, str] | None = None,
        trusted_only: bool = False,
        page: Any = None,
        throttle: Throttle | None = None,
        streaming: Streaming | None = None,
        open_schema: bool = True,
        allowed: float | None = None,
    ) -> None:
        self.schema, self.core, self.compiled = schema, schema._schema, compiled
        worker = Worker(allowed=allowed)
        self.documents = Documents(self.core, worker, suggest=open_schema)
        self.answers = Answers(self.core, worker)
        self.open_schema = open_schema
        self.trusted, self.trusted_only, self.page, self.throttle = trusted or {}, trusted_only, page, throttle
        self.streaming = streaming
        attach(self.core)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        transport, method, path = scope["crewship"], scope["method"], scope["path"]
        accept = transport.headers.get(b"accept", b"*/*")
        if (
            self.page is not None
            and method in ("GET", "HEAD")
            and _prefers_html(accept)
            and b"query=" not in scope["query_string"]
        ):
            await self.page(scope, receive, send)
            return
        try:
            if not streams(accept):
                _negotiate(accept)
            body = await read_request(scope, receive, method, transport.headers)
            caller = caller_of(transport, path)
            if (
                streams(accept)
                and method == "POST"
                and self.streaming is not None
                and await self._subscribes(caller, body, accept)
            ):
                await self.streaming(self, scope, receive, send, body)
                return
            status, headers, answer = await self._answer(transport, caller, body, accept, read_only=method != "POST")
        except Malformed as fault:
            status, headers, answer = _malformed(fault, accept)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer})

    def whole_of(self, transport: Any, target: Any) -> Callable[[Any, Any, bytes], Awaitable[Whole]] | None:
        """The handler of a POST that requests no stream; None for any other request."""
        return self._whole if target.method == "POST" and not streams(transport.headers.get(b"accept", b"")) else None

    async def _whole(self, transport: Any, target: Any, body: bytes) -> Whole:
        accept = transport.headers.get(b"accept", b"*/*")
        try:
            _negotiate(accept)
            caller = caller_of(transport, target.path)
            return await self._answer(transport, caller, posted(transport.headers, body), accept)
        except Malformed as fault:
            return _malformed(fault, accept)

    async def _answer(
        self, transport: Any, caller: Caller, body: dict[str, Any], accept: bytes, *, read_only: bool = False
    ) -> Whole:
        """Raises Malformed."""
        kind, key = _negotiate(accept), idempotency_key(transport.headers)
        named = transport.headers.get(MUTATION)
        if named is not None:
            caller = replace(caller, mutation_id=mutation_id(named))
        done = await self.execute(caller, body, key=key, read_only=read_only, strict=kind == RESPONSE)
        headers = _headers(kind, done.body)
        if done.session is not None:
            cookies = credentials.session_cookies(done.session, https=caller.https)
            headers += [(b"set-cookie", text.encode()) for text in cookies]
        if done.replayed:
            headers.append((b"idempotent-replayed", b"true"))
        return done.status, headers, done.body

    async def execute(
        self,
        caller: Caller,
        body: dict[str, Any],
        *,
        key: str | None = None,
        read_only: bool = False,
        strict: bool = False,
        cookies: bool = True,
    ) -> Executed:
        """`key` of idempotency. `strict`: what cannot be run is a 400, as application/graphql-response+json demands.
        `cookies`: the transport can set them.
        """
        bad = 400 if strict else 200
        try:
            who = Who(caller)
            document = self.known(body) or await self.document(caller, body, who)
            if document.errors:
                return Executed(bad, _errors(reported(document.errors)))
            kind = document.kind
            if kind is OperationType.SUBSCRIPTION:
                return Executed(bad, _wrong(STREAMED))
            if read_only and kind is not OperationType.QUERY:
                raise Malformed(405, "GET may only run queries", ((b"allow", b"POST"),))
            variables: Any = document.values(body["variables"])
            if isinstance(variables, list):
                return Executed(bad, _errors(reported(variables)))
            plan: DocumentPlan = self.documents.known_plan(document, variables) or await self.documents.plan(
                document, variables, who
            )
            if plan.introspects and not self.open_schema:
                await identify(caller)
            calls = [_call(root, variables) if isinstance(root, Root | RootsByType) else root for root in plan.roots]
            cost = sum([call.cost for call in calls if isinstance(call, Call | SeveralCalls)])
            if cost > MAX_COST:
                text = f"The answer could hold {cost} objects; at most {MAX_COST} are allowed: ask for smaller pages"
                return Executed(bad, _wrong(text, cost=cost))
            alone = kind is OperationType.QUERY or len(calls) == 1
            asking = Asking(caller, self.throttle, key, alone=alone, cookies=cookies)
            if kind is OperationType.QUERY:
                plan.runs += 1
            if plan.complete and self.compiled:
                return await self._run(asking, calls, cost, body["variables"], plan.runs, who)
            return await self._fallback(ExecutionContext(asking, variables), document, body["variables"], cost, who)
        except Refusal as refusal:
            return Executed(bad, _errors(refused(refusal)))
        except RecursionError:
            return Executed(bad, _wrong("The document is nested too deeply"))

    def known(self, body: dict[str, Any]) -> Document | None:
        """The requested document if it was read before. Raises Malformed for a document that this server does not
        execute.
        """
        return self.documents.known(self._text(body), body["operationName"])

    async def document(self, caller: Caller, body: dict[str, Any], who: Who) -> Document:
        """A new document. A large one is read only for callers with a good credential. Raises Malformed and Refusal."""
        text = self._text(body)
        if len(text) > OF_ANYBODY and body["documentId"] is None:
            await identify(caller)
        return await self.documents.read(text, body["operationName"], who)

    async def _subscribes(self, caller: Caller, body: dict[str, Any], accept: bytes) -> bool:
        """True also for an invalid or unread document, if there is no other way to decide."""
        try:
            kind = (self.known(body) or await self.document(caller, body, Who(caller))).kind
        except Refusal:
            kind = None
        return _acceptable(accept) is None if kind is None else kind is OperationType.SUBSCRIPTION

    def _text(self, body: dict[str, Any]) -> str:
        """The document: sent, or named by the sha256 of its text."""
        id, text = body["documentId"], body["query"]
        if id is not None:
            known = self.trusted.get(id.removeprefix("sha256:"))
            if known is None:
                raise Malformed(404, "Document not found")
            return known
        if self.trusted_only and hashlib.sha256(text.encode()).hexdigest() not in self.trusted:
            raise Malformed(403, "Only documents known to this server are allowed")
        return str(text)

    async def _run(
        self,
        asking: Asking,
        calls: list[Called],
        cost: int,
        inputs: dict[str, Any],
        runs: int,
        who: Who,
    ) -> Executed:
        """The compiled path: each root's bytes go into the answer untouched. `runs`: how often the query was run; 0 of
        a mutation, whose roots wait for each other.
        """
        errors, answers = list[GraphQLError](), list[Answer]()
        parts = [b'{"data":{']  # joined once: an answer of many megabytes is copied no more often than it must be
        known = dict[int, Answer | Faulty]()
        if runs and len(calls) > 1:
            several = {place: call for place, call in enumerate(calls) if isinstance(call, Call)}
            known = await ask_all(asking, several, runs=runs)
        for place, call in enumerate(calls):
            comma = b"," if place else b""
            if isinstance(call, tuple):
                parts += (b'%b"%b":' % (comma, call[0].encode()), call[1])
                continue
            if isinstance(call, Introspection):
                shown, wrong = await self.answers.get(call, inputs, who)
                errors += wrong
                parts += (b'%b"%b":' % (comma, call.key.encode()), shown)
                continue
            if isinstance(call, SeveralCalls):
                shown, wrong = await call.run(asking)
                errors += wrong
                parts += (b'%b"%b":' % (comma, call.root.key.encode()), shown)
                continue
            body, fault = None, call if isinstance(call, Faulty) else None
            if isinstance(call, Call):
                answer = known[place] if place in known else await ask(asking, call)
                if isinstance(answer, Faulty):
                    fault = answer
                else:
                    body = answer.body
                    answers.append(answer)
                    errors += errors_of(call.root, answer)
            if fault is not None:
                errors.append(refused_at(fault))
            parts += (b'%b"%b":' % (comma, call.root.key.encode()), body or b"null")
        parts.append(b"}")
        if errors:
            parts += (b',"errors":', orjson.dumps(reported(errors)))
        parts.append(b',"extensions":{"cost":%d}}' % cost)
        return Executed.of(b"".join(parts), answers, asking)

    async def _fallback(
        self, context: ExecutionContext, document: Document, inputs: dict[str, Any], cost: int, who: Who
    ) -> Executed:
        """The executor, for fields that are not operations."""
        tree = await self.documents.tree(document, who)
        result: Any = execute(
            self.core, tree.document, context_value=context, variable_values=inputs, operation_name=document.name
        )
        if hasattr(result, "__await__"):
            result = await result
        answer: dict[str, Any] = {"data": result.data}
        if errors := [*(result.errors or ()), *context.withheld]:
            answer["errors"] = reported(errors)
        return Executed.of(orjson.dumps(answer | {"extensions": {"cost": cost}}), context.answers, context.asking)


def _call(root: Root | RootsByType, variables: Any) -> "Call | SeveralCalls | Faulty":
    try:
        return root.call(variables)
    except (Refusal, GraphQLError) as cause:
        return Faulty(root, cause)


def _errors(errors: list[Any]) -> bytes:
    """A request that was not run has no `data` (GraphQL spec, 7.1)."""
    return orjson.dumps({"errors": errors})


def _wrong(text: str, **more: Any) -> bytes:
    return _errors([{"message": text, "extensions": {"code": Code.BAD_REQUEST.value, **more}}])


def mutation_id(named: bytes, of: str = "X-Client-Mutation-Id") -> str:
    """Raises Malformed for what cannot be repeated in events."""
    text = named.decode("latin-1")
    if not 0 < len(text) <= LONGEST_MUTATION or not text.isascii() or not text.isprintable():
        raise Malformed(400, f"{of} has 1 to {LONGEST_MUTATION} printable ASCII characters")
    return text


def idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    key = headers.get(b"idempotency-key")
    return None if key is None else key.decode("latin-1")


def caller_of(transport: Any, path: str) -> Caller:
    """Raises Malformed for a page of another host where browsers send the cookies that renew a session: an allowed
    origin may call the API, not exchange tokens.
    """
    if path == GRAPHQL_PATH and not is_from_here(transport):
        raise Malformed(403, "Only pages of this server may use this path")
    return credentials.caller_of(
        transport.headers,
        client=transport.client,
        forwarded=transport.forwarded,
        local_socket=transport.local_socket,
        https=transport.https,
        origin=transport.origin,
        path=path,
    )


def _headers(kind: str, answer: bytes) -> list[Header]:
    return [(b"content-type", f"{kind}; charset=utf-8".encode()), (b"content-length", b"%d" % len(answer))]


def _malformed(fault: Malformed, accept: bytes) -> Whole:
    answer = _errors([fault.formatted])
    return fault.status, [*_headers(_acceptable(accept) or LEGACY, answer), *fault.headers], answer


@lru_cache(KINDS)
def streams(accept: bytes) -> bool:
    """Returns true if the client accepts subscriptions as multipart/mixed."""
    return SUBSCRIPTIONS in accept.lower()


@lru_cache(KINDS)
def _prefers_html(accept: bytes) -> bool:
    accept = accept.lower()
    html = accept.find(b"text/html")
    return html >= 0 and not 0 <= accept.find(b"json") < html


def _negotiate(accept: bytes) -> str:
    kind = _acceptable(accept)
    if kind is None:
        raise Malformed(406, f"This endpoint answers {RESPONSE} or {LEGACY}")
    return kind


@lru_cache(KINDS)
def _acceptable(accept: bytes) -> str | None:
    """The first of our two media types the client lists; `*/*` gets application/json, as clients from before the
    specification expect.
    """
    for entry in accept.decode("latin-1").lower().split(","):
        media = entry.split(";")[0].strip()
        if media == RESPONSE:
            return RESPONSE
        if media in (LEGACY, "*/*", "application/*", ""):
            return LEGACY
    return None


async def read_request(
    scope: MutableMapping[str, Any],
    receive: Receive,
    method: str,
    headers: Mapping[bytes, bytes],
    *,
    introduced: bool = False,
) -> dict[str, Any]:
    """`introduced`: the GET has a ticket, which no foreign page can know."""
    if method == "POST":
        return posted(headers, await _body(receive))
    if method in ("GET", "HEAD"):
        if not introduced and not asked_on_purpose(scope["crewship"]):
            raise Malformed(403, "GET queries are allowed only for scripts and for pages of this server; use POST")
        body = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace"))
        for name in ("variables", "extensions"):
            try:
                body[name] = orjson.loads(body[name]) if body.get(name) else None
            except orjson.JSONDecodeError:
                raise Malformed(400, f"{name} is not JSON") from None
    else:
        raise Malformed(405, f"{method} is not offered here", ((b"allow", b"GET, HEAD, POST"),))
    return checked(body)


def posted(headers: Mapping[bytes, bytes], body: bytes) -> dict[str, Any]:
    """The request in the body of a POST. Raises Malformed."""
    if not _is_json(headers.get(b"content-type", b"")):
        raise Malformed(415, f"Send the request as {LEGACY} in UTF-8")
    try:
        return checked(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise Malformed(400, "Invalid JSON body") from None


@lru_cache(KINDS)
def _is_json(content_type: bytes) -> bool:
    media, _, parameters = content_type.decode("latin-1").lower().partition(";")
    return media.strip() == LEGACY and ("charset" not in parameters or "utf-8" in parameters)


def checked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Malformed(400, "Send one JSON object; batches are not supported")
    made: dict[str, Any] = {}
    for name, kind in (
        ("query", str),
        ("documentId", str),
        ("operationName", str),
        ("variables", dict),
        ("extensions", dict),
    ):
        value = body.get(name)
        if value is not None and not isinstance(value, kind):
            raise Malformed(400, f"{name} takes {'a string' if kind is str else 'an object'}")
        made[name] = value
    made["variables"] = made["variables"] or {}
    made["operationName"] = made["operationName"] or None
    if made["query"] is None and made["documentId"] is None:
        raise Malformed(400, "query is missing")
    return made


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
