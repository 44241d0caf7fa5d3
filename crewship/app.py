"""The composition root: what is plugged into what, and when it starts and stops."""

import asyncio
import contextlib
import functools
import gc
import json
from collections.abc import AsyncIterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crewship import keys, pages
from crewship.connections import connections
from crewship.heads import Target
from crewship.perimeter import BODY_LIMIT, Perimeter, Surface, Transport
from crewship.rate_limit import RateLimits
from crewship.wakeups import PostgresWakeups, RedisWakeups
from crewship.watchdog import Watchdog, recorder, warn
from crewship.work import working
from resolvers.kernel import crypto, sweeper
from resolvers.kernel.addresses import TrustedProxies
from resolvers.kernel.bus import bus
from resolvers.kernel.database import database
from resolvers.kernel.errors import Code, Refusal
from resolvers.kernel.instance import Instance, instance
from resolvers.kernel.license import Limit, read_licensing
from resolvers.kernel.operation import answered
from resolvers.kernel.passwords import Passwords
from resolvers.kernel.reader import check_graphs
from resolvers.kernel.settings import Settings
from resolvers.kernel.uses import uses
from resolvers.live import attendance, hub, presence
from rest_compat import openapi, ws
from rest_compat.dispatch import Dispatcher
from rest_compat.problem import problem
from rest_compat.routes import ROUTES
from schema.endpoint import Endpoint, streams
from schema.live import EventStreams, Sockets, multipart
from schema.root import schema
from schema.selection import Throttle

COLLECT = (5_000, 4)
"""Thresholds of the collector: requests leave few cycles behind, and it looks for them every 5,000 objects instead of 700. Its middle
generation is small on purpose: at 20 rounds it held 100,000 objects of documents being read, and walking them held the loop for 0.2 s.
When a full round comes is Python's own rule: what is kept is little, and what waits for such a round is more, the longer it waits."""


class Application:
    """Which surface a path belongs to. Both sit behind the same perimeter. `sockets`: path -> what speaks WebSocket there."""

    def __init__(self, rest: Dispatcher, graphql: Endpoint, pages: Starlette, sockets: Mapping[str, Any]) -> None:
        self.rest, self.graphql, self.pages, self.sockets = rest, graphql, pages, sockets
        self.stream = EventStreams(graphql)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.sockets.get(scope["path"], _no_socket)(scope, receive, send)
        elif scope["type"] != "http":
            await self.pages(scope, receive, send)
        elif scope["path"] == "/graphql":
            await self.graphql(scope, receive, send)
        elif scope["path"] == ws.PATH:
            await ws.without_upgrade(scope, receive, send)
        elif scope["path"] == "/graphql/stream":
            await self.stream(scope, receive, send)
        else:
            await self.rest(scope, receive, send)

    def surface(self, transport: Transport, target: Target) -> Surface | None:
        """What answers such a request whole; None for what streams, and for pages."""
        if target.path == "/graphql":
            return self.graphql.whole if target.method == "POST" and not streams(transport.headers.get(b"accept", b"")) else None
        if target.surface is None:
            target.surface = self.rest.surface(target.method, target.raw_path) or False
        return target.surface or None


def create_app(settings: Settings, *, routes: tuple[Any, ...] = (), passwords: Passwords | None = None) -> Perimeter:
    """The whole service on the database of `settings.database_url`. `routes` are served beside the product's own."""
    check_graphs(answered())
    shown = Starlette(routes=[*pages.routes, Route("/api/openapi.json", _openapi)], lifespan=lambda _: _lifespan(settings, passwords or Passwords()))
    trusted = _trusted_documents(settings.trusted_documents_file)
    limits = None
    if not settings.ratelimit_disabled:
        limits = RateLimits(
            auth=settings.ratelimit_auth, credential_test=settings.ratelimit_credential_test, api=settings.ratelimit_api, pages=settings.ratelimit_pages
        )
    only, throttle = settings.trusted_documents_only, None if limits is None else _throttle(limits)
    graphql = Endpoint(schema, trusted=trusted, trusted_only=only, page=_graphiql, throttle=throttle, streaming=multipart, open_schema=settings.open_schema)

    def admit(client: str) -> bool:
        """What is said on a socket counts as requests do."""
        return limits is None or limits.exceeded("/graphql", client) is None

    sockets = {ws.PATH: functools.partial(ws.websocket, admit=admit), "/graphql": Sockets(graphql, admit)}
    rest = Dispatcher((*ROUTES, *routes), otherwise=_Unknown(shown))
    app = Application(rest, graphql, shown, sockets)
    return Perimeter(
        app,
        proxies=TrustedProxies(settings.trusted_proxy_cidrs),
        allowed_origins=settings.allowed_origins,
        limits=limits,
        force_secure_cookies=settings.force_secure_cookies,
        limit_of=lambda method, path: rest.limit_of(method, path) or BODY_LIMIT,
        surface=app.surface,
    )


