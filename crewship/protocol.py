"""uvicorn's HTTP protocol with one change: an answer's head travels with its first body, in one write.

uvicorn writes the head at once and the body after it: two system calls an answer, and for each header two regular expressions. ASGI has the
server wait for the first body anyway, and one look over the joined head finds a line break that does not belong there. On a small answer
of ours, which has some fifteen headers, this is a fifth of the server's work.

Header lines that are the same for every answer come as bytes (`LINES`), and are neither put together nor looked at again.

And two more for answers that go on: they hear that the server ends, and can cut off a client that takes nothing.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

Message = Any
LINES = "crewship.lines"  # of a scope's extensions: the start of an answer may bring whole header lines under this name
ABORT = "crewship.abort"  # a message of the application: the connection ends at once, whatever waits to be sent


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    head: bytes = b""

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
            raise RuntimeError(f"unexpected {kind} in an answer that has {'ended' if self.response_complete else 'started'}")
        else:
            self._body(message.get("body", b""), message.get("more_body", False))

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
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
            raise RuntimeError("a header holds a line break")
        return b"%b%b%b\r\n" % (STATUS_LINE[status], head, more)

    def _body(self, body: bytes, more: bool) -> None:
        head, self.head = self.head, b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
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


class Protocol(HttpToolsProtocol):
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle
        cycle.scope["extensions"] = {LINES: {}}
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """An application that waits for its client to leave is given an empty message instead: it is to end its answer."""
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.message_event.set()
