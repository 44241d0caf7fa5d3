"""REST: the server about itself, and the endpoints of those who operate it."""

import orjson
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from resolvers.kernel.declarations.operation import Answer
from resolvers.oversight import system
from rest_compat.http.errors import JSON
from rest_compat.http.table import GET, Reply, Request


def _bearer(request: Request) -> dict[str, str]:
    scheme, _, token = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return {"token": token} if scheme == "Bearer" else {}


def _exposition(_: Request, answer: Answer) -> Reply:
    text: str = orjson.loads(answer.body or b"")["text"]
    return Reply(200, text.encode(), [(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())])


def _readiness(_: Request, answer: Answer) -> Reply:
    body = answer.body or b""
    return Reply(200 if orjson.loads(body)["status"] else 503, body, [JSON])


ROUTES = (
    GET("/api/health", system.health, system.Health),
    GET("/api/v1/system/setup-status", system.setup_status, system.SetupStatus),
    GET("/api/v1/system/telemetry", system.telemetry, system.Telemetry),
    GET("/api/v1/system/version", system.version, system.Version),
    GET("/api/v1/system/license", system.license, system.License),
    GET("/api/v1/system/runtime", system.runtime, system.Runtime),
    GET("/api/v1/runtime/capacity", system.runtime_capacity, system.RuntimeCapacity),
    GET("/api/v1/system/aux-status", system.aux_status, system.AuxSlots),
    GET("/api/v1/crewshipd", system.engine, system.Engine),
    GET("/healthz", system.healthz, system.Liveness),
    GET("/readyz", system.readyz, system.Readiness, answers=_readiness, probe=True),
    GET("/metrics", system.metrics, reads=_bearer, answers=_exposition),
)
