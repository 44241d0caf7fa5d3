"""The way out of a container, and to the services beside it. It has no network but a loopback, and what listens there
is answered by the service, which has made the sockets in the container's network namespace.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from runtime.containers.namespace import Namespace
from runtime.egress.wire import Wire, relay
from runtime.runs.job import Failed
from runtime.sandbox.boundary import Network

CONNECTIONS: Final = 128  # to services, of one command
SECONDS: Final = 10.0  # for a service to take one
BUSY: Final = 0.1  # seconds until the next try where no connection can be taken
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Beside:
    """A service: where programs in the container find it, at which ports, and the process whose network it is in."""

    address: str
    ports: tuple[int, ...]
    pid: int


@asynccontextmanager
async def served(network: Network | None, pid: int, services: Sequence[Beside] = ()) -> AsyncIterator[None]:
    """While the block lasts. Only root may enter another's namespace: without it a container reaches nothing. On
    another machine it has no `pid`, and reaches nothing either.
    """
    if (network is None and not services) or os.geteuid() != 0 or not pid:
        yield
        return
    async with contextlib.AsyncExitStack() as stack:
        inside = stack.enter_context(await asyncio.to_thread(Namespace, pid))
        if network is not None:
            listening = await asyncio.to_thread(inside.listening, list(network.listens))
            await stack.enter_async_context(network.serve(listening))
        for service in services:
            theirs = stack.enter_context(await asyncio.to_thread(Namespace, service.pid))
            for port in service.ports:
                [listens] = await asyncio.to_thread(inside.listening, [(service.address, port)])
                await stack.enter_async_context(_forwarded(listens, theirs, port))
        yield


@asynccontextmanager
async def _forwarded(listening: socket.socket, target: Namespace, port: int) -> AsyncIterator[None]:
    """Forwards each connection to the same port of the target's loopback."""
    listening.setblocking(False)
    taking = asyncio.ensure_future(_take(listening, target, port))
    try:
        yield
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        listening.close()


async def _take(listening: socket.socket, target: Namespace, port: int) -> None:
    loop, room, tasks = asyncio.get_running_loop(), asyncio.Semaphore(CONNECTIONS), set[asyncio.Task[None]]()

    async def carry(came: socket.socket) -> None:
        try:
            await _carried(came, target, port)
        finally:
            room.release()

    try:
        while True:
            await room.acquire()
            try:
                came, _ = await loop.sock_accept(listening)
            except OSError:
                room.release()
                await asyncio.sleep(BUSY)
                continue
            except BaseException:
                room.release()
                raise
            task = asyncio.ensure_future(carry(came))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carried(came: socket.socket, target: Namespace, port: int) -> None:
    came.setblocking(False)
    with came, contextlib.suppress(OSError, TimeoutError, Failed), await asyncio.to_thread(target.socket) as goes:
        async with asyncio.timeout(SECONDS):
            await asyncio.get_running_loop().sock_connect(goes, (LOOPBACK, port))
        await relay(Wire(came, _nothing), Wire(goes, _nothing))


def _nothing() -> None: ...
