"""The composition root: connects the parts, starts and stops them."""

import asyncio
import contextlib
import functools
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crewship.perimeter import console, pages
from crewship.perimeter.compression import takes_gzip
from crewship.perimeter.connections import connections
from crewship.perimeter.heads import Target
from crewship.perimeter.perimeter import BODY_LIMIT, KEY, Perimeter, Surface, Transport
from crewship.perimeter.rate_limit import RateLimits, Sizes
from crewship.process.graphql import Ended, GraphQL, Made
from crewship.process.memory import give_back
from crewship.process.process import declare, opened
from crewship.process.trusted_documents import read_documents
from resolvers.attention.channels import identify
from resolvers.domains import modules_in
from resolvers.errors import Code, Refusal
from resolvers.identity.cookies import GRAPHQL_PATH
from resolvers.instance.addresses import TrustedProxies
from resolvers.instance.passwords import Passwords
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from resolvers.kernel.declarations.operation import Auth
from resolvers.problem import problem
from rest_compat import ws
from rest_compat.http import openapi
from rest_compat.http.dispatch import Dispatcher, caller_for
from rest_compat.http.errors import STATUS
from rest_compat.http.routes import ROUTES

if TYPE_CHECKING:
    from schema.bridge.selection import Throttle


Admit = Callable[[str], bool]


class Application:
    """Which surface a path belongs to. Both sit behind one perimeter. `sockets`: path -> what speaks WebSocket."""

    def __init__(self, rest: Dispatcher, graphql: GraphQL, pages: Starlette, sockets: Mapping[str, Any]) -> None:
        self.rest, self.graphql, self.pages, self.sockets = rest, graphql, pages, sockets

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.sockets.get(scope["path"], _no_socket)(scope, receive, send)
        elif scope["type"] != "http":
            await self.pages(scope, receive, send)
        elif scope["path"] == "/graphql" or (scope["path"] == GRAPHQL_PATH and scope["method"] == "POST"):
            await self.graphql.http(scope, receive, send)
        elif scope["path"] in (ws.PATH, ws.TERMINAL):
            await ws.without_upgrade(scope, receive, send)
        elif scope["path"] == "/graphql/stream":
            await self.graphql.stream(scope, receive, send)
        else:
            await self.rest(scope, receive, send)

    def surface(self, transport: Transport, target: Target) -> Surface | None:
        """The surface that answers such a request as a whole; None for streams, pages, and requests that have
        to wait.
        """
        if target.path == "/graphql" or (target.path == GRAPHQL_PATH and target.method == "POST"):
            return None if self.graphql.made is None else self.graphql.made.endpoint.whole_of(transport, target)
        if target.surface is None:
            target.surface = self.rest.surface(target.method, target.raw_path) or False
        return target.surface or None


def create_app(settings: Settings, *, routes: tuple[Any, ...] = (), passwords: Passwords | None = None) -> Perimeter:
    """The whole service on the database of `settings.database_url`. `routes` are served beside the product's own."""
    declare()
    limits = None if settings.ratelimit_disabled else RateLimits(**_sizes(settings))

    def admit(client: str) -> bool:
        """Counts messages of a socket like requests."""
        return limits is None or limits.exceeded("/graphql", client) is None

    trusted = {**console.known(), **read_documents(settings.trusted_documents_file)}
    ended = threading.Event()
    graphql = GraphQL(functools.partial(_graphql, settings, trusted, limits, admit, ended))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        off = instance.on_settings(lambda now: None if limits is None else limits.resize(_sizes(now)))
        unheard = connections.at_end(ended.set)
        try:
            async with opened(settings, passwords or Passwords()):
                try:
                    yield
                finally:
                    ended.set()
        finally:
            off()
            unheard()

    shown = Starlette(
        routes=[*_reference(settings.open_schema), *console.routes, *pages.routes],
        lifespan=lifespan,
        exception_handlers={404: pages.not_found},
    )
    sockets = {
        ws.PATH: functools.partial(ws.websocket, admit=admit),
        ws.TERMINAL: functools.partial(ws.terminal, admit=admit),
        "/graphql": graphql.socket,
    }
    rest = Dispatcher((*ROUTES, *routes), otherwise=_Unknown(shown))
    app = Application(rest, graphql, shown, sockets)
    return Perimeter(
        app,
        proxies=TrustedProxies(settings.trusted_proxy_cidrs),
        allowed_origins=settings.allowed_origins,
        limits=limits,
        force_secure_cookies=settings.force_secure_cookies,
        traces=settings.otel_traces is not None,
        limit_of=lambda method, path: max(rest.limit_of(method, path) or 0, BODY_LIMIT),
        surface=app.surface,
    )


