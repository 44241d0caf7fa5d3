"""HTTP/1.1 for the clients of tests, over sockets and with a parser in C. It took httpx's own transport a third of the
processor time of a test that makes calls.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import httptools
import httpx2

Place = tuple[str, int]
LARGE = 1 << 16  # bytes that wait to be read, at most


class Line(asyncio.Protocol):
    """One connection: a request, its answer, and then the next one."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.begin(head=False)

    def begin(self, *, head: bool) -> None:
        self.status, self.headers, self._head = 0, list[tuple[bytes, bytes]](), head
        self._parts, self._waiting = list[bytes](), 0
        self.over, self.keeps, self._lost = False, False, False
        self._news = asyncio.Event()
        self._parser = httptools.HttpResponseParser(self)
        if self.transport is not None:  # the last answer may have been larger than what is read ahead
            self.transport.resume_reading()

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    # ---- of the connection -------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._lost = True
            self.close()
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        if self.status and not self.over and b"content-length" not in dict(self.headers):
            self.over = b"transfer-encoding" not in dict(self.headers)  # its end is the answer's
        self._lost = True
        self._news.set()
        self._room.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # ---- of the parser -----------------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if (status := self._parser.get_status_code()) < 200:
            self.headers.clear()
            return
        self.status = status
        if self._head:
            self.on_message_complete()

    def on_body(self, body: bytes) -> None:
        if self.status:
            self._parts.append(body)
            self._waiting += len(body)
            if self._waiting > LARGE and self.transport is not None:
                self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status:
            self.over, self.keeps = True, self._parser.should_keep_alive()

    # ---- of who asks -------------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        if self.open:
            assert self.transport is not None
            self.transport.write(data)
            await self._room.wait()

    async def answered(self, seconds: float | None) -> None:
        while not self.status:
            await self._more(seconds)

    async def body(self, seconds: float | None) -> AsyncIterator[bytes]:
        while True:
            parts, self._parts, self._waiting = self._parts, [], 0
            if parts:
                yield b"".join(parts)
            if self.over and not self._parts:
                return
            if not self._parts:
                if self.open:
                    assert self.transport is not None
                    self.transport.resume_reading()
                await self._more(seconds)

    async def _more(self, seconds: float | None) -> None:
        if self._lost and not self.over:
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            raise httpx2.ReadTimeout("") from None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class Answer(httpx2.AsyncByteStream):
    def __init__(self, pool: "Transport", place: Place, line: Line, seconds: float | None) -> None:
        self._pool, self._place, self._line, self._seconds = pool, place, line, seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._line.body(self._seconds):
            yield part

    async def aclose(self) -> None:
        self._pool.gives_back(self._place, self._line)


class Transport(httpx2.AsyncBaseTransport):
    """Connections without TLS, kept as long as the client."""

    def __init__(self) -> None:
        self._idle: dict[Place, list[Line]] = defaultdict(list)
        self._lines: set[Line] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        place, limits = (request.url.host, request.url.port or 80), request.extensions.get("timeout", {})
        line = await self._line(place, limits.get("connect"))
        try:
            line.begin(head=request.method == "HEAD")
            await self._ask(line, request)
            await line.answered(limits.get("read"))
        except BaseException:
            self._forget(line)
            raise
        stream = Answer(self, place, line, limits.get("read"))
        return httpx2.Response(
            line.status, headers=line.headers, stream=stream, extensions={"http_version": b"HTTP/1.1"}
        )

    async def _line(self, place: Place, seconds: float | None) -> Line:
        while self._idle[place]:
            line = self._idle[place].pop()
            if line.open:
                return line
            self._forget(line)
        try:
            async with asyncio.timeout(seconds):
                _, made = await asyncio.get_running_loop().create_connection(Line, *place)
        except TimeoutError:
            raise httpx2.ConnectTimeout("") from None
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
        self._lines.add(made)
        return made

    async def _ask(self, line: Line, request: httpx2.Request) -> None:
        fields = request.headers.raw
        lines = [request.method.encode() + b" " + request.url.raw_path + b" HTTP/1.1"]
        head = b"\r\n".join([*lines, *[name + b": " + value for name, value in fields], b"", b""])
        if isinstance(request.stream, httpx2.ByteStream):
            await line.send(head + b"".join([part async for part in request.stream]))
            return
        await line.send(head)
        chunked = "transfer-encoding" in request.headers
        async for part in request.stream:  # type: ignore[union-attr]
            if line.status:
                break  # it was refused
            if part:
                await line.send(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        if chunked:
            await line.send(b"0\r\n\r\n")

    def gives_back(self, place: Place, line: Line) -> None:
        if line.over and line.keeps and line.open:
            self._idle[place].append(line)
        else:
            self._forget(line)

    def _forget(self, line: Line) -> None:
        line.close()
        self._lines.discard(line)

    async def aclose(self) -> None:
        for line in self._lines:
            line.close()
        self._lines.clear()
        self._idle.clear()
