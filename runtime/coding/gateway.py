"""The gateway of a coding agent: the only way to the API of its model, and to the MCP servers of its run.

It listens where only the sandbox can reach it. The coding agent gets a placeholder for the key, which is valid only
here; the gateway inserts the key itself. It reserves the maximum usage of each model call before it makes the call, and
meters the answer. See docs/coding-agents.md.
"""

import asyncio
import contextlib
import importlib
import json
import re
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import h11

from resolvers.errors import Refusal
from resolvers.instance.outbound import Policy, guarded_client
from resolvers.instance.telemetry import log
from runtime.adapters.conversation import TokenUsage
from runtime.adapters.native.client import CONNECT, SILENCE, UNAUTHORIZED
from runtime.coding.allowance import Exhausted
from runtime.coding.asked import CallAsked, Unmeasured, asked_of
from runtime.coding.bodies import ARRIVES, LARGEST, TOGETHER, Bodies, Body, TooLarge, TooMuch
from runtime.coding.keys import KeyStandIn
from runtime.coding.metering import Meter, Reading, is_free, reading_of
from runtime.coding.older_transport import Announced, Rewriting
from runtime.sandbox.boundary import Network

LARGEST_ANSWERS: Final = 256 << 20
"""The most bytes of answers of a run's MCP servers together."""
AT_ONCE: Final = 32
MOST_OPEN: Final = 128
"""Connections, of which more than are served wait for their turn; others are closed."""
LINGERS: Final = 2.0
"""Seconds in which a refused client may finish sending, so that it reads the reason."""
PIECE: Final = 64 << 10
OF_A_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"host", b"content-length", b"accept-encoding", b"expect",
    }
)  # fmt: skip
REFUSED: Final = (401, 403)
CLIMBS: Final = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)
"""Path parts that a client or a server may resolve to another path."""
MODEL: Final = "model"
OF_KEYS: Final = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
"""Headers in which the APIs of models take their key."""
LOOPBACK: Final = "127.0.0.1"
FIRST_PORT: Final = 8080


@dataclass(frozen=True, slots=True)
class Metered:
    """An answered model call. `usage` is None if the answer reported none; `wrote` is its length in bytes."""

    usage: TokenUsage | None
    wrote: int
    ms: int


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """The provider refuses the key: no further call can change that."""

    status: int


@dataclass(frozen=True, slots=True)
class ProviderWay:
    """The destination of requests below `/<name>`. `policy`: for addresses that users named; None for the operator's
    own. `announced`: for a server whose stream announces the message address.
    """

    address: str
    stand_in: KeyStandIn | None = None
    policy: Policy | None = None
    announced: Announced | None = None

    def leads_to(self, rest: str) -> str | None:
        if self.announced is not None:
            return self.announced.leads_to(rest)
        return f"{self.address.rstrip('/')}/{rest}" if rest else self.address


class Reservation(Protocol):
    async def settle(self, became: Metered | KeyRefused | None) -> None:
        """None: of a call that has used nothing."""


class Account(Protocol):
    """The account of the model calls."""

    async def reserve(self, call: CallAsked) -> Reservation:
        """Raises Exhausted if the call may not be made; may wait for calls under way."""


def port_beside(crew: Network) -> int:
    """The first one that nothing else listens at."""
    taken = {port for _, port in crew.listens}
    return next(port for port in range(FIRST_PORT, FIRST_PORT + len(taken) + 1) if port not in taken)


