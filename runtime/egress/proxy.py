"""The proxy's conversation with one client: HTTP requests with a whole URL (RFC 9110, 9112), and CONNECT.

h11 reads and writes messages, so that both sides see the same message boundaries. A tunnel to an allowed host carries
TLS for this host, or HTTP requests to it; anything else ends it.
"""

import asyncio
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import h11

from runtime.egress.policy import HTTP, HTTPS, ConnectionRefused, Endpoint, Grant, Inside, Unreadable
from runtime.egress.server_name import NotTls, ServerName
from runtime.egress.stand_ins import StandIns, client
from runtime.egress.tls import TlsWire
from runtime.egress.wire import Wire, relay

HEAD = 32 << 10
"""Bytes of the head of a message, beside those that came with its end."""
HEAD_SECONDS = 15.0
"""Until the head of a request, or the first message of TLS, is there."""
KEPT_SECONDS = 60.0
"""That a connection may wait for its next request."""
NAME: Final = "crewship"
_ABSOLUTE = re.compile(r"http://([^/?#@]*)([/?][^#]*)?", re.IGNORECASE)
_HOP = frozenset(
    {
        b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade",
        b"proxy-authorization", b"proxy-authenticate", b"http2-settings",
    }
)  # fmt: skip
Headers = Iterable[tuple[bytes, bytes]]


class Unreachable(Exception):
    """The host is allowed, and does not answer."""


class ProxyWay(Protocol):
    """The network behind the proxy."""

    def admit(self, target: Endpoint, method: str, *, tunnel: bool) -> Grant:
        """Raises Refused, after reporting the refusal."""

    def refuse(self, host: str, method: str, why: str) -> ConnectionRefused:
        """Reports a refusal that the conversation has found."""

    async def connect(self, target: Endpoint, grant: Grant) -> Wire:
        """Raises Refused and Unreachable."""

    @property
    def stand_ins(self) -> StandIns | None:
        """The values that replace placeholders in requests to some hosts."""


@dataclass(frozen=True, slots=True)
class _ProxyRequest:
    """One request to be passed on."""

    target: Endpoint
    path: bytes
    request: h11.Request


