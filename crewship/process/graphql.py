"""The GraphQL surface, made once the process listens: a third of what a start computes, and REST does without it."""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolvers.instance.telemetry import log

if TYPE_CHECKING:
    from schema.bridge.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Made:
    """What serves /graphql over HTTP, /graphql/stream, and WebSockets at /graphql."""

    endpoint: "Endpoint"
    stream: Any
    sockets: Any


class Ended(Exception):
    """The process ends before the surface is made."""


class GraphQL:
    """`make` runs once, in a thread, after `begin` or the first request; later requests wait for its result.

    It raises Ended where it finds that the process ends: who ends waits for threads.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._making: asyncio.Task[Made] | None = None
        self.made: Made | None = None

    def begin(self) -> None:
        if self._making is None:
            self._making = asyncio.create_task(self._run())

    async def ready(self) -> Made:
        self.begin()
        assert self._making is not None
        return await asyncio.shield(self._making)  # who leaves does not end what others wait for

    async def _run(self) -> Made:
        try:
            self.made = await asyncio.to_thread(self._make)
        except Ended:
            raise asyncio.CancelledError from None
        except Exception as error:  # REST goes on; whoever asks for GraphQL is told the same
            log.error("graphql cannot be made", exc_info=error)
            raise
        return self.made

    async def http(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await (await self.ready()).endpoint(scope, receive, send)

    async def stream(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await (await self.ready()).stream(scope, receive, send)

    async def socket(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await (await self.ready()).sockets(scope, receive, send)
