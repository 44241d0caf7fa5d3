"""HTTP requests to other servers, whose addresses clients may have chosen. Operations use no other HTTP client.

A name is looked up once, all its addresses are checked, and the connection uses one of these: a name that resolves
differently a moment later (DNS rebinding) has no effect. TLS verifies the certificate for the name. Redirects, proxies
of the environment, cookies and decompression are off.

See ADR 39.
"""

import asyncio
import functools
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

import orjson

from models.bounds import URL
from resolvers.errors import Code, Refusal
from resolvers.instance.addresses import is_public_address, parse_address
from resolvers.instance.names import CHOSEN, CONFIGURED, Lane

ADDRESSES = 4  # of one name that are tried
SCHEMES = {"http": 80, "https": 443}
AGENT = "crewship"
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"})
"""Headers of the connection, which a caller cannot set."""
BAD_URL = "The URL must begin with http:// or https://, with a host and without a user name or password"
UNSENDABLE = "Invalid header or method"


class Policy(Enum):
    """Which addresses a call may reach."""

    PUBLIC = "public"
    """Public addresses only: for destinations that clients name."""
    PRIVATE_TOO = "private too"
    """Addresses of every host: for destinations that the operator has named or allowed
    (CREWSHIP_HOOKS_ALLOW_PRIVATE).
    """
    CONFIGURED = "configured"
    """The same, for services that the operator has configured: their names are looked up apart from all others."""

    def allows(self, text: str) -> bool:
        address = parse_address(text)
        if address is None or self is Policy.PUBLIC:
            return is_public_address(text)
        is_broadcast = isinstance(address, ipaddress.IPv4Address) and address.is_reserved
        return not (address.is_multicast or address.is_unspecified or is_broadcast)


@dataclass(frozen=True, slots=True)
class Answered:
    """The response, with any status.

    `headers` by lower-case name, the last of repeated ones; the body is unchanged.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise _gateway("The server's answer is not JSON") from None


class Outbound:
    """Calls within one block, whose connections end with it.

    `timeout`: seconds from the begin of each call to the end of its answer, including the name look-up. `most`: bytes
    of an answer's body; with `cut` a longer one is truncated. An invalid request is BAD_REQUEST, a missing answer
    BAD_GATEWAY; the texts name neither URL nor header.
    """

    def __init__(self, policy: Policy, *, timeout: float, most: int, cut: bool = False) -> None:
        self._policy, self._timeout, self._most, self._cut = policy, timeout, most, cut
        self._pool: Any = None
        self._network: _Network | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None and self._network is not None:
            await self._pool.aclose()
            await self._network.aclose()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answered:
        return await self.request("GET", url, headers=headers)

    async def post(self, url: str, content: bytes, *, headers: Mapping[str, str] | None = None) -> Answered:
        return await self.request("POST", url, headers=headers, content=content)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answered:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._request(method, url, headers or {}, content)
        except TimeoutError:
            raise _gateway(f"The server did not answer within {self._timeout:g} seconds") from None

    async def _request(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answered:
        http, parse, tls = await asyncio.to_thread(_load)
        host, target = _target(http, parse, url)
        sent = [(b"host", host), *_lines(headers)]
        if self._pool is None:
            self._network = _Network(http, self._policy, self._timeout)
            self._pool = http.AsyncConnectionPool(ssl_context=tls, network_backend=self._network)
        try:
            async with self._pool.stream(method, target, headers=sent, content=content) as answer:
                received = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
                return Answered(answer.status, received, await self._body(answer))
        except (http.LocalProtocolError, http.UnsupportedProtocol):
            raise Refusal(Code.BAD_REQUEST, UNSENDABLE) from None
        except (http.ConnectError, http.ConnectTimeout) as error:
            if isinstance(error.__context__, ssl.SSLCertVerificationError):
                raise _gateway("The server's certificate is not valid") from None
            raise _gateway("The server cannot be reached") from None
        except (http.NetworkError, http.ProtocolError, http.TimeoutException):
            raise _gateway("The server closed the connection, or does not speak HTTP") from None

    async def _body(self, answer: Any) -> bytes:
        parts, size = list[bytes](), 0
        async for part in answer.aiter_stream():
            size += len(part)
            if size > self._most and self._cut:
                parts.append(part)
                return b"".join(parts)[: self._most]
            if size > self._most:
                raise _gateway(f"The server's answer has more than {self._most} bytes")
            parts.append(part)
        return b"".join(parts)


class _Network:
    """The network of a connection pool: connects to an address of a name, if the policy allows all of them."""

    def __init__(self, http: Any, policy: Policy, timeout: float) -> None:
        self._http, self._network, self._policy, self._timeout = http, http.AnyIOBackend(), policy, timeout
        self._opened = list[Any]()

    async def aclose(self) -> None:
        """Closes connections that the pool does not know, because they were abandoned while being opened."""
        for stream in self._opened:
            await stream.aclose()

    async def connect_tcp(self, host: str, port: int, **options: Any) -> Any:
        found = await addresses_of(host, port, CONFIGURED if self._policy is Policy.CONFIGURED else CHOSEN)
        if not all(map(self._policy.allows, found)):
            raise Refusal(Code.BAD_REQUEST, "The host has a private address, which may not be called")
        tried = found[:ADDRESSES]
        options["timeout"] = self._timeout / len(tried)  # one that says nothing leaves time for the others
        for address in tried[:-1]:
            try:
                return await self._open(address, port, options)
            except (self._http.ConnectError, self._http.ConnectTimeout):
                continue
        return await self._open(tried[-1], port, options)

    async def _open(self, address: str, port: int, options: dict[str, Any]) -> Any:
        stream = await self._network.connect_tcp(address, port, **options)
        self._opened.append(stream)
        return stream


async def addresses_of(host: str, port: int, lane: Lane = CHOSEN) -> list[str]:
    """All addresses of a name, or of an address in any spelling, in the order to be tried (RFC 6724)."""
    found = await lane.look_up(host, port)
    if not found:
        raise _gateway("Unknown host")
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _target(http: Any, parse: Any, text: str) -> tuple[bytes, Any]:
    """The Host header of a URL, and what the client takes for it."""
    if len(text) > URL:
        raise Refusal(Code.BAD_REQUEST, f"The URL has more than {URL} characters")
    try:
        url = parse.URL(text)
        port = SCHEMES[url.scheme] if url.port is None else url.port
        if url.scheme not in SCHEMES or not url.raw_host or url.userinfo or not 0 < port < 65536:
            raise ValueError
    except (parse.InvalidURL, ValueError, KeyError):
        raise Refusal(Code.BAD_REQUEST, BAD_URL) from None
    return url.netloc, http.URL(scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path)


def _lines(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    given = {name.lower(): value for name, value in headers.items()}
    if not OURS.isdisjoint(given):
        raise Refusal(Code.BAD_REQUEST, UNSENDABLE)
    try:
        lines = {"user-agent": AGENT, "accept": "*/*", "accept-encoding": "identity"} | given
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in lines.items()]
    except UnicodeEncodeError:
        raise Refusal(Code.BAD_REQUEST, UNSENDABLE) from None


def _gateway(text: str) -> Refusal:
    return Refusal(Code.BAD_GATEWAY, text)


@functools.cache
def _load() -> tuple[Any, Any, ssl.SSLContext]:
    """In a thread: the imports, and reading all authorities' certificates, take a tenth of a second each."""
    import httpcore2
    import httpx2

    return httpcore2, httpx2, httpcore2.default_ssl_context()


