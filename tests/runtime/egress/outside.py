"""An internet of two hosts, on loopback sockets: names, addresses that the guard judges, and what is called at them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from resolvers.errors import Code, Refusal
from resolvers.instance.outbound import addresses_of
from runtime.egress import Bounds, EgressGateway, Endpoint, Policy, Seen
from runtime.egress.gateway import Refresh
from runtime.egress.stand_ins import StandIns
from tests.kernel.servers import Server, answering, certificate, response

LISTED, OTHER = "allowed.example.com", "other.example.net"
PUBLIC, ANOTHER, NO_TLS = "93.184.215.14", "93.184.215.15", "93.184.215.16"
ENTRIES = ("*.example.org", "10.0.0.1", "localhost.example.com", "inside.example.com", "ssh.example.com")
POLICY = Policy(domains=frozenset({LISTED, *ENTRIES}))
NAMES = {
    LISTED: [PUBLIC],
    OTHER: [ANOTHER],
    f"sub.{LISTED}": [ANOTHER],
    "one.example.org": [ANOTHER],
    "ssh.example.com": [NO_TLS],
    "localhost.example.com": ["127.0.0.1"],
    "inside.example.com": [PUBLIC, "169.254.169.254"],
}


@dataclass
class Outside:
    """`looked_up`: names that were asked for; `dialled`: addresses that were called."""

    tls: Server
    plain: Server
    names: dict[str, list[str]] = field(default_factory=lambda: dict(NAMES))
    looked_up: list[str] = field(default_factory=list)
    dialled: list[tuple[str, int]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    async def look_up(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        if Endpoint(host, port).is_address:
            return await addresses_of(host, port)
        if host not in self.names:
            raise Refusal(Code.BAD_GATEWAY, "Unknown host")
        return self.names[host]

    async def dial(self, addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
        self.dialled.append((addresses[0], port))
        opened = socket.socket()
        opened.setblocking(False)
        there = self.tls.port if port == 443 and addresses[0] != NO_TLS else self.plain.port
        try:
            await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", there))
        except OSError:
            opened.close()
            raise
        return opened

    def gateway(
        self,
        policy: Policy = POLICY,
        *,
        bounds: Bounds | None = None,
        refresh: Refresh | None = None,
        stand_ins: StandIns | None = None,
    ) -> EgressGateway:
        ways = {"look_up": self.look_up, "dial": self.dial}
        return EgressGateway(policy, refresh=refresh, tell=self.tell, bounds=bounds, stand_ins=stand_ins, **ways)  # type: ignore[arg-type]

    async def tell(self, seen: Sequence[Seen]) -> None:
        self.seen += seen

    @property
    def refused(self) -> list[tuple[str, str]]:
        return [(seen.host, seen.refused) for seen in self.seen if seen.refused]


async def _redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says which request it was asked, and sends on whoever asks for /away."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1]
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        body = head + await reader.readexactly(length)
        away = (f"Location: http://{OTHER}/",)
        writer.write(response(body, "302 Found", *away) if path == b"/away" else response(body))
        await writer.drain()


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    _, tls = certificate(tmp_path, LISTED)
    async with answering(response(b"over TLS"), tls) as secure, answering(_redirecting) as plain:
        yield Outside(secure, plain)


@contextlib.asynccontextmanager
async def listening(gateway: EgressGateway) -> AsyncIterator[tuple[str, int]]:
    """The gateway on a socket of this machine, as it would be on one of a sandbox."""
    one = socket.create_server(("127.0.0.1", 0), backlog=1024)
    address = one.getsockname()
    async with gateway.serve([one]):
        yield address
