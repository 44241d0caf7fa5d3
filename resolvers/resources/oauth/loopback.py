"""Receives an OAuth answer on the server's own machine: one request, to a port of its loopback address.

It implements the necessary minimum of HTTP. The callback operation judges the content.
"""

import asyncio
import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from resolvers.kernel import Caller, Code, Refusal, log

HOST: Final = "127.0.0.1"
PATH: Final = "/callback"
LASTS, READING = 120.0, 10.0  # seconds
MOST_LISTENERS = 16
LARGEST: Final = 16 * 1024
GIVEN: Final = ("code", "state", "error", "iss")
CONNECTED: Final = "The account is connected. This window can be closed."
FAILED: Final = "Something went wrong, and the account is not connected. Start again."
PAGE: Final = "<!doctype html><meta charset=utf-8><title>Crewship</title><p>{}</p>"
HEADERS: Final = (
    "content-type: text/html; charset=utf-8",
    "cache-control: no-store",
    "referrer-policy: no-referrer",
    "content-security-policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options: nosniff",
    "connection: close",
)
Finish = Callable[[Caller, dict[str, Any]], Awaitable[Any]]
_listening = set["CallbackListener"]()


@dataclass(eq=False)
class CallbackListener:
    """It ends with the first answer to the callback, or after two minutes."""

    finish: Finish
    server: asyncio.Server | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        assert self.server is not None
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    @property
    def redirect_uri(self) -> str:
        return f"http://{HOST}:{self.port}{PATH}"

    def close(self) -> None:
        _listening.discard(self)
        if self.server is not None:
            self.server.close()
        if self.timer is not None:
            self.timer.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READING):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await self._answer(head))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        if method != "GET" or target.path != PATH or self not in _listening:
            return _page("404 Not Found", "There is nothing here.")
        told = {name: values[0] for name, values in parse_qs(target.query).items() if name in GIVEN}
        told["redirect_uri"] = self.redirect_uri
        self.close()
        try:
            await self.finish(Caller.nobody(), told)
        except Refusal as refusal:
            return _page("200 OK", refusal.detail)
        except Exception:
            log.exception("oauth_loopback_failed")
            return _page("500 Internal Server Error", FAILED)
        return _page("200 OK", CONNECTED)


async def listen(finish: Finish) -> CallbackListener:
    if len(_listening) >= MOST_LISTENERS:
        raise Refusal(Code.RATE_LIMITED, "Too many consents are pending on this machine")
    listener = CallbackListener(finish)
    listener.server = await asyncio.start_server(listener.serve, HOST, 0, limit=LARGEST)
    listener.timer = asyncio.get_running_loop().call_later(LASTS, listener.close)
    _listening.add(listener)
    return listener


def _page(status: str, text: str) -> bytes:
    body = PAGE.format(html.escape(text)).encode()
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *HEADERS, "", ""]).encode() + body
