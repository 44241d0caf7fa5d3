"""The processing of requests before the application, and of answers (contract: pipeline_order, security_headers)."""

import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from crewship.perimeter import compression
from crewship.perimeter.heads import Known, Target
from crewship.perimeter.line import PEER, Peer, Tcp, UnixSocket
from crewship.perimeter.pages import UI_CONTENT_SECURITY_POLICY, version
from crewship.perimeter.protocol import LINES, Whole
from crewship.perimeter.rate_limit import RateLimits
from models.trace_context import calling
from resolvers.identity.cookies import https_when
from resolvers.instance.addresses import LOOPBACK, TrustedProxies, normal_origin, origin_allowed, own_origin
from resolvers.instance.telemetry import log, request_id
from resolvers.instance.trace_context import sane
from resolvers.problem import problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Surface = Callable[["Transport", Target, bytes], Awaitable[tuple[int, list["Header"], bytes]]]
"""(how it arrived, what is asked for, the body) -> status, headers and body of a whole answer."""
Header = tuple[bytes, bytes]

BODY_LIMIT = 1024 * 1024  # bytes (contract: requests.body_limit)
KEY = "crewship"  # of the scope, where the application finds the Transport
STATE_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_FORWARDING = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"}
)
_JOINED = {b"cookie": b"; ", b"x-forwarded-for": b", ", b"via": b", ", b"forwarded": b", "}
_LONGEST_REQUEST_ID = 128


@dataclass(slots=True)
class Transport:
    """The facts of a request from its head and its connection; at `scope["crewship"]` of HTTP and WebSocket scopes.

    `headers` by lower-case name: of repeated ones the first, except lists, which are joined. `client` is an address
    (contract: rate_limits.client_address). `scheme` is the server's own, for origins; `https` is for cookies.
    `forwarded`: a proxy forwarded the request, so `client` may be remote even with a local address. `request_id`: the
    client's own.
    """

    headers: Mapping[bytes, bytes]
    client: str
    scheme: str
    https: bool
    local_socket: bool
    forwarded: bool
    host: str
    request_id: str | None

    @property
    def origin(self) -> str:
        """Scheme and host that the client used, for links."""
        return f"{self.scheme}://{self.host}"


class Block:
    """Headers, and the same as lines for a server that takes these."""

    __slots__ = ("headers", "lines")

    def __init__(self, *headers: Header) -> None:
        self.headers, self.lines = headers, b"".join([b"%b: %b\r\n" % header for header in headers])


Policy = tuple[Block, ...]
"""The headers of one kind of answer, for each set of headers that an answer may bring itself (`_OWN`)."""


def _policy(csp: str | None, *more: Header) -> Policy:
    """Caches may not store the answer to a credential, unless the answer permits it."""
    fixed = (*_ALWAYS, *(() if csp is None else _ISOLATION), *more)
    made = []
    for own in range(1 << len(_OWN)):
        kept = b"private, no-cache" if own & _OWN[b"etag"] else b"private, no-store"
        said = {b"cache-control": kept, b"vary": b"Authorization, Cookie, Accept-Encoding"} | (
            {_CSP: csp.encode()} if csp else {}
        )
        made.append(Block(*fixed, *(header for header in said.items() if not own & _OWN[header[0]])))
    return tuple(made)


