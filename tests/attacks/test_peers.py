"""Who is on the line, on both ways of a request, where connections are reset, half closed or silent."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from crewship.perimeter.connections import connections
from crewship.perimeter.door import Loop
from crewship.perimeter.line import Peer, Tcp, UnixSocket, peer_of
from crewship.perimeter.perimeter import Perimeter
from crewship.perimeter.protocol import Protocol
from crewship.perimeter.websocket import WebSocketProtocol
from crewship.process.app import create_app
from resolvers.instance.addresses import TrustedProxies
from resolvers.instance.passwords import Cost, Passwords
from tests.attacks.test_process import ADA
from tests.attacks.wires import until
from tests.conftest import Database
from tests.foreseen import foresee
from tests.world import settings_for

NUMBERS = itertools.count()
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing is a reset
LOOPBACK = ("127.0.0.1", False)
OPERATOR = ("127.0.0.1", True)


class Seen:
    """What reached an application on either way: the way, and who was said to be on the line."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bool]] = []
        self.perimeter = Perimeter(self.app, proxies=TrustedProxies(), surface=lambda transport, target: self.surface)

    def _note(self, way: str, transport: Any) -> None:
        self.calls.append((way, transport.client, transport.local_socket))

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self._note("asgi", scope["crewship"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def surface(self, transport: Any, target: Any, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        self._note("direct", transport)
        return 200, [(b"content-length", b"2")], b"{}"


@contextlib.contextmanager
def listening(family: socket.AddressFamily, directory: Path) -> Any:
    with socket.socket(family) as listener:
        listener.bind(str(directory / "s.sock") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        listener.listen(128)
        yield listener


def connected(listener: socket.socket) -> socket.socket:
    client = socket.socket(listener.family)
    client.settimeout(10)
    client.connect(listener.getsockname())
    return client


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def asked() -> bytes:
    """A request whose head nobody has seen before."""
    return b"GET /api/v1/crews?n=%d HTTP/1.1\r\nhost: x\r\n\r\n" % next(NUMBERS)


def run(test: Callable[[], Any], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test(), 60))


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, Loop], ids=["asyncio", "uvloop"])
FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
WAYS = pytest.mark.parametrize("way", ["asgi", "direct"])


def configuration(app: Any, **options: Any) -> uvicorn.Config:
    made = uvicorn.Config(
        app,
        http=Protocol,
        ws=WebSocketProtocol,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_level="critical",
        timeout_keep_alive=1,
        **options,
    )
    made.load()
    return made


@contextlib.asynccontextmanager
async def taken(seen: Seen, listener: socket.socket, way: str) -> AsyncIterator[Callable[[bytes], Any]]:
    """Serves connections that wait at `listener`, one at each call, which names the request that is to go this way."""
    configured, state = configuration(seen.perimeter, lifespan="off"), uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()
    made = list[Protocol]()

    def protocol() -> Protocol:
        made.append(Protocol(configured, state, {}))
        return made[-1]

    async def serve(said: bytes) -> Protocol:
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        if way == "direct":
            for peer in (Tcp("127.0.0.1"), UnixSocket()):  # both: the peer may not be found by what is kept
                foresee(peer, said)
        await loop.connect_accepted_socket(protocol, accepted)
        return made[-1]

    try:
        yield serve
    finally:
        for each in made:
            if each.transport is not None:
                each.transport.abort()
        await until(lambda: not state.connections)


@LOOPS
@FAMILIES
@WAYS
def test_the_family_of_the_socket_says_who_it_is(
    loop: Any, family: socket.AddressFamily, way: str, tmp_path: Path
) -> None:
    async def serving() -> None:
        seen = Seen()
        with listening(family, tmp_path) as listener:
            async with taken(seen, listener, way) as serve:
                with connected(listener) as client:
                    client.sendall(said := asked())
                    protocol = await serve(said)
                    await until(lambda: len(seen.calls) == 1)
                    assert protocol.peer == (UnixSocket() if family == socket.AF_UNIX else Tcp("127.0.0.1"))
        assert seen.calls == [(way, *(OPERATOR if family == socket.AF_UNIX else LOOPBACK))]

    run(serving, loop)


@LOOPS
@WAYS
def test_a_connection_that_was_reset_before_it_is_served_is_nobodys(loop: Any, way: str, tmp_path: Path) -> None:
    """What it had sent lies in the system's buffer, and would be read; its address is not known any more."""

    async def serving() -> None:
        seen, before = Seen(), len(connections)
        with listening(socket.AF_INET, tmp_path) as listener:
            async with taken(seen, listener, way) as serve:
                for _ in range(10):
                    client = connected(listener)
                    client.sendall(said := asked())
                    reset(client)
                    protocol = await serve(said)
                    assert not hasattr(protocol, "peer")
                    assert protocol.transport.is_closing()
                await asyncio.sleep(0.2)
        assert (seen.calls, len(connections)) == ([], before)

    run(serving, loop)


def test_the_address_of_such_a_connection_is_not_known(tmp_path: Path) -> None:
    """What the tests here stand on, and what the service asks the system for."""
    with listening(socket.AF_INET, tmp_path) as listener:
        client = connected(listener)
        client.sendall(said := asked())
        reset(client)
        accepted, address = listener.accept()
        with accepted:
            assert address[0] == "127.0.0.1"
            with pytest.raises(OSError, match="not connected"):
                accepted.getpeername()
            assert accepted.recv(1000) == said


@LOOPS
@FAMILIES
@WAYS
def test_a_connection_whose_client_says_no_more_is_still_its_clients(
    loop: Any, family: socket.AddressFamily, way: str, tmp_path: Path
) -> None:
    """Half closed before it is served, and after."""

    async def serving() -> None:
        seen = Seen()
        with listening(family, tmp_path) as listener:
            async with taken(seen, listener, way) as serve:
                for late in (False, True):
                    with connected(listener) as client:
                        client.sendall(said := asked())
                        if not late:
                            client.shutdown(socket.SHUT_WR)
                        await serve(said)
                        with contextlib.suppress(OSError):  # it may have been closed in return
                            client.shutdown(socket.SHUT_WR)
                await asyncio.sleep(0.2)
        assert seen.calls == [(way, *(OPERATOR if family == socket.AF_UNIX else LOOPBACK))] * 2

    run(serving, loop)


@LOOPS
@FAMILIES
@WAYS
def test_a_connection_that_was_silent_is_the_same_client_when_it_speaks(
    loop: Any, family: socket.AddressFamily, way: str, tmp_path: Path
) -> None:
    """Silent before it is served, between two requests, and then reset: nothing is said by it after that."""

    async def serving() -> None:
        seen = Seen()
        with listening(family, tmp_path) as listener:
            async with taken(seen, listener, way) as serve:
                client, said = connected(listener), asked()
                protocol = await serve(said)
                await asyncio.sleep(0.1)
                assert seen.calls == []
                for number in (1, 2):
                    client.sendall(said)
                    await until(lambda number=number: len(seen.calls) == number)
                    await asyncio.sleep(0.05)
                client.sendall(said)
                reset(client)
                await until(protocol.transport.is_closing)
        who = OPERATOR if family == socket.AF_UNIX else LOOPBACK
        ways = [way, "direct", "direct"]  # what came before is found again
        assert len(seen.calls) in (2, 3)
        assert seen.calls == [(at, *who) for at in ways][: len(seen.calls)]

    run(serving, loop)


def test_what_is_no_socket_is_nobody() -> None:
    class Pipe:
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return None

    class Other(Pipe):
        family = socket.AF_NETLINK if hasattr(socket, "AF_NETLINK") else -1

        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return self if name == "socket" else None

        def getpeername(self) -> Any:
            return ("127.0.0.1", 1)

    found: list[Peer | None] = [peer_of(made, tls=False) for made in (Pipe(), Other())]  # type: ignore[arg-type]
    assert found == [None, None]


@pytest.mark.anyio
async def test_who_resets_connections_does_not_become_the_first_user(database: Database, tmp_path: Path) -> None:
    """Many, since the first goes the ordinary way and the next ones find its head known."""
    settings = settings_for(database.url, tmp_path, public_url="https://crew.example.com", host="0.0.0.0")
    content = httpx2.Request("POST", "http://x/api/v1/bootstrap", json=ADA).content
    lines = ("POST /api/v1/bootstrap HTTP/1.1", "host: x", "content-type: application/json")
    said = "\r\n".join((*lines, f"content-length: {len(content)}", "", "")).encode() + content
    with listening(socket.AF_INET, tmp_path) as listener:
        for _ in range(20):
            client = connected(listener)
            client.sendall(said)
            reset(client)
        server = uvicorn.Server(configuration(create_app(settings, passwords=Passwords(Cost(1, 64, 1))), lifespan="on"))
        task = asyncio.create_task(server._serve([listener]))
        try:
            await until(lambda: server.started)
            port = listener.getsockname()[1]
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                refused = await http.post("/api/v1/bootstrap", json=ADA)
                assert refused.status_code == 403, refused.text
                await asyncio.sleep(1)
                assert (await http.get("/api/v1/system/setup-status")).json()["needs_bootstrap"] is True
        finally:
            server.should_exit = True
            await task
