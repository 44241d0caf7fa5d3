"""Newcomers do not wait behind a crowd that stood in the system's queue before them, and a crowd has its bounds."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, closing
from typing import Any

import pytest

from crewship.perimeter.door import ROUND, Door, Loop
from crewship.process.serve import listen_tcp
from tests.attacks.wires import until

CROWD, NEWCOMER = "127.0.0.1", "127.0.0.2"


OPEN: set[Any] = set()  # transports


class Noted(asyncio.Protocol):
    """Notes who is served, in which order."""

    def __init__(self, served: list[str]) -> None:
        self._served = served

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        OPEN.add(transport)
        self._served.append(transport.get_extra_info("peername")[0])

    def connection_lost(self, error: Exception | None) -> None:
        OPEN.discard(self._transport)


async def end_all() -> None:
    for transport in list(OPEN):
        transport.abort()
    await until(lambda: not OPEN)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(test())


@asynccontextmanager
async def door(listener: socket.socket, most: int | None = None) -> AsyncIterator[list[str]]:
    served: list[str] = []
    at = Door(asyncio.get_running_loop(), lambda: Noted(served), listener, most)
    try:
        yield served
    finally:
        at.close()
        await at.wait_closed()
        await end_all()


def crowd(held: ExitStack, listener: socket.socket, number: int, source: str = CROWD) -> list[socket.socket]:
    """Connections that the system has accepted, and the service has not."""
    address = listener.getsockname()
    return [
        held.enter_context(closing(socket.create_connection(address, source_address=(source, 0))))
        for _ in range(number)
    ]


def test_a_newcomer_is_served_before_the_crowd_that_came_before() -> None:
    async def test() -> None:
        with ExitStack() as held, closing(listen_tcp("127.0.0.1", 0)) as listener:
            crowd(held, listener, 1500)
            crowd(held, listener, 1, NEWCOMER)
            async with door(listener) as served:
                await until(lambda: len(served) == 1501)
            # the queue was taken in twelve rounds at most
            assert served.index(NEWCOMER) <= 13 * ROUND

    run(test)


@pytest.mark.slow
def test_beyond_the_most_that_wait_the_crowd_loses_its_last_and_nobody_else_does() -> None:
    async def test() -> None:
        with ExitStack() as held, closing(listen_tcp("127.0.0.1", 0)) as listener:
            clients = crowd(held, listener, 200)
            crowd(held, listener, 1, NEWCOMER)
            async with door(listener, most=20) as served:
                await until(lambda: NEWCOMER in served)
                await asyncio.sleep(0.1)
                assert len(served) < 201
                assert served.count(NEWCOMER) == 1
                lost = [n for n, client in enumerate(clients) if await asyncio.to_thread(is_left, client)]
            assert len(lost) == 201 - len(served)
            assert 0 not in lost

    run(test)


def is_left(client: socket.socket) -> bool:
    """Whether the service has ended it."""
    client.settimeout(0.01)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_who_waits_when_it_closes_is_sent_away() -> None:
    async def test() -> None:
        with ExitStack() as held, closing(listen_tcp("127.0.0.1", 0)) as listener:
            clients = crowd(held, listener, 300)
            served: list[str] = []
            at = Door(asyncio.get_running_loop(), lambda: Noted(served), listener)
            while not served:
                await asyncio.sleep(0)
            at.close()
            await at.wait_closed()
            listener.close()
            await asyncio.sleep(0.05)
            assert len(served) < 300
            ended = await asyncio.to_thread(lambda: sum(map(is_left, clients)))
            assert ended >= 300 - len(served) - 1
            await end_all()

    run(test)


def test_without_descriptors_it_goes_on_when_there_are_some() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def test() -> None:
        with ExitStack() as held, closing(listen_tcp("127.0.0.1", 0)) as listener:
            crowd(held, listener, 5)
            async with door(listener) as served:
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
                await asyncio.sleep(0.2)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                assert not served
                await until(lambda: len(served) == 5)

    try:
        run(test)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
