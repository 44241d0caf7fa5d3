"""A secret that a program uses and does not see: where the proxy puts it in, and where it does not."""

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from models.staff.crews import NetworkMode
from runtime.egress import Policy
from runtime.egress import proxy as proxies
from runtime.egress.stand_ins import StandIn, StandIns, stand_in_for
from tests.every import each_of
from tests.kernel.servers import answering, certificate, response
from tests.runtime.egress.outside import LISTED, OTHER, POLICY, Outside, listening

pytestmark = pytest.mark.anyio
VALUE = "ghp_9fQ2xLw77ZtK0aBcD3eF5gH6iJ8kL1mN4oPq"
SHOWN = stand_in_for(VALUE) or ""


@pytest.fixture
async def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    """Over TLS it says which request it was asked."""
    authority, tls = certificate(tmp_path, LISTED)
    trusting = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr(proxies, "client", lambda: trusting)
    async with answering(heard, tls) as secure, answering(heard) as plain:
        HEARD.clear()
        yield Outside(secure, plain)


HEARD: list[bytes] = []


async def heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says back what it hears, as a host that is careless would."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length")), 0)
        HEARD.append(head + await reader.readexactly(length))
        quoted = next(
            (line[14:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"authorization")), b""
        )
        writer.write(response(HEARD[-1], "200 OK", f"X-Quoted: {quoted.decode()}"))
        await writer.drain()


def stand_ins(*hosts: str) -> StandIns:
    return StandIns([StandIn(SHOWN, VALUE, frozenset(hosts or (LISTED,)))])


def program(address: tuple[str, int], trusted: bytes, host: str, request: str, *, name: str = "") -> str:
    """What a host answers a program that trusts the authority, and nobody else."""
    context = ssl.create_default_context(cadata=trusted.decode())
    with socket.create_connection(address, 10) as opened:
        opened.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := opened.recv(1)):
                return "closed"
            head += piece
        if b" 200 " not in head:
            return head.decode()
        with context.wrap_socket(opened, server_hostname=name or host) as secure:
            secure.settimeout(3)  # where nobody reads what is said, the host keeps the connection
            secure.sendall(request.encode())
            said = b""
            with contextlib.suppress(TimeoutError):
                while piece := secure.recv(65536):
                    said += piece
            return said.decode()


def asks(host: str = LISTED, *headers: str, path: str = "/user", body: str = "") -> str:
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}", *headers, f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((*lines, "", body))


async def test_it_is_put_into_what_proves_who_asks(outside: Outside) -> None:
    """And nowhere else: neither into a path, nor a body, nor a header that a host may quote."""
    made, basic = stand_ins(), base64.b64encode(f"x:{SHOWN}".encode()).decode()
    proves = (f"Authorization: token {SHOWN}", f"X-Api-Key: {SHOWN}", f"PRIVATE-TOKEN: {SHOWN}")
    quoted = (f"User-Agent: {SHOWN}", f"Idempotency-Key: {SHOWN}", f"X-Request-Id: {SHOWN}", f"Cookie: a={SHOWN}")
    request = asks(LISTED, *proves, *quoted, path=f"/{SHOWN}", body=f"in the body {SHOWN}")
    async with listening(outside.gateway(stand_ins=made)) as address:
        said = await asyncio.to_thread(program, address, made.certificate, LISTED, request)
        other = asks(LISTED, f"Authorization: Basic {basic}")
        by_name = await asyncio.to_thread(program, address, made.certificate, LISTED, other)
    sent, by_basic = (each.decode() for each in HEARD)
    lowered = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in sent.splitlines()}
    assert lowered["authorization"] == f"token {VALUE}"
    assert (lowered["x-api-key"], lowered["private-token"]) == (VALUE, VALUE)
    assert [lowered[name] for name in ("user-agent", "idempotency-key", "x-request-id")] == [SHOWN] * 3
    assert (f"POST /{SHOWN} " in sent, f"in the body {SHOWN}" in sent, lowered["host"]) == (True, True, LISTED)
    assert sent.count(VALUE) == 3
    assert f"Basic {base64.b64encode(f'x:{VALUE}'.encode()).decode()}" in by_basic
    assert "/user" in by_name
    # what the host has said back, in its head and its body
    assert (VALUE in said, f"X-Quoted: token {SHOWN}".lower() in said.lower()) == (False, True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", NetworkMode)
async def test_another_host_gets_the_stand_in(outside: Outside, tmp_path: Path, mode: NetworkMode) -> None:
    """Its tunnel is carried unread, and over plain HTTP nothing is put in for anybody."""
    made, policy = stand_ins(OTHER), Policy(mode, POLICY.domains | {OTHER})
    trusted = (tmp_path / f"{LISTED}.pem").read_bytes()
    async with listening(outside.gateway(policy, stand_ins=made)) as address:
        said = await asyncio.to_thread(program, address, trusted, LISTED, asks(LISTED, f"Authorization: {SHOWN}"))
        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"GET http://{OTHER}/ HTTP/1.1\r\nHost: {OTHER}\r\nAuthorization: {SHOWN}\r\n\r\n".encode())
        plain = await reader.readuntil(SHOWN.encode())
        writer.close()
    assert f"Authorization: {SHOWN}" in said
    assert VALUE not in said + plain.decode()