class ModelGateway:
    """The gateway beside the network of the crew's processes."""

    def __init__(
        self, ways: Mapping[str, ProviderWay], crew: Network, account: Account, *, folder: Path | None = None
    ) -> None:
        """`folder`: the place of large bodies."""
        self._ways, self._crew, self._account = dict(ways), crew, account
        self.bodies = Bodies(folder)
        # Taking a body apart needs several times its size.
        self.reading = asyncio.Semaphore(1)
        self._port = port_beside(crew)
        self._tasks = set[asyncio.Task[None]]()
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def address(self) -> str:
        """The address of the model's API for the coding agent."""
        return f"http://{LOOPBACK}:{self._port}/{MODEL}"

    @property
    def listens(self) -> Sequence[tuple[str, int]]:
        return (*self._crew.listens, (LOOPBACK, self._port))

    @property
    def environment(self) -> Mapping[str, str]:
        return self._crew.environment

    @contextlib.asynccontextmanager
    async def serve(self, listening: Sequence[socket.socket]) -> AsyncIterator[None]:
        async with self._crew.serve(listening[:-1]), self._answering(listening[-1]):
            yield

    @contextlib.asynccontextmanager
    async def _answering(self, listener: socket.socket) -> AsyncIterator[None]:
        http, tls = await asyncio.to_thread(_load)
        timeout = http.Timeout(SILENCE, connect=CONNECT)
        limits = http.Limits(max_connections=AT_ONCE)
        # A redirect would carry the key, and the conversation, to another server.
        policies = {way.policy for way in self._ways.values() if way.policy is not None}
        async with (
            http.AsyncClient(verify=tls, follow_redirects=False, timeout=timeout, limits=limits) as client,
            contextlib.AsyncExitStack() as guarded,
        ):
            self._http, self._clients = http, dict[Policy | None, Any]({None: client})
            for policy in policies:
                opened = guarded_client(policy, seconds=SILENCE, most=LARGEST_ANSWERS)
                self._clients[policy], _ = await guarded.enter_async_context(opened)
            server = await asyncio.start_server(self._accept, sock=listener)
            try:
                yield
            finally:
                server.close()
                await self.close()

    async def close(self) -> None:
        """Cancels the calls under way; their known usage has been reported by then."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MOST_OPEN:
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._slots:
                await _Line(self, reader, writer).serve()
        except (OSError, h11.ProtocolError, asyncio.IncompleteReadError):
            pass  # it has gone, or speaks no HTTP
        except Exception:
            log.exception("gateway_failed")
        finally:
            writer.close()


class _Line:
    """One connection, on which requests follow each other."""

    def __init__(self, gateway: ModelGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.gateway, self._reader, self._writer = gateway, reader, writer
        self._wire = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        while True:
            request = await self._next()
            if not isinstance(request, h11.Request):
                return
            try:
                body = await self._body(request)
            except TooLarge:
                return await self._refuse(413, f"A request can have at most {LARGEST >> 20} MiB")
            except TooMuch:
                return await self._refuse(429, f"Concurrent requests of a run can have at most {TOGETHER >> 20} MiB")
            except TimeoutError:
                return await self._refuse(408, f"A request has {ARRIVES:.0f} seconds to arrive")
            if body is None:
                return
            try:
                await self._answer(request, body)
            finally:
                await body.close()
            if self._wire.our_state is not h11.DONE or self._wire.their_state is not h11.DONE:
                return
            self._wire.start_next_cycle()

    async def _next(self) -> Any:
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            if self._wire.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._wire.receive_data(await self._reader.read(PIECE))
        return event

    async def _body(self, request: h11.Request) -> Body | None:
        """None if the connection broke. Raises TooLarge, TooMuch and TimeoutError."""
        announced = next((value for name, value in request.headers if name == b"content-length"), b"0")
        body = self.gateway.bodies.receive(int(announced))
        whole = False
        try:
            async with asyncio.timeout(ARRIVES):
                while isinstance(event := await self._next(), h11.Data):
                    await body.add(event.data)
            whole = isinstance(event, h11.EndOfMessage)
        finally:
            if not whole:
                await body.close()
        return body if whole else None

    async def _refuse(self, status: int, message: str) -> None:
        """The last word of a connection, on which more may be on its way."""
        await self._say(status, message)
        self._writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGERS):
                while await self._reader.read(PIECE):
                    pass

    async def _send(self, *events: Any) -> None:
        for event in events:
            self._writer.write(self._wire.send(event) or b"")
        await self._writer.drain()

    async def _say(self, status: int, message: str) -> None:
        body = json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        await self._send(h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage())

    async def _answer(self, request: h11.Request, body: Body) -> None:
        name, _, rest = request.target.decode("ascii", "replace").lstrip("/").partition("/")
        way = self.gateway._ways.get(name)
        if way is None or (url := way.leads_to(rest)) is None:
            return await self._say(404, "There is nothing here")
        if name != MODEL:
            return await self._forward(way, url, request, body)
        path = urlsplit(f"http://{LOOPBACK}/{rest}").path
        reading = None if CLIMBS.search(path) else reading_of(path)
        if reading is not None:
            return await self._call(way, url, request, body, reading)
        if CLIMBS.search(path) or not is_free(request.method, path):
            return await self._say(404, "Only model calls are allowed here")
        await self._forward(way, url, request, body)

    async def _call(self, way: ProviderWay, url: str, request: h11.Request, body: Body, reading: Reading) -> None:
        try:
            async with self.gateway.reading:
                call = await asyncio.to_thread(asked_of, request, await body.whole())
            reservation = await self.gateway._account.reserve(call)
        except Unmeasured as unmeasured:
            return await self._say(400, str(unmeasured))
        except Exhausted:
            return await self._say(403, "The run has reached its limit")
        became: Metered | KeyRefused | None = None
        try:
            if self._reader.at_eof():
                return  # it has not waited for its turn
            began, meter = asyncio.get_running_loop().time(), None
            try:
                async with self._sent(way, url, request, body) as answer:
                    if answer is None:
                        return
                    if answer.status_code in REFUSED:
                        became = KeyRefused(answer.status_code)
                        # What it says may quote the key.
                        return await self._say(answer.status_code, "The provider refuses the key")
                    streamed = "event-stream" in answer.headers.get("content-type", "")
                    meter = Meter(reading, streamed=streamed) if answer.status_code < 300 else None
                    await self._pass_on(answer, meter)
            finally:
                if meter is not None:
                    ms = round((asyncio.get_running_loop().time() - began) * 1000)
                    became = Metered(meter.usage, meter.length, ms)
        finally:
            await reservation.settle(became)

    async def _forward(self, way: ProviderWay, url: str, request: h11.Request, body: Body) -> None:
        async with self._sent(way, url, request, body) as answer:
            if answer is None:
                return
            streamed = "event-stream" in answer.headers.get("content-type", "")
            await self._pass_on(answer, None, Rewriting(way.announced) if streamed and way.announced else None)

    @contextlib.asynccontextmanager
    async def _sent(self, way: ProviderWay, url: str, request: h11.Request, body: Body) -> AsyncIterator[Any]:
        """The answer, whose body follows; None if there is none, which has been reported then."""
        try:
            key = way.stand_in.key if way.stand_in is not None else None
            used = key.secret if key is not None else ""
            answer = await self._once(way, url, request, body)
            if answer.status_code == UNAUTHORIZED and key is not None and await key.go_back(used):
                await answer.aclose()
                answer = await self._once(way, url, request, body)
        except (self.gateway._http.HTTPError, self.gateway._http.InvalidURL, Refusal) as error:
            log.info("gateway_unreachable", error=type(error).__name__)
            await self._say(502, "The provider could not be reached")
            yield None
            return
        try:
            yield answer
        finally:
            await answer.aclose()

    async def _once(self, way: ProviderWay, url: str, request: h11.Request, body: Body) -> Any:
        client = self.gateway._clients[way.policy]
        # What is asked twice at once is answered in one encoding, which can be read on the way.
        headers = [*_headers(request.headers, way.stand_in), (b"accept-encoding", b"identity")]
        content: Any = body.pieces() if body.is_on_disk else await body.whole()
        if body.is_on_disk:
            headers.append((b"content-length", str(body.size).encode()))
        sent = client.build_request(request.method.decode(), url, headers=headers, content=content)
        return await client.send(sent, stream=True)

    async def _pass_on(self, answer: Any, meter: Meter | None, rewriting: Rewriting | None = None) -> None:
        kept = [(key, value) for key, value in answer.headers.raw if key.lower() not in OF_A_HOP]
        await self._send(h11.Response(status_code=answer.status_code, headers=kept))
        try:
            async for piece in answer.aiter_raw():
                if meter is not None:
                    meter.feed(piece)
                await self._send(h11.Data(piece if rewriting is None else rewriting.feed(piece)))
        except (self.gateway._http.HTTPError, Refusal):
            raise ConnectionAbortedError from None  # what was cut on one side is cut on the other
        if meter is not None:
            meter.end()
        rest = [] if rewriting is None else [h11.Data(rewriting.end())]
        await self._send(*rest, h11.EndOfMessage())


def _headers(given: Iterable[tuple[bytes, bytes]], stand_in: KeyStandIn | None) -> Iterator[tuple[bytes, bytes]]:
    for name, value in given:
        if name in OF_A_HOP:
            continue
        if stand_in is not None and name.decode("ascii", "replace") in stand_in.names:
            value = value.replace(stand_in.shown.encode(), stand_in.key.secret.encode())
        yield name, value


def _load() -> tuple[Any, Any]:
    http = importlib.import_module("httpx2")
    return http, http.create_ssl_context()
