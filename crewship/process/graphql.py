"""The GraphQL surface, made with the first request for it: a third of a start and 23 MB (see docs/performance.md)."""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolvers.instance.telemetry import log
from resolvers.problem import problem

if TYPE_CHECKING:
    from schema.bridge.endpoint import Endpoint


Scope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """The handlers of /graphql over HTTP, /graphql/stream, and WebSockets at /graphql."""

    endpoint: "Endpoint"
    stream: Any
    sockets: Any


class Ended(Exception):
    """The process ends before the surface is made."""


class GraphQL:
    """`make` runs once, in a thread, with the first request; concurrent requests wait for its result.

    It raises Ended if the process ends: the shutdown does not wait for it, and the waiting requests are refused.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._making: asyncio.Task[Made] | None = None
        self.made: Made | None = None

    async def ready(self) -> Made:
        if self._making is None:
            self._making = asyncio.create_task(self._run())
        return await asyncio.shield(self._making)  # who leaves does not end what others wait for

    async def _run(self) -> Made:
        try:
            self.made = await asyncio.to_thread(self._make)
        except Ended:
            raise
        except Exception as error:  # REST works without it; each request for GraphQL gets this error
            log.error("the GraphQL schema cannot be built", exc_info=error)
            raise
        return self.made

    async def http(self, scope: Scope, receive: Any, send: Any) -> None:
        try:
            made = await self.ready()
        except Ended:
            return await _refuse(scope, send)
        await made.endpoint(scope, receive, send)

    async def stream(self, scope: Scope, receive: Any, send: Any) -> None:
        try:
            made = await self.ready()
        except Ended:
            return await _refuse(scope, send)
        await made.stream(scope, receive, send)

    async def socket(self, scope: Scope, receive: Any, send: Any) -> None:
        try:
            made = await self.ready()
        except Ended:
            await send({"type": "websocket.close"})
            return
        await made.sockets(scope, receive, send)


async def _refuse(scope: Scope, send: Any) -> None:
    head = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": head})
    await send({"type": "http.response.body", "body": problem(503, "The server ends", scope["path"])})