async def test_a_host_that_is_not_who_it_should_be_gets_nothing(outside: Outside) -> None:
    """The certificate of the host names another one: nothing is sent to it."""
    made, policy = stand_ins(OTHER), Policy(NetworkMode.free)
    async with listening(outside.gateway(policy, stand_ins=made)) as address:
        said = await asyncio.to_thread(
            program, address, made.certificate, OTHER, asks(OTHER, f"Authorization: {SHOWN}")
        )
    assert said.startswith("HTTP/1.1 502")
    assert HEARD == []
    assert VALUE not in said


async def test_what_the_crew_does_not_allow_is_not_reached(outside: Outside) -> None:
    made = stand_ins(OTHER)
    async with listening(outside.gateway(stand_ins=made)) as address:
        said = await asyncio.to_thread(program, address, made.certificate, OTHER, asks(OTHER))
    assert said.startswith("HTTP/1.1 403")
    assert outside.dialled == []


@pytest.mark.parametrize("headers", [(f"Host: {OTHER}",), ("Host: 10.0.0.1",)])
async def test_a_request_within_names_the_host_of_its_tunnel(outside: Outside, headers: tuple[str, ...]) -> None:
    made = stand_ins()
    request = asks(LISTED, f"Authorization: {SHOWN}").replace(f"Host: {LISTED}", headers[0])
    async with listening(outside.gateway(stand_ins=made)) as address:
        said = await asyncio.to_thread(program, address, made.certificate, LISTED, request)
        whole = asks(LISTED, path=f"http://{OTHER}/")
        again = await asyncio.to_thread(program, address, made.certificate, LISTED, whole)
    assert (said.split(" ")[1], again.split(" ")[1], outside.dialled) == ("403", "403", [])


async def test_a_program_that_does_not_trust_the_authority_says_nothing(outside: Outside, tmp_path: Path) -> None:
    trusted = (tmp_path / f"{LISTED}.pem").read_bytes()
    async with listening(outside.gateway(stand_ins=stand_ins())) as address:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(program, address, trusted, LISTED, asks())
        await asyncio.sleep(0.1)
    assert outside.refused == [(LISTED, "the program does not trust the run's certificate authority")]
    assert outside.dialled == []


@pytest.mark.slow
async def test_many_requests_and_large_bodies_pass(outside: Outside) -> None:
    made, body = stand_ins(), "x" * 3_000_000
    async with listening(outside.gateway(stand_ins=made)) as address:
        said = await asyncio.gather(
            *(asyncio.to_thread(program, address, made.certificate, LISTED, asks(body=body)) for _ in range(8))
        )
    assert [each.count(body) for each in said] == [1] * 8


def test_the_authority_speaks_for_its_hosts_alone() -> None:
    made = stand_ins("api.example.com", "example.com")
    certificate = x509.load_pem_x509_certificate(made.certificate)
    limits = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert limits.critical
    permitted = [each.value for each in limits.value.permitted_subtrees or ()]
    assert permitted == ["api.example.com", "example.com"]
    assert stand_ins().certificate != stand_ins().certificate


@pytest.mark.parametrize(
    "value", [VALUE, "sk-ant-api03-abcdEFGH0123456789xyz", "glpat-AbCdEf0123456789xyzw", "xoxb-123456789012-abcdefghij"]
)
def test_a_stand_in_has_the_shape_of_the_value(value: str) -> None:
    made = {stand_in_for(value) for _ in range(50)}
    assert len(made) == 50
    for each in made:
        assert each is not None
        assert len(each) == len(value)
        assert [x.isdigit() for x in each] == [x.isdigit() for x in value]
        assert [x.isupper() for x in each] == [x.isupper() for x in value]
        assert each[:3] == value[:3]
        assert each[-8:] != value[-8:]


@each_of("value", ["", "short", "a-b", "_" * 40, "ghp_123456789012345", f" {VALUE}", f"{VALUE}\n", f"é{VALUE}"])
def test_what_is_too_short_or_in_no_header_has_none(value: str) -> None:
    assert stand_in_for(value) is None


@given(
    st.lists(st.sampled_from([b"ghp_", VALUE.encode(), VALUE[:9].encode(), b"x", b"\0"]), max_size=12),
    st.integers(1, 50),
)
def test_an_answer_says_it_in_no_piece(parts: list[bytes], size: int) -> None:
    text = b"".join(parts)
    taken = stand_ins().taken_out(LISTED)
    pieces = [taken.feed(text[at : at + size]) for at in range(0, len(text), size)]
    said = b"".join((*pieces, taken.end()))
    assert said == text.replace(VALUE.encode(), SHOWN.encode())
    assert len(said) == len(text)


def test_nothing_is_held_back_that_begins_no_value() -> None:
    taken = stand_ins().taken_out(LISTED)
    assert [taken.feed(piece) for piece in (b"data: 1\n\n", b"g", b"o", b"ghp_", b"x")] == [
        b"data: 1\n\n", b"", b"go", b"", b"ghp_x",
    ]  # fmt: skip