@asynccontextmanager
async def guarded_client(
    policy: Policy, *, seconds: float, most: int, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Any, "Guarding"]]:
    """An httpx2 client for a library that makes calls itself: on the same network, under the same policy.

    `seconds`: to connect, and between parts of an answer. `most`: bytes of all answers together. Redirects are refused.
    Libraries convert refusals to their own errors; `Guarding` has the reason.
    """
    http, httpx, tls = await asyncio.to_thread(_load)
    network = _Network(http, policy, seconds)
    pool = http.AsyncConnectionPool(ssl_context=tls, network_backend=network)
    lines = {name.decode(): value.decode("latin-1") for name, value in _lines(headers or {}) if name != b"accept"}
    guarding = Guarding(most)
    transport = _transport_of(http, httpx)(pool, guarding)
    client = httpx.AsyncClient(
        transport=transport, headers=lines, timeout=seconds, trust_env=False, follow_redirects=False
    )
    try:
        yield client, guarding
    finally:
        await client.aclose()
        await pool.aclose()
        await network.aclose()


class Guarding:
    """The results of a client's requests: the reason for a refusal, if any, and the last status."""

    def __init__(self, most: int) -> None:
        self._left = most
        self.status: int | None = None
        self.refused: asyncio.Future[Refusal] = asyncio.get_running_loop().create_future()

    def refuse(self, refusal: Refusal) -> Refusal:
        if not self.refused.done():
            self.refused.set_result(refusal)
        return refusal

    def count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self.refuse(_gateway("The server's answers are too large"))


@functools.cache
def _transport_of(http: Any, httpx: Any) -> Any:
    broken = (http.NetworkError, http.ProtocolError, http.TimeoutException)

    class Transport(httpx.AsyncBaseTransport):  # type: ignore[misc]
        """Requests of an httpx2 client on a guarded pool."""

        def __init__(self, pool: Any, guarding: Guarding) -> None:
            self._pool, self._guarding = pool, guarding

        async def handle_async_request(self, request: Any) -> Any:
            answer = await self._answer(request)
            self._guarding.status = answer.status
            if 300 <= answer.status < 400:
                await answer.aclose()
                raise self._guarding.refuse(_gateway("The server answered with a redirect, which is not followed"))
            if any(name.lower() == b"content-encoding" for name, _ in answer.headers):
                # the client would inflate it, to a thousand times the bytes that are counted here
                await answer.aclose()
                raise self._guarding.refuse(
                    _gateway("The server compressed its answer although compression was not accepted")
                )
            return httpx.Response(answer.status, headers=answer.headers, stream=Counted(self._guarding, answer))

        async def _answer(self, request: Any) -> Any:
            sent, guarding = request, self._guarding
            try:
                _, target = _target(http, httpx, str(sent.url))
                asked = http.Request(sent.method, target, headers=sent.headers.raw, content=sent.stream)
                return await self._pool.handle_async_request(asked)
            except Refusal as refusal:
                raise guarding.refuse(refusal) from None
            except broken:
                raise guarding.refuse(_gateway("The server cannot be reached, or does not speak HTTP")) from None

    class Counted(httpx.AsyncByteStream):  # type: ignore[misc]
        """The body of an answer."""

        def __init__(self, guarding: Guarding, answer: Any) -> None:
            self._guarding, self._answer = guarding, answer

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for part in self._answer.stream:
                    self._guarding.count(len(part))
                    yield part
            except broken:
                raise httpx.ReadError("the server closed the connection or did not answer in time") from None

        async def aclose(self) -> None:
            await self._answer.aclose()

    return Transport