def _throttle(limits: RateLimits) -> Throttle:
    """An operation whose route has a bucket of its own counts there through GraphQL too: one surface is no way around the other."""
    paths = {route.operation.name: route.path for route in ROUTES if limits.narrower(route.path)}

    def throttle(operation: str, client: str) -> None:
        path = paths.get(operation)
        if path is not None and limits.exceeded(path, client) is not None:
            raise Refusal(Code.RATE_LIMITED, "Too many requests")

    return throttle


class _Unknown:
    """Pages; and for a path under /api that nobody serves, the body every refusal has."""

    def __init__(self, shown: Starlette) -> None:
        self.shown = shown
        self.nothing = Dispatcher(())

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        known = path in ("/api/openapi.json", "/api/docs") or not path.startswith("/api/")
        await (self.shown if known else self.nothing)(scope, receive, send)


async def _no_socket(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """The refusal of an upgrade, as an answer to its request."""
    answer = problem(404, "There is no socket at this path", scope["path"])
    await send({"type": "websocket.http.response.start", "status": 404, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "websocket.http.response.body", "body": answer})


async def _graphiql(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    await pages.graphiql(Request(scope, receive))(scope, receive, send)


async def _openapi(request: Request) -> Response:
    return Response(openapi.encoded(), media_type="application/json")


def _trusted_documents(file: Path | None) -> Mapping[str, str]:
    """A JSON object, sha256 -> document."""
    return {} if file is None else json.loads(file.read_text())


def _secret(value: SecretStr | None) -> str:
    if value is None:
        raise RuntimeError("the keys of the instance are not settled")
    return value.get_secret_value()


def start(settings: Settings, passwords: Passwords) -> Instance:
    """Keys, license and clock of this process."""
    key = settings.admin_token_hmac_key
    configured = {Limit.crews: settings.max_crews, Limit.agents: settings.max_agents_per_crew, Limit.members: settings.max_members}
    limits = {limit: most for limit, most in configured.items() if most is not None}
    licensing = read_licensing(settings.license_file, settings.license_public_key, settings=limits, now=instance.clock.now())
    secret = _secret(settings.nextauth_secret)
    instance.bootstrap_token = crypto.setup_token(secret)
    signer = crypto.Signer(secret, keys.still_good(settings))
    instance.start(settings, signer, passwords, licensing, crypto.admin_hmac_key(key.get_secret_value() if key else None), keys.vault(settings))
    return instance


def _wakeups(settings: Settings) -> Any:
    """How processes wake each other: by Redis where there is one, else by the database that all of them share."""
    return PostgresWakeups(_secret(settings.database_url)) if settings.redis_url is None else RedisWakeups(settings.redis_url.get_secret_value())


@contextlib.asynccontextmanager
async def _lifespan(settings: Settings, passwords: Passwords) -> AsyncIterator[None]:
    start(settings, passwords)
    connections.limit(settings.max_connections, exempt=TrustedProxies(settings.trusted_proxy_cidrs).trusts)
    await database.open(_secret(settings.database_url), size=settings.pool_size, row_security=settings.row_level_security)
    await bus.open(_wakeups(settings))
    hub.start(_secret(settings.database_url))
    attendance.start()
    background = [asyncio.create_task(task) for task in (uses.run(), sweeper.run(), presence.run())]
    gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not walk it again and again
    gc.set_threshold(*COLLECT)
    watchdog = Watchdog(warn, *(() if settings.stalls_file is None else (recorder(settings.stalls_file),)))
    try:
        async with working(settings):
            watchdog.start()
            yield
    finally:
        watchdog.stop()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await attendance.stop()
        await hub.stop()
        await bus.close()
        await database.close()
        passwords.close()
