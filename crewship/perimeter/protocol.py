"""uvicorn's HTTP protocol with two changes: an answer's head travels with its first body, and requests have limits.

uvicorn writes the head at once and the body after it: two system calls an answer, and for each header two regular
expressions. ASGI has the server wait for the first body anyway, and one look over the joined head finds a line break
that does not belong there. On a small answer with some fifteen headers, this is a fifth of the server's work.

A large body is written in parts, as the client takes it: at once, it would hold everybody for as long as the system
takes to copy it.

Header lines that all answers share come as bytes (`LINES`), and are neither put together nor looked at again.

For answers that go on: they hear that the server ends, and can cut off a client that takes nothing.

The parser keeps what it is sent until a line is complete, so nothing but the protocol can bound a head. It counts only
where a head or a line of a body's framing is longer than one read, which honest requests are not. How long a request
may take is the table's (`crewship.perimeter.connections`).
"""

import asyncio
import functools
from collections.abc import Coroutine
from typing import Any, NamedTuple

import httptools

from crewship.perimeter.accepted import Why, fault
from crewship.perimeter.connections import ANSWER, BODY, DEAF, FULL, HEAD, connections
from crewship.perimeter.heads import Fields, Header, Known, Target, heads
from crewship.perimeter.line import PEER, Peer, peer_of
from resolvers.instance.unseen import unseen
from resolvers.problem import problem

with unseen("watchfiles"):  # reloads a program under development
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

