"""The floor of fan-out: a bare protocol that makes an event's frame once and writes it to every transport.

    python -m bench.servers.floor_fanout PORT

`GET /publish?<name>` sends an event of that name; any other request that asks for an upgrade becomes a listener.
"""

import asyncio
import base64
import hashlib
import sys

import orjson
import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
LISTENERS: set[asyncio.Transport] = set()


def frame(body: bytes) -> bytes:
    return bytes((0x81, 126)) + len(body).to_bytes(2, "big") + body


def event(name: str) -> bytes:
    """As long as the service's."""
    payload = {"id": "c" + "0" * 24, "name": name, "slug": "a-crew-of-the-bench"}
    return orjson.dumps(
        {"type": "crew.updated", "channel": "workspace:c" + "0" * 24, "payload": payload, "cursor": "0" * 52}
    )


class Protocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer, self.upgraded = b"", False

    def connection_lost(self, error: Exception | None) -> None:
        LISTENERS.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.upgraded or b"\r\n\r\n" not in self.buffer:
            return
        head, self.buffer = self.buffer, b""
        if head.startswith(b"GET /publish?"):
            made = frame(event(head[13 : head.index(b" ", 13)].decode()))
            for listener in LISTENERS:
                listener.write(made)
        key = next(
            (line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")),
            None,
        )
        if key is None:
            return self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        upgrade = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        )
        self.transport.write(upgrade + accept + b"\r\n\r\n")
        self.upgraded = True
        LISTENERS.add(self.transport)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