_CSP = b"content-security-policy"
_OWN = {_CSP: 1, b"cache-control": 2, b"vary": 4, b"etag": 8}
_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-crewship-server-version", version().encode()),
)
_ISOLATION: tuple[Header, ...] = (
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"cross-origin-embedder-policy", b"credentialless"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
API = _policy("default-src 'none'; frame-ancestors 'none'; base-uri 'none'", (b"x-xss-protection", b"0"))
UI = _policy(UI_CONTENT_SECURITY_POLICY)
EXPOSED = _policy(None)


def _policy_of(path: str) -> Policy:
    if path.startswith(("/api", "/graphql", "/ws")):
        return API
    return EXPOSED if path.startswith("/exposed/") else UI


class _Reply:
    """The sending side: adds the security headers and request id to the start of an answer, and records that there was
    one.

    `packs`: the encoding that the answer may have. One that is long enough, with a declared length, waits for its body.
    """

    __slots__ = ("_lines", "_packs", "_policy", "_request_id", "_send", "_start", "closed", "started")

    def __init__(self, send: Send, policy: Policy, request_id: str, lines: bool, packs: bytes | None = None) -> None:
        self._send, self._policy, self._request_id, self._lines, self._packs = send, policy, request_id, lines, packs
        self.started = self.closed = False
        self._start: Message | None = None

    def __call__(self, message: Message) -> Awaitable[None]:
        if self.closed:
            return _nothing()
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.started = True
            headers = message.get("headers", ())
            if self._packs and compression.fits(message["status"], headers, _length(headers)):
                self._start = message
                return _nothing()
            message = self._said(message, headers)
        elif self._start is not None:
            return self._follow(message)
        return self._send(message)

    async def _follow(self, body: Message) -> None:
        """Sends the head that waited for its body, compressed if the body is complete."""
        start, self._start = self._start, None
        assert start is not None
        headers = start.get("headers", ())
        if not body.get("more_body", False):
            assert self._packs is not None
            headers, content = await compression.compress(headers, body.get("body", b""), self._packs)
            start, body = {**start, "headers": headers}, {**body, "body": content}
        await self._send(self._said(start, headers))
        await self._send(body)

    def _said(self, message: Message, headers: Iterable[Header]) -> Message:
        security, own = _security(self._policy, headers), (b"x-request-id", self._request_id.encode())
        given = (
            {"headers": [*headers, own], LINES: security.lines}
            if self._lines
            else {"headers": [*headers, *security.headers, own]}
        )
        return {**message, **given}


def _length(headers: Iterable[Header]) -> int:
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


def _security(policy: Policy, headers: Iterable[Header]) -> Block:
    """The perimeter's headers for an answer with these headers of its own."""
    own = 0
    for name, value in headers:
        if name == b"content-type":
            if value.startswith(b"text/html") and policy is API:
                policy = UI
        elif name in _OWN:
            own |= _OWN[name]
    return policy[own]


class _CountedBody:
    """The way in for bodies without a length. One byte too many is answered: the application sees the client gone."""

    __slots__ = ("_left", "_path", "_receive", "_reply", "exceeded")

    def __init__(self, receive: Receive, limit: int, reply: _Reply, path: str) -> None:
        self._receive, self._left, self._reply, self._path = receive, limit, reply, path
        self.exceeded = False

    async def __call__(self) -> Message:
        if not self.exceeded:
            message = await self._receive()
            self._left -= len(message.get("body", b""))
            if self._left >= 0:
                return message
            self.exceeded = True
            if not self._reply.started:
                await _send(self._reply, _too_large(self._path))
                self._reply.closed = True
        return {"type": "http.disconnect"}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    headers: tuple[Header, ...] = ()


class Perimeter:
    """The outer ASGI application. Refuses in the contract's order: path, origin, rate, size; passes everything else to
    `app`.

    `surface(transport, target)` answers a request as a whole, without ASGI, if it can. `limit_of(method, path)` gives
    the body limit of routes that accept more than `BODY_LIMIT`; `limits=None` turns the rate limits off. With `traces`,
    runs belong to the traces that callers name. Behind a server that replaces the peer by forwarding headers the rules
    about proxies would not hold.
    """

    def __init__(
        self,
        app: App,
        *,
        proxies: TrustedProxies,
        allowed_origins: Iterable[str] = (),
        limits: RateLimits | None = None,
        force_secure_cookies: bool = False,
        traces: bool = False,
        limit_of: Callable[[str, str], int] = lambda method, path: BODY_LIMIT,
        surface: Callable[[Transport, Target], Surface | None] = lambda transport, target: None,
    ) -> None:
        self._app, self._proxies, self._limits, self._limit_of, self._surface = app, proxies, limits, limit_of, surface
        self._allowed_origins = frozenset(normal_origin(origin) for origin in allowed_origins)
        self._force_secure_cookies, self._traces = force_secure_cookies, traces
        self._request_ids = (
            f"{prefix}-{number:x}" for prefix in (secrets.token_hex(8),) for number in itertools.count(1)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        transport = scope[KEY] = self._transport(scope["headers"], _peer(scope))
        id = self._begin(transport)
        path = scope["path"]
        packs = compression.wanted(transport.headers) if kind == "http" and scope["method"] != "HEAD" else None
        reply = _Reply(send, _policy_of(path), id, LINES in scope.get("extensions", ()), packs)
        if kind == "websocket":
            # /graphql counts its upgrades by itself, together with the operations that follow.
            if (
                self._limits is not None
                and path != "/graphql"
                and (size := self._limits.exceeded(path, transport.client)) is not None
            ):
                await receive()
                return await _send(reply, _too_many(size, path), "websocket.http")
            return await self._app(scope, receive, reply)
        if (answer := self._refusal(scope["method"], path, transport)) is not None:
            return await _send(reply, answer)
        counted = None
        if b"transfer-encoding" in transport.headers or (
            b"content-length" not in transport.headers and scope["method"] not in ("GET", "HEAD")
        ):
            receive = counted = _CountedBody(receive, self._limit_of(scope["method"], path), reply, path)
        try:
            await self._app(scope, receive, reply)
        except Exception:
            if counted is not None and counted.exceeded:
                return  # the application's complaint about the client that went away
            if not reply.started:
                await _send(reply, _Answer(500, problem(500, "Internal server error", path)))
            raise  # the server logs it

    def direct(self, peer: Peer, known: Known) -> Coroutine[Any, Any, Whole] | None:
        """The same for a complete request with a complete answer; None for requests that need ASGI: streams, pages,
        sockets.
        """
        target, fields, body = known
        transport = fields.transport
        if transport is None:
            transport = fields.transport = self._transport(fields.headers, peer)
        surface = self._surface(transport, target)
        return None if surface is None else self._answer(surface, transport, target, body)

    async def _answer(self, surface: Surface, transport: Transport, target: Target, body: bytes) -> Whole:
        id, path = self._begin(transport), target.path
        try:
            refused = self._refusal(target.method, path, transport)
            status, headers, content = await surface(transport, target, body) if refused is None else _whole(refused)
            if (
                len(content) >= compression.LEAST
                and (encoding := compression.wanted(transport.headers)) is not None
                and compression.fits(status, headers, len(content))
            ):
                headers, content = await compression.compress(headers, content, encoding)
        except Exception as error:  # as the server logs what the application raises
            log.error("request failed", method=target.method, path=path, exc_info=error)
            status, headers, content = _whole(_Answer(500, problem(500, "Internal server error", path)))
        return Whole(
            status, [*headers, (b"x-request-id", id.encode())], _security(_policy_of(path), headers).lines, content
        )

    def _begin(self, transport: Transport) -> str:
        """The id of one request, from here on in all that is logged of it."""
        id = transport.request_id or next(self._request_ids)
        request_id.set(id)
        if self._traces:
            given = transport.headers.get(b"traceparent")
            calling.set(None if given is None else sane(given))
        return id

    def _transport(self, given: Sequence[Header], peer: Peer) -> Transport:
        address, tls = (LOOPBACK, False) if isinstance(peer, UnixSocket) else (peer.address, peer.tls)
        headers: dict[bytes, bytes] = dict(given)
        if len(headers) != len(given):
            headers = _merge(given)
        proto, given_id = headers.get(b"x-forwarded-proto"), headers.get(b"x-request-id")
        return Transport(
            headers,
            self._proxies.client(address, headers.get(b"x-forwarded-for"), headers.get(b"x-real-ip")),
            self._proxies.scheme(address, tls=tls, forwarded_proto=proto),
            https_when(tls=tls, forwarded_proto=proto, forced=self._force_secure_cookies),
            isinstance(peer, UnixSocket),
            not _FORWARDING.isdisjoint(headers),
            headers.get(b"host", b"").decode("latin-1"),
            None if given_id is None or not _is_sane(given_id) else given_id.decode(),
        )

    def _refusal(self, method: str, path: str, transport: Transport) -> _Answer | None:
        headers = transport.headers
        if ".." in path and ".." in path.split("/"):
            return _Answer(400, problem(400, "Path must not contain '..'", path))
        if method in STATE_CHANGING and not self._origin_allowed(path, transport):
            log.info("origin refused", method=method, path=path, client=transport.client)
            return _Answer(
                403,
                problem(403, "request origin not allowed", path),
                ((b"www-authenticate", b'Bearer error="origin_rejected"'),),
            )
        if self._limits is not None and (size := self._limits.exceeded(path, transport.client)) is not None:
            return _too_many(size, path)
        length = headers.get(b"content-length")
        if length is None:
            return None
        if not length.isdigit():
            return _Answer(400, problem(400, "Content-Length is not a number", path))
        # 18 digits are more than any limit, and few enough for int().
        if len(length) > 18 or (int(length) > BODY_LIMIT and int(length) > self._limit_of(method, path)):
            return _too_large(path)
        return None

    def _origin_allowed(self, path: str, transport: Transport) -> bool:
        origin, referer = transport.headers.get(b"origin"), transport.headers.get(b"referer")
        if (origin is None and referer is None) or path.startswith("/exposed/"):
            return True
        return origin_allowed(
            origin, referer, own=own_origin(transport.scheme, transport.host), allowed=self._allowed_origins
        )


def _merge(headers: Iterable[Header]) -> dict[bytes, bytes]:
    merged: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in merged:
            merged[name] = value
        elif name in _JOINED:
            merged[name] += _JOINED[name] + value
    return merged


def _peer(scope: Scope) -> Peer:
    """The peer as the service's own protocol has determined it. Other servers know addresses at most; a peer without an
    address gets no rights.
    """
    peer: Peer | None = scope.get("extensions", {}).get(PEER)
    if peer is not None:
        return peer
    client = scope.get("client")
    return Tcp("" if client is None else client[0], scope["scheme"] in ("https", "wss"))


def _is_sane(request_id: bytes) -> bool:
    return len(request_id) <= _LONGEST_REQUEST_ID and request_id.translate(None, b"-_.").isalnum()


def _too_many(size: int, path: str) -> _Answer:
    reset = str(int(time.time()) + 60).encode()
    headers = (
        (b"retry-after", b"60"),
        (b"x-ratelimit-limit", str(size).encode()),
        (b"x-ratelimit-remaining", b"0"),
        (b"x-ratelimit-reset", reset),
    )
    return _Answer(429, problem(429, "Too many requests", path), headers)


def _too_large(path: str) -> _Answer:
    return _Answer(413, problem(413, "Request body too large", path))


def _whole(answer: _Answer) -> tuple[int, list[Header], bytes]:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    return answer.status, headers, answer.body


async def _send(reply: _Reply, answer: _Answer, kind: str = "http") -> None:
    status, headers, body = _whole(answer)
    await reply({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await reply({"type": f"{kind}.response.body", "body": body})


async def _nothing() -> None:
    return None
