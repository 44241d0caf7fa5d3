"""TLS over a wire, on either side."""

import asyncio
import ssl

from runtime.egress.wire import PIECE, Wire


class TlsWire(Wire):
    """`begun`: bytes that the other side has sent already. Nothing is sent or received before `shake_hands`."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, *, name: str | None = None, begun: bytes = b"") -> None:
        """`name` is the host that is called and verified; without one this is the side that was called."""
        self._wire, self._in, self._out = wire, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=name is None, server_hostname=name)
        self._in.write(begun)
        self._flushing = asyncio.Lock()

    async def shake_hands(self) -> None:
        """Raises OSError, of which errors of TLS are some."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._more()
            except ssl.SSLError:
                await self._flush()  # the alert says why
                raise
            else:
                return await self._flush()

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(PIECE)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._more()
            except ssl.SSLZeroReturnError:
                return b""

    async def send(self, data: bytes) -> None:
        if data:
            self._tls.write(data)
            await self._flush()

    def finish(self) -> None:
        self._wire.finish()

    def close(self) -> None:
        self._wire.close()

    async def _flush(self) -> None:
        """Sends output in the order in which it was produced: a reader may have to answer while another task writes."""
        async with self._flushing:
            if said := self._out.read():
                await self._wire.send(said)

    async def _more(self) -> None:
        said = await self._wire.receive()
        if said:
            self._in.write(said)
        else:
            self._in.write_eof()
