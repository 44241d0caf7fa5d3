"""A vendor of models at the vendor's own address, on a machine without a network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.kernel.servers import certificate
from tests.runtime.adapters.vendors import Vendor, vendor

HOST = "api.anthropic.com"
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


@contextlib.asynccontextmanager
async def at_its_own_address(directory: Path) -> AsyncIterator[tuple[Vendor, dict[str, str]]]:
    """The vendor, and the variables of a process that reaches it: a proxy leads there, and its authority is trusted.
    Prices are known by this address.
    """
    authority, shown = certificate(directory, HOST)
    async with vendor("anthropic", tls=shown) as made:
        port = int(made.address.rsplit(":", 1)[1])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(f"CONNECT {HOST}:443 ".encode()), head
                inner, outer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(TUNNEL)
                with contextlib.closing(outer):
                    ends = [asyncio.ensure_future(carry(reader, outer)), asyncio.ensure_future(carry(inner, writer))]
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    for end in ends:
                        end.cancel()
                    await asyncio.gather(*ends, return_exceptions=True)

        proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with proxy:
            address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
            yield made, {"HTTPS_PROXY": address, "SSL_CERT_FILE": str(authority)}


async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while piece := await source.read(1 << 16):
        target.write(piece)
        await target.drain()