def _sizes(settings: Settings) -> Sizes:
    return {
        "auth": settings.ratelimit_auth,
        "credential_test": settings.ratelimit_credential_test,
        "credential_reveal": settings.ratelimit_credential_reveal,
        "api": settings.ratelimit_api,
        "pages": settings.ratelimit_pages,
    }


def _graphql(
    settings: Settings,
    trusted: Mapping[str, str],
    limits: RateLimits | None,
    admit: Admit,
    ended: threading.Event,
) -> Made:
    """The GraphQL surface. Imports it: half a second and more, for a thread; a third less without the collector. Looks
    between its parts whether the process ends.
    """

    def going_on() -> None:
        if ended.is_set():
            raise Ended

    gc.disable()
    try:
        modules_in("schema", going_on)
        going_on()
        from schema.bridge.endpoint import Endpoint
        from schema.bridge.root import schema
        from schema.bridge.worker import ALLOWED
        from schema.live import EventStreams, Sockets, multipart
    finally:
        gc.enable()

    endpoint = Endpoint(
        schema,
        trusted=trusted,
        trusted_only=settings.trusted_documents_only,
        page=_graphiql,
        throttle=None if limits is None else _throttle(limits),
        streaming=multipart,
        open_schema=settings.open_schema,
        allowed=None if limits is None else ALLOWED,
    )
    gc.freeze()  # as what was loaded before; a collection first would hold everybody for longer than all of the rest
    give_back()
    return Made(endpoint, EventStreams(endpoint), Sockets(endpoint, admit))


def _throttle(limits: RateLimits) -> "Throttle":
    """An operation whose route has its own rate limit counts there over GraphQL too, so neither surface bypasses the
    limit.
    """
    paths = {route.operation.name: route.path for route in ROUTES if limits.narrower(route.path)}

    def throttle(operation: str, client: str) -> None:
        path = paths.get(operation)
        if path is not None and limits.exceeded(path, client) is not None:
            raise Refusal(Code.RATE_LIMITED, "Too many requests")

    return throttle


class _Unknown:
    """Pages; and the common error body for unknown paths under /api."""

    def __init__(self, shown: Starlette) -> None:
        self.shown = shown
        self.nothing = Dispatcher(())

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        known = path in ("/api/openapi.json", "/api/docs") or not path.startswith("/api/")
        await (self.shown if known else self.nothing)(scope, receive, send)


async def _no_socket(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """The refusal of an upgrade, as an answer to its request."""
    answer = problem(404, "This path is not a WebSocket", scope["path"])
    await send(
        {"type": "websocket.http.response.start", "status": 404, "headers": [(b"content-type", b"application/json")]}
    )
    await send({"type": "websocket.http.response.body", "body": answer})


async def _graphiql(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    await pages.graphiql(Request(scope, receive))(scope, receive, send)


def _reference(open_schema: bool) -> list[Route]:
    """The OpenAPI document and its page: for callers who may see the GraphQL schema, too."""
    shown = dict.fromkeys(("/api/openapi.json", "/openapi.json"), _openapi)
    shown |= dict.fromkeys(("/api/docs", "/openapi"), pages.reference)
    return [Route(path, endpoint if open_schema else _for_callers(endpoint)) for path, endpoint in shown.items()]


def _for_callers(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The same for callers with a good credential alone."""

    async def known(request: Request) -> Response:
        try:
            await identify(caller_for(Auth.USER, request.scope[KEY], request.url.path, b""))
        except Refusal as refusal:
            status = STATUS[refusal.code]
            return Response(problem(status, refusal.detail, request.url.path), status, media_type="application/json")
        return await endpoint(request)

    return known


async def _openapi(request: Request) -> Response:
    if not takes_gzip(request.headers.get("accept-encoding", "").encode("latin-1")):
        return Response(await asyncio.to_thread(openapi.encoded), media_type="application/json")
    packed = await asyncio.to_thread(openapi.packed)
    return Response(packed, media_type="application/json", headers={"Content-Encoding": "gzip"})