class Conversation:
    """`of`: every request goes to this host, because the client has opened a tunnel to its HTTP port; `secure`: to its
    HTTPS port, if there are placeholders for it.
    """

    def __init__(
        self, client: Wire, way: ProxyWay, of: Endpoint | None = None, begun: bytes = b"", *, secure: bool = False
    ) -> None:
        self._client, self._way, self._of, self._secure = client, way, of, secure
        self._default = HTTPS if secure else HTTP
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD)
        if begun:
            self._http.receive_data(begun)

    async def run(self) -> None:
        """Runs until the client has no more requests. Raises OSError and TimeoutError if the connection breaks."""
        patience = HEAD_SECONDS
        while True:
            try:
                async with asyncio.timeout(patience):
                    request = await _next(self._http, self._client)
                if not isinstance(request, h11.Request):
                    return
                if request.method == b"CONNECT":
                    return await self._tunnel(request)
                if not await self._pass_on(self._read(request)):
                    return
            except h11.RemoteProtocolError as error:
                return await self._answer(error.error_status_hint, "the request is not valid HTTP")
            except Unreadable as refused:
                return await self._answer(400, str(refused))
            except ConnectionRefused as refused:
                return await self._answer(403, str(refused), "http_request_denied")
            except Unreachable as failed:
                return await self._answer(502, str(failed), "connection_refused")
            self._http.start_next_cycle()
            patience = KEPT_SECONDS

    # ---- one request ---------------------------------------------------------------------------------------------

    def _read(self, request: h11.Request) -> _ProxyRequest:
        text = request.target.decode("latin-1")
        if self._of is not None and text.startswith("/"):
            target, path = self._of, request.target
        elif whole := _ABSOLUTE.fullmatch(text):
            target, path = Endpoint.of(whole[1], HTTP), (whole[2] or "/").encode("latin-1")
            path = path if path.startswith(b"/") else b"/" + path
        else:
            raise Unreadable("a proxy takes an absolute http:// URL or CONNECT")
        if self._of not in (None, target):
            raise self._way.refuse(target.host, _method(request), "the request's host differs from its tunnel's")
        self._same_host(request, target, self._default)
        return _ProxyRequest(target, path, request)

    def _same_host(self, request: h11.Request, target: Endpoint, default: int) -> None:
        for name, value in request.headers:
            if name == b"host" and Endpoint.of(value.decode("latin-1"), default) != target:
                raise self._way.refuse(
                    value.decode("latin-1"), _method(request), "the Host header differs from the request's host"
                )

    async def _pass_on(self, asked: _ProxyRequest) -> bool:
        """Passes a request on. Returns true if the connection can carry another one."""
        grant = self._way.admit(asked.target, _method(asked.request), tunnel=self._secure)
        server = await self._way.connect(asked.target, grant)
        if self._secure:
            server = await _verified(server, asked.target)
        try:
            theirs = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD)
            headers = _end_to_end(asked.request.headers, without=b"host")
            if any(name == b"transfer-encoding" for name, _ in asked.request.headers):
                headers = [*_end_to_end(headers, without=b"content-length"), (b"transfer-encoding", b"chunked")]
            if self._secure and self._way.stand_ins is not None:
                headers = self._way.stand_ins.put_in(asked.target.host, headers)
            headers = [(b"host", _authority(asked.target, self._default)), *headers, (b"connection", b"close")]
            head = h11.Request(method=asked.request.method, target=asked.path, headers=headers)
            await server.send(theirs.send(head) or b"")
            body = asyncio.ensure_future(self._send_body(server, theirs))
            try:
                await self._send_answer(server, theirs, asked.target.host)
            finally:
                body.cancel()
                await asyncio.gather(body, return_exceptions=True)
        except h11.RemoteProtocolError:
            return await self._broken()
        except OSError:
            return await self._broken()
        finally:
            server.close()
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _send_body(self, server: Wire, theirs: h11.Connection) -> None:
        while True:
            event = await _next(self._http, self._client)
            if isinstance(event, (h11.Data, h11.EndOfMessage)):
                await server.send(theirs.send(event) or b"")
            if not isinstance(event, h11.Data):
                return

    async def _send_answer(self, server: Wire, theirs: h11.Connection, host: str) -> None:
        taken = self._way.stand_ins.taken_out(host) if self._secure and self._way.stand_ins is not None else None
        while True:
            event = await _next(theirs, server)
            if isinstance(event, (h11.Response, h11.InformationalResponse)):
                framed = any(name == b"transfer-encoding" for name, _ in event.headers)
                kept = _end_to_end(event.headers, without=b"content-length" if framed else b"")
                kept = kept if taken is None else taken.headers(kept)
                event = type(event)(status_code=event.status_code, headers=kept, reason=event.reason)
            if isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("closed before its answer")
            if taken is not None and isinstance(event, h11.Data):
                event = h11.Data(data=taken.feed(event.data))
            if taken is not None and isinstance(event, h11.EndOfMessage) and (rest := taken.end()):
                await self._client.send(self._http.send(h11.Data(data=rest)) or b"")
            await self._client.send(self._http.send(event) or b"")
            if isinstance(event, h11.EndOfMessage):
                return

    async def _broken(self) -> bool:
        if self._http.our_state is h11.SEND_RESPONSE:
            raise Unreachable("the host closed the connection, or does not speak HTTP")
        return False

    # ---- tunnels -------------------------------------------------------------------------------------------------

    async def _tunnel(self, request: h11.Request) -> None:
        if self._of is not None:
            raise Unreadable("a tunnel cannot be opened within another one")
        target = Endpoint.of(request.target.decode("latin-1"))
        self._same_host(request, target, target.port)
        grant = self._way.admit(target, "CONNECT", tunnel=True)
        if grant.inside is Inside.HTTP:
            await self._accept()
            return await Conversation(self._client, self._way, target, self._http.trailing_data[0]).run()
        if target.port == HTTPS and self._way.stand_ins is not None and target.host in self._way.stand_ins.hosts:
            return await self._answer_for(target, self._way.stand_ins)
        server = await self._way.connect(target, grant)
        try:
            await self._accept()
            said = self._http.trailing_data[0]
            if grant.inside is Inside.TLS:
                said = await self._greeting(target, said)
            await server.send(said)
            await relay(self._client, server)
        except ConnectionRefused:
            return  # the client has its alert
        finally:
            server.close()

    async def _answer_for(self, target: Endpoint, stand_ins: StandIns) -> None:
        """In the name of the host, so that its requests can be read."""
        await self._accept()
        context = stand_ins.server_for(target.host)
        made = TlsWire(self._client, context, begun=self._http.trailing_data[0])
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                await made.shake_hands()
        except ssl.SSLError:
            self._way.refuse(target.host, "CONNECT", "the program does not trust the run's certificate authority")
            return
        await Conversation(made, self._way, target, secure=True).run()

    async def _accept(self) -> None:
        accepted: Any = h11.Response(status_code=200, headers=[], reason=b"Connection established")
        await self._client.send(self._http.send(accepted) or b"")

    async def _greeting(self, target: Endpoint, begun: bytes) -> bytes:
        """The client's first message, which names the tunnel's host. Raises Refused, after reporting it."""
        asked, said, piece = ServerName(), begun, begun
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                while not asked.feed(piece):
                    piece = await self._client.receive()
                    if not piece:
                        raise NotTls
                    said += piece
        except NotTls:
            raise self._way.refuse(target.host, "CONNECT", "a tunnel to port 443 must carry TLS") from None
        if asked.name != target.host:
            await self._client.send(asked.refusal())
            why = "the TLS host differs from the tunnel's" if asked.name else "TLS names no host"
            raise self._way.refuse(asked.name or target.host, "CONNECT", why)
        return said

    # ---- answers of our own --------------------------------------------------------------------------------------

    async def _answer(self, status: int, why: str, error: str = "http_protocol_error") -> None:
        """The last word of a connection; Proxy-Status: RFC 9209."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = f"{NAME}: {why}\n".encode()
        headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
            ("proxy-status", f'{NAME}; error={error}; details="{why}"'),
            ("connection", "close"),
        ]
        head: Any = h11.Response(status_code=status, headers=headers)
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        await self._client.send(b"".join(self._http.send(event) or b"" for event in events))
        self._client.finish()


async def _verified(server: Wire, target: Endpoint) -> Wire:
    """Raises Unreachable where the host is not the one that its certificate has to name."""
    made = TlsWire(server, client(), name=target.host)
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            await made.shake_hands()
    except (OSError, TimeoutError):
        server.close()
        raise Unreachable("TLS with the host failed, or its certificate is not valid") from None
    except BaseException:
        server.close()
        raise
    return made


async def _next(http: h11.Connection, wire: Wire) -> Any:
    while True:
        event = http.next_event()
        if event is not h11.NEED_DATA:
            return event
        http.receive_data(await wire.receive())


def _method(request: h11.Request) -> str:
    return request.method.decode("latin-1")


def _authority(target: Endpoint, default: int) -> bytes:
    text = str(target)
    return (text.removesuffix(f":{default}") if target.port == default else text).encode()


def _end_to_end(headers: Headers, *, without: bytes = b"") -> list[tuple[bytes, bytes]]:
    """The headers for the other side (RFC 9110, 7.6.1)."""
    given = list(headers)
    named = {part.strip().lower() for name, value in given if name == b"connection" for part in value.split(b",")}
    return [(name, value) for name, value in given if name not in _HOP | named and name != without]
