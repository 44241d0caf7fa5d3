"""uvicorn's WebSocket protocol with one more door: ready-made frames go straight to the transport.

An event for a thousand sockets is encoded and framed once, and each socket costs one write. The applications find a
socket's `SocketWire` at `scope["extensions"]["crewship.wire"]`; ASGI's own messages open and close it.
"""

import asyncio
import logging
import socket
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from crewship.perimeter.connections import connections
from crewship.perimeter.line import PEER, Peer

EXTENSION = "crewship.wire"
ROOM = 256 * 1024  # bytes that may wait for one reader; a slower one reads from the tables
# seconds without any progress until a reader counts as gone (contract: websocket.connection.write_timeout)
PATIENCE = 10.0

# For clients that vanish: the kernel probes after a minute of silence, and gives up unacknowledged data as late as a
# slow reader is disconnected.
KEEPALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 60,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 10,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
    (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", 18)): 30_000,  # milliseconds
}

# At INFO uvicorn writes the address of every socket, and with it the ticket.
log = logging.getLogger("crewship.websocket")
log.setLevel(logging.WARNING)


def frame(body: bytes) -> bytes:
    """An unmasked text frame (RFC 6455, 5.2)."""
    size = len(body)
    if size < 126:
        return b"\x81%c%b" % (size, body)
    if size < 65536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), body)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), body)


def _keep_alive(transport: BaseTransport) -> None:
    made = transport.get_extra_info("socket")
    if made is not None and made.family in (socket.AF_INET, socket.AF_INET6):
        for (level, option), value in KEEPALIVE.items():
            made.setsockopt(level, option, value)


def _drop(frame: bytes) -> None:
    pass


class Wire:
    """The way out of one socket."""

    __slots__ = ("_protocol", "congested", "write")
    frame = staticmethod(frame)

    def __init__(self, protocol: "WebSocketProtocol") -> None:
        self._protocol = protocol
        self.congested = False
        """True if the reader is so slow that more has to wait elsewhere."""
        self.write: Callable[[bytes], None] = _drop
        """Sends a frame that `frame` has made; before the handshake and after the end it is dropped. A thousand sockets
        are written to in one go, so this is the transport's own method and nothing around it.
        """

    def open(self) -> None:
        self.write = self._protocol.transport.write

    def close(self) -> None:
        self.write = _drop

    async def drained(self) -> None:
        """Until there is room. Who takes nothing for ten seconds is cut off. Raises ConnectionError when gone."""
        protocol, waiting = self._protocol, 0
        while not protocol.writable.is_set():
            before, waiting = waiting, protocol.transport.get_write_buffer_size()
            if before and waiting >= before:
                protocol.transport.abort()
                break
            try:
                async with asyncio.timeout(PATIENCE):
                    await protocol.writable.wait()
            except TimeoutError:
                continue
        if protocol.close_sent or protocol.disconnected or protocol.transport.is_closing():
            raise ConnectionError("the socket is closed")


class WebSocketProtocol(WebSocketsSansIOProtocol):
    place: str | None = None

    def __init__(self, *args: Any, peer: Peer, **options: Any) -> None:
        """`peer`: as the connection found it when it began."""
        super().__init__(*args, **options)
        self.peer = peer
        self.logger = log
        # clients that answer pings only while they read would be cut off; heartbeats are the applications'
        self.ping_interval = None
        self.wire = Wire(self)

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=ROOM)
        _keep_alive(transport)

    def handle_ping(self) -> None:
        """A client that pings without reading gets no more pongs, which would accumulate here."""
        output = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(output))

    def send_receive_event_to_app(self) -> None:
        """Text that is none ends the socket; that is the client's fault and leaves no traceback in the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.send_close(1007)
                return self.handle_parser_exception()
        super().send_receive_event_to_app()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions |= {EXTENSION: self.wire, PEER: self.peer}

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            self.wire.close()
        await super().send(message)
        if message["type"] == "websocket.accept" and not self.transport.is_closing():
            self.wire.open()
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # by a refusal; uvicorn would log it as an application that forgot to answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self.wire.congested = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.wire.congested = False

    # ---- after these nothing may be written ----------------------------------------------------------------------

    def handle_close(self, event: Frame) -> None:
        self.wire.close()
        super().handle_close(event)

    def handle_parser_exception(self) -> None:
        self.wire.close()
        super().handle_parser_exception()

    def shutdown(self) -> None:
        self.wire.close()
        super().shutdown()
        connections.end()

    def connection_lost(self, error: Exception | None) -> None:
        self.wire.close()
        connections.leave_socket(self)
        super().connection_lost(error)
