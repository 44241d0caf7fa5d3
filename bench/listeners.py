"""A thousand listeners in one process: raw sockets that note when an event reaches them."""

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

STAMP = re.compile(rb"stamp-(\d+)-")
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def stamp() -> str:
    """The name of an event: when it was asked for."""
    return f"stamp-{time.monotonic_ns()}-"


def masked(text: str) -> bytes:
    """A client's text frame (RFC 6455, 5.3)."""
    body, mask = text.encode(), os.urandom(4)
    head = bytes((0x81, 0x80 | len(body))) if len(body) < 126 else bytes((0x81, 0xFE)) + len(body).to_bytes(2, "big")
    return head + mask + bytes(byte ^ mask[place & 3] for place, byte in enumerate(body))


@dataclass(frozen=True)
class Dialect:
    """How one listens: path, subprotocol, what is said after the handshake, and what the last answer to it holds."""

    path: str
    subprotocol: str = ""
    say: tuple[str, ...] = ()
    ready: bytes = b" 101 "
    first: str = ""
    """Said first, and answered before the rest is said."""
    answered: bytes = b""


def rest_dialect(ticket: str, workspace: str) -> Dialect:
    subscribe = json.dumps({"type": "subscribe", "channel": f"workspace:{workspace}"})
    return Dialect(f"/ws?token={ticket}", say=(subscribe, '{"type":"ping"}'), ready=b'"pong"')


def graphql_dialect(ticket: str, workspace: str) -> Dialect:
    document = (
        "subscription($ws: ID!) { workspaceEvents(workspaceId: $ws) {"
        " __typename ... on CrewUpdatedEvent { id name slug cursor } } }"
    )
    subscribe = json.dumps(
        {"id": "1", "type": "subscribe", "payload": {"query": document, "variables": {"ws": workspace}}}
    )
    init = json.dumps({"type": "connection_init", "payload": {"token": ticket}})
    return Dialect(
        "/graphql", "graphql-transport-ws", (subscribe, '{"type":"ping"}'), b'"pong"', init, b"connection_ack"
    )


@dataclass
class Arrivals:
    """When events arrived, in ns after their stamp."""

    delays: list[int] = field(default_factory=list)


class Listener(asyncio.Protocol):
    def __init__(
        self, dialect: Dialect, arrivals: Arrivals, ready: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        self.dialect, self.arrivals, self.ready, self.failed = dialect, arrivals, ready, failed
        self.state, self.tail = "handshake", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        lines = [
            f"GET {self.dialect.path} HTTP/1.1".encode(),
            b"Host: 127.0.0.1",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
        ]
        lines += [b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Version: 13"]
        lines += [b"Sec-WebSocket-Protocol: " + self.dialect.subprotocol.encode()] if self.dialect.subprotocol else []
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.tail += data
        if self.state == "ready":
            last = 0
            for match in STAMP.finditer(self.tail):
                self.arrivals.delays.append(now - int(match[1]))
                last = match.end()
            self.tail = self.tail[last:][-64:]
        else:
            self._advance()

    def _advance(self) -> None:
        if self.state == "handshake" and b"\r\n\r\n" in self.tail:
            if b" 101 " not in self.tail:
                return self.failed(self.tail[:300].decode("latin-1"))
            self.state = "introduction" if self.dialect.first else "asking"
            for text in (self.dialect.first,) if self.dialect.first else self.dialect.say:
                self.transport.write(masked(text))
            if self.state == "asking" and not self.dialect.say:
                return self._be_ready()
            self.tail = b""
        elif self.state == "introduction" and self.dialect.answered in self.tail:
            self.state, self.tail = "asking", b""
            for text in self.dialect.say:
                self.transport.write(masked(text))
        elif self.state == "asking" and self.dialect.ready in self.tail:
            self._be_ready()

    def _be_ready(self) -> None:
        self.state, self.tail = "ready", b""
        self.ready()


async def connect(
    port: int, number: int, dialect: Dialect, arrivals: Arrivals, seconds: float = 60
) -> list[asyncio.BaseTransport]:
    """That many listeners, all of them ready."""
    loop, done, counted, expected = asyncio.get_running_loop(), asyncio.Event(), 0, 0
    failures: list[str] = []

    def ready() -> None:
        nonlocal counted
        counted += 1
        if counted == expected:
            done.set()

    def failed(text: str) -> None:
        failures.append(text)
        done.set()

    transports: list[asyncio.BaseTransport] = []
    for start in range(0, number, 50):
        wanted = min(50, number - start)
        expected += wanted
        done.clear()
        made = await asyncio.gather(
            *[
                loop.create_connection(lambda: Listener(dialect, arrivals, ready, failed), "127.0.0.1", port)
                for _ in range(wanted)
            ]
        )
        transports += [transport for transport, _ in made]
        async with asyncio.timeout(seconds):
            await done.wait()  # a server may refuse more than these at once, while it does not know whose they are
        if failures:
            raise SystemExit(f"a listener was refused: {failures[0]}")
    return transports