Message = Any
HEAD_LIMIT = 64 * 1024  # bytes of a request line with its headers, or of what stands between two parts of a body
HEADERS = 100  # of a request
PART = 256 * 1024  # bytes of a body that are written at once
URL_LIMIT = 16 * 1024  # bytes
AHEAD = 100  # requests that a client may send before the first of them is answered
LINES = "crewship.lines"  # of a scope's extensions: the start of an answer may bring whole header lines under this name
ABORT = "crewship.abort"  # a message of the application: the connection ends at once, even with unsent data


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    head: bytes = b""
    ending: bool = False  # whether the application still has to hear that the server ends

    async def receive(self) -> Any:
        """When the server ends, an empty message follows the body once, even if the body is read after that."""
        if self.ending and not (self.body or self.more_body or self.disconnected or self.response_complete):
            self.ending = False
            return {"type": "http.request", "body": b"", "more_body": False}
        return await super().receive()

    async def send(self, message: Message) -> None:
        if message["type"] == ABORT:
            return self.transport.abort()
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"expected http.response.start, got {kind}")
            self.response_started, self.waiting_for_100_continue = True, False
            self.head = self._head(message["status"], message.get("headers", ()), message.get(LINES, b""))
        elif self.response_complete or kind != "http.response.body":
            raise RuntimeError(
                f"unexpected {kind} in an answer that has {'ended' if self.response_complete else 'started'}"
            )
        else:
            body = memoryview(message.get("body", b""))
            while len(body) > PART:
                self._body(body[:PART], True)
                await _taken(self.flow)
                if self.disconnected:
                    return
                body = body[PART:]
            self._body(body, message.get("more_body", False))

    def _head(self, status: int, headers: Any, more: bytes) -> bytes:
        lines = []
        for name, value in (*self.default_headers, *headers):
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        return b"%b%b%b\r\n" % (STATUS_LINE[status], _joined(lines), more)

    def _body(self, body: memoryview | bytes, more: bool) -> None:
        head, self.head = self.head, b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            chunk = (b"%x\r\n" % len(body), body, b"\r\n") if body else ()
            body = b"".join((*chunk, b"" if more else b"0\r\n\r\n"))
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the body is longer than its content-length")
        if head or body:
            self.transport.writelines((head, body))
        if more:
            return
        if self.expected_content_length and not self.chunked_encoding:
            raise RuntimeError("the body is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


async def _taken(flow: FlowControl) -> None:
    """Lets other tasks run, and waits until the client has read most of the output, or is gone."""
    if flow.write_paused:
        await flow.drain()
    else:
        await asyncio.sleep(0)


def _joined(lines: list[bytes]) -> bytes:
    head = b"".join(lines)
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
        raise RuntimeError("a header contains a line break")
    return head


class Whole(NamedTuple):
    """An answer, but for the headers of the server. `lines`: header lines that are the same for every answer."""

    status: int
    headers: list[Header]
    lines: bytes
    body: bytes


class Exchange:
    """A request that came whole, and its answer, sent whole: what the protocol asks of a cycle, without ASGI."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete", "response_started")

    def __init__(self) -> None:
        self.response_started = self.response_complete = self.disconnected = False
        self.keep_alive = True
        self.message_event = DEAF_EVENT

    async def run(self, protocol: "Protocol", answering: Coroutine[Any, Any, Whole]) -> None:
        """An answer that cannot be sent ends the connection, whose client would wait for it."""
        try:
            await self._answer(protocol, await answering)
        except Exception as error:
            protocol.logger.error("an answer could not be sent", exc_info=error)
            protocol.transport.abort()

    async def _answer(self, protocol: "Protocol", whole: Whole) -> None:
        status, headers, more, body = whole
        if protocol.flow.write_paused:
            await protocol.flow.drain()
        if self.disconnected:
            return
        lines = [b"%b: %b\r\n" % header for header in (*protocol.server_state.default_headers, *headers)]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        self.response_started, head = True, b"%b%b%b\r\n" % (STATUS_LINE[status], _joined(lines), more)
        if len(body) <= PART:
            protocol.transport.writelines((head, body))
        else:
            await self._write_in_parts(protocol, head, memoryview(body))
            if self.disconnected:
                return
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()

    async def _write_in_parts(self, protocol: "Protocol", head: bytes, body: memoryview) -> None:
        protocol.transport.writelines((head, body[:PART]))
        while rest := body[PART:]:
            await _taken(protocol.flow)
            if self.disconnected:
                return
            protocol.transport.write(rest[:PART])
            body = rest


class _DeafEvent:
    """An event that is never awaited, for a request that is complete."""

    def set(self) -> None:
        pass


DEAF_EVENT = _DeafEvent()


class ParsingRefused(Exception):
    """Raised inside the parser, which then reads no more."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


URL_TOO_LONG = Why(414, "The URL is too long")
HEAD_TOO_LARGE = Why(431, "The headers are too large")
UNREADABLE = Why(400, "Invalid HTTP request received.")
NO_ROOM = Why(503, "Too many connections")
TOO_FAR_AHEAD = Why(429, "Too many requests are waiting on this connection")


class Protocol(HttpToolsProtocol):
    stage = HEAD
    turns = 0  # requests that have begun
    body_bytes = 0  # of the last one's body
    place: str | None = None
    seen = (HEAD, 0, -1)
    since = 0.0
    _uncounted = -1  # the request whose head continues beyond the read it began in
    _unread = 0  # bytes since then, or since the last part of the body
    _why: Why | None = None  # the parser hides what was raised inside it
    _between = True  # two messages, as far as the parser has read
    peer: Peer
    _direct: Any = None  # the application's way without ASGI, where it has one

    # ---- the connection ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.loop.time()
        peer = peer_of(transport, tls=self.scheme == "https")
        if peer is None:
            self.stage = DEAF
            return transport.abort()
        self.peer, self._direct = peer, getattr(self.app, "direct", None)
        if not connections.enter(self):
            self.stage = DEAF
            transport.write(self._refusal(NO_ROOM))
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        connections.leave(self)
        super().connection_lost(error)

    def handle_websocket_upgrade(self) -> None:
        made: Any = functools.partial(self.ws_protocol_class, peer=self.peer)  # type: ignore[misc, arg-type, call-arg]
        self.ws_protocol_class = made
        super().handle_websocket_upgrade()
        connections.become_socket(self, self.transport.get_protocol())  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if len(data) <= HEAD_LIMIT:
            at_rest = (
                self._direct is not None and self._between and (self.cycle is None or self.cycle.response_complete)
            )
            if at_rest and (known := heads.find(self.peer, data)) is not None and self._take(known):
                return
            turns = self.turns
            self._feed(data)
            if at_rest and self.turns == turns + 1 and self.stage == ANSWER and self._between:
                self._remember(data)
            return
        for start in range(0, len(data), HEAD_LIMIT):
            if self.parser is not None:
                self._feed(data[start : start + HEAD_LIMIT])

    def _feed(self, data: bytes) -> None:
        if self.stage >= FULL:
            return
        try:
            self.parser.feed_data(data)
            if self.stage != ANSWER and not self._is_bounded(len(data)):
                self._refuse(self._why or HEAD_TOO_LARGE)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._unsupported_upgrade_warning()
        except httptools.HttpParserError:
            self._refuse(self._why or UNREADABLE)

    def _take(self, known: Known) -> bool:
        """Begins the answer to a request that need not be parsed; False where only ASGI serves it."""
        if self.stage >= FULL or (answering := self._direct(self.peer, known)) is None:
            return False
        self.stage, self.body_bytes = ANSWER, len(known.body)
        self.turns += 1
        self.cycle = exchange = Exchange()  # type: ignore[assignment]
        task = self.loop.create_task(exchange.run(self, answering))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        return True

    def _remember(self, data: bytes) -> None:
        """Caches the parsed result of one read that was exactly one request."""
        scope = self.scope
        if scope["http_version"] == "1.1":
            target = Target(scope["method"], scope["path"], scope["raw_path"], scope["query_string"])
            heads.keep(self.peer, data, target, self.url, Fields(self.headers, self.body_bytes))

    def _is_bounded(self, size: int) -> bool:
        """Returns true if a head or body may continue beyond this read."""
        if self.stage == HEAD:
            self._why = self._fault()
            if self._uncounted != self.turns:
                self._uncounted, self._unread = self.turns, 0  # the read may hold the end of another request
                size = 0
        self._unread += size
        return self._why is None and self._unread <= HEAD_LIMIT

    def _fault(self) -> Why | None:
        if not self.turns:  # empty lines, which may stand before the first request
            return None
        if len(self.url) > URL_LIMIT:
            return URL_TOO_LONG
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        return HEAD_TOO_LARGE if len(self.headers) > HEADERS or size > HEAD_LIMIT else None

    def _refuse(self, why: Why) -> None:
        """Sends the reason if the client can read it. An answer under way comes first, then the connection ends."""
        cycle = self.cycle
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete:
            if self.stage != BODY:
                self.stage, cycle.keep_alive = FULL, False
                return
            if cycle.response_started or self.pipeline:
                return self.transport.abort()
            cycle.disconnected = True
            cycle.message_event.set()
        self.stage = DEAF
        # what the client still sends is thrown away: closing at once would take the answer from it
        self.flow.resume_reading()
        self.transport.write(self._refusal(why))
        self.transport.write_eof()

    def _refusal(self, why: Why) -> bytes:
        body = problem(why.status, why.detail, "")
        lines = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        fixed = b"content-type: application/json\r\nx-content-type-options: nosniff\r\n"
        fixed += b"cache-control: no-store\r\nconnection: close\r\n"
        return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[why.status], lines, fixed, len(body), body)

    # ---- what the parser says ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.stage, self._between = HEAD, False
        self.turns += 1
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.stage == HEAD:  # bytes after a body are not read
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) > URL_LIMIT or len(self.headers) > HEADERS or self._uncounted == self.turns:
            self._why = self._fault()
        if len(self.pipeline) >= AHEAD:
            self._why = TOO_FAR_AHEAD
        if self._why is None:
            self._why = fault(self.parser.get_http_version(), self.headers)
        if self._why is not None:
            raise ParsingRefused(self._why)
        self.stage, self.body_bytes, self._unread = BODY, 0, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.stage, self._between = ANSWER, self.parser.should_keep_alive() and not self.parser.should_upgrade()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn has it, but for the timer of each answer: how long a connection may be idle is the table's."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    # ---- the application --------------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle
        extensions: Any = {LINES: {}, PEER: self.peer}
        cycle.scope["extensions"] = extensions
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """An application that waits for its client to leave is given an empty message: it is to end its answer."""
        super().shutdown()
        connections.end()
        if isinstance(self.cycle, Cycle) and not self.cycle.response_complete:
            self.cycle.ending = True
            self.cycle.message_event.set()
