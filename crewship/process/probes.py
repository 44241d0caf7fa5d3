"""A process that only works, composed: its probes, and neither surface."""

from collections.abc import Mapping
from typing import Any

import orjson
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crewship.perimeter.perimeter import KEY, Perimeter
from crewship.process.process import declare, opened
from resolvers.errors import Refusal
from resolvers.identity import credentials
from resolvers.instance.addresses import TrustedProxies
from resolvers.instance.passwords import Passwords
from resolvers.instance.settings import Settings
from resolvers.kernel.declarations.operation import Operation
from resolvers.oversight import system


def create_worker(settings: Settings) -> Perimeter:
    """The application of a worker: /healthz, /readyz and /metrics, as the REST surface has them."""
    declare()
    routes = [Route("/healthz", _healthz), Route("/readyz", _readyz), Route("/metrics", _metrics)]
    probes = Starlette(routes=routes, lifespan=lambda _: opened(settings, Passwords()))
    return Perimeter(probes, proxies=TrustedProxies(settings.trusted_proxy_cidrs))


async def _asked(request: Request, operation: Operation[Any], raw: Mapping[str, Any] | None = None) -> bytes:
    arrived = request.scope[KEY]
    caller = credentials.caller_of(
        {},
        client=arrived.client,
        forwarded=arrived.forwarded,
        local_socket=arrived.local_socket,
        origin=arrived.origin,
    )
    try:
        return (await operation(caller, dict(raw or {}), None)).body or b""
    except Refusal as refusal:
        raise HTTPException(404, refusal.detail) from None


async def _healthz(request: Request) -> Response:
    return Response(await _asked(request, system.healthz), media_type="application/json")


async def _readyz(request: Request) -> Response:
    body = await _asked(request, system.readyz)
    return Response(body, 200 if orjson.loads(body)["status"] else 503, media_type="application/json")


async def _metrics(request: Request) -> Response:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    body = await _asked(request, system.metrics, {"token": token} if scheme == "Bearer" else {})
    return Response(orjson.loads(body)["text"], headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})
