"""Calls of other servers: where they may go, what they send, and what they put up with."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resolvers.errors import Code, Refusal
from resolvers.instance import outbound
from resolvers.instance.outbound import Outbound, Policy
from resolvers.instance.running import instance
from tests.every import each_of
from tests.kernel.servers import answering, certificate, response

pytestmark = pytest.mark.anyio
SECRET = "sk-very-secret"
Names = dict[str, list[str]]


def calls(policy: Policy = Policy.PRIVATE_TOO, *, timeout: float = 5, most: int = 1000) -> Outbound:
    return instance.http(policy, timeout=timeout, most=most)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> tuple[Names, list[str]]:
    """Addresses by name, to be filled in; and what was looked up."""
    known: Names = {}
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        if not text.endswith(".test"):
            return real(host, port, *more, **options)
        asked.append(text)
        if text not in known:
            raise socket.gaierror("nothing")
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in known[text]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known, asked


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    assert SECRET not in f"{caught.value} {caught.value.detail} {caught.value.extra} {caught.value.__cause__}"
    return caught.value


async def test_an_answer_is_what_was_sent() -> None:
    async with (
        answering(response(b'{"a":1}', "429 Slow down", "X-Left: 3", "set-cookie: a=b")) as server,
        calls() as http,
    ):
        answer = await http.get(f"{server.url}/models?key={SECRET}#part", headers={"Authorization": f"Bearer {SECRET}"})
        again = await http.post(f"{server.url}/models", b"body", headers={"user-agent": "crewship-notify/1"})
    assert (answer.status, answer.json(), answer.headers["x-left"]) == (429, {"a": 1}, "3")
    assert again.status == 429
    first, second = [head.decode().lower().split("\r\n") for head in server.requests[:2]]
    assert first[0] == f"get /models?key={SECRET} http/1.1"
    assert {
        f"host: 127.0.0.1:{server.port}",
        f"authorization: bearer {SECRET}",
        "user-agent: crewship",
        "accept-encoding: identity",
    } <= set(first)
    assert {"user-agent: crewship-notify/1", "content-length: 4"} <= set(second)
    assert not any(line.startswith("cookie") for line in second)


async def test_a_name_is_looked_up_once_and_meant_once(names: tuple[Names, list[str]]) -> None:
    known, asked = names
    known["service.test"] = ["127.0.0.1"]
    async with answering(response(b"here")) as server, calls() as http:
        for _ in range(2):
            assert (await http.get(f"http://service.test:{server.port}/")).body == b"here"
            known["service.test"] = ["192.0.2.1"]
    assert asked == ["service.test"]
    assert server.connections == 1
    assert b"host: service.test:%d" % server.port in server.requests[0]


async def test_an_address_that_does_not_listen_is_followed_by_the_next(names: tuple[Names, list[str]]) -> None:
    names[0]["service.test"] = ["127.0.0.2", "127.0.0.1"]
    async with answering(response(b"here")) as server, calls() as http:
        assert (await http.get(f"http://service.test:{server.port}/")).body == b"here"


LOCAL = (
    "127.0.0.1", "127.8.8.8", "127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "0.0.0.0", "[::]", "[::1]",
    "10.0.0.1", "192.168.0.1", "100.64.0.1",
    "169.254.169.254", "[fe80::1]", "[fc00::1]", "[fec0::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::1]",
    "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1",
)  # fmt: skip


@each_of("host", LOCAL)
async def test_the_public_policy_reaches_nothing_that_is_not_public(host: str) -> None:
    async with answering(response(b"here")) as server, calls(Policy.PUBLIC) as http:
        refusal = await refused(http.get(f"http://{host}:{server.port}/{SECRET}"))
    assert (refusal.code, refusal.detail) == (
        Code.BAD_REQUEST,
        "The host has a private address, which may not be called",
    )
    assert server.connections == 0


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["127.0.0.1", "93.184.215.14"], ["::ffff:127.0.0.1"]]
)
async def test_every_address_of_a_name_has_to_be_public(addresses: list[str], names: tuple[Names, list[str]]) -> None:
    names[0]["service.test"] = addresses
    async with answering(response(b"here")) as server, calls(Policy.PUBLIC) as http:
        assert (await refused(http.get(f"http://service.test:{server.port}/"))).code is Code.BAD_REQUEST
    assert server.connections == 0


async def test_a_public_address_is_called(names: tuple[Names, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as a test can: loopback counts as public here."""
    monkeypatch.setattr(outbound, "is_public_address", lambda text: text == "127.0.0.1")
    names[0]["service.test"] = ["127.0.0.1"]
    async with answering(response(b"here")) as server, calls(Policy.PUBLIC) as http:
        assert (await http.get(f"http://service.test:{server.port}/")).body == b"here"


@each_of("host", ["0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "[::ffff:0.0.0.0]"])
async def test_what_is_no_ones_address_is_never_called(host: str) -> None:
    async with answering(response(b"here")) as server, calls() as http:
        assert (await refused(http.get(f"http://{host}:{server.port}/"))).code is Code.BAD_REQUEST
    assert server.connections == 0


@each_of(
    "text",
    ["127.0.0.1", "::1", "10.1.2.3", "fc00::1", "fe80::1", "169.254.169.254", "93.184.215.14", "2606:4700::1111"],
)
def test_private_too_is_every_host(text: str) -> None:
    assert Policy.PRIVATE_TOO.allows(text)


async def test_no_redirect_is_followed() -> None:
    async with answering(response(b"", "302 Found", "location: /elsewhere")) as server, calls() as http:
        answer = await http.get(server.url)
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")
    assert len(server.requests) == 1


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(response(b"the proxy")) as proxy, answering(response(b"here")) as server, calls() as http:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert (await http.get(server.url)).body == b"here"
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "", "service", "//service/", "http://", "http:///path", "ftp://service/", "file:///etc/passwd",
        "gopher://service/", "unix:///run/x", "HTTPX://service/",
        f"http://{SECRET}@service/", f"http://user:{SECRET}@service/", "http://@service:@x/", "http://service:0/",
        "http://service:99999/", "http://service:x/",
        "http://[::1/", "http://service/\x00", "http://service/\r\nx: y", "http://service\n/", "javascript:alert(1)",
        "http://service/" + "a" * 2048,
    ],
)  # fmt: skip
async def test_what_is_no_url_of_a_server_is_refused(url: str, names: tuple[Names, list[str]]) -> None:
    async with calls() as http:
        assert (await refused(http.get(url))).code is Code.BAD_REQUEST
    assert names[1] == []


HEADERS = [
    {"x": f"{SECRET}\r\ny: z"},
    {"x\r\ny": SECRET},
    {"x": f"{SECRET}\0"},
    {"x": f"{SECRET}☃"},
    {"ä": "b"},
    {"": "b"},
    {"Host": "other"},
    {"Content-Length": "1"},
]


@each_of("headers", HEADERS)
async def test_what_is_no_header_is_refused(headers: dict[str, str]) -> None:
    async with answering(response(b"here")) as server, calls() as http:
        assert (await refused(http.get(server.url, headers=headers))).code is Code.BAD_REQUEST
    assert server.requests == []


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        await writer.drain()


async def test_a_body_has_an_end() -> None:
    async with answering(response(b"x" * 1000)) as server, calls() as http:
        assert len((await http.get(server.url)).body) == 1000
    for answer in (response(b"x" * 1001), endless):
        async with answering(answer) as server, calls() as http:
            refusal = await refused(http.get(server.url))
        assert (refusal.code, refusal.detail) == (Code.BAD_GATEWAY, "The server's answer has more than 1000 bytes")


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1_000_000)
    await asyncio.sleep(60)


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "answer"), [("http", silent), ("http", dripping), ("https", silent)], ids=["head", "body", "tls"]
)
async def test_the_time_is_that_of_the_whole_call(scheme: str, answer: Callable[..., Any]) -> None:
    outbound._load()
    async with answering(answer) as server, calls(timeout=0.5) as http:
        began = time.monotonic()
        refusal = await refused(http.get(f"{scheme}://127.0.0.1:{server.port}/{SECRET}"))
    assert 0.4 < time.monotonic() - began < 2
    assert (refusal.code, refusal.detail) == (Code.BAD_GATEWAY, "The server did not answer within 0.5 seconds")


async def test_looking_up_the_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    outbound._load()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1.5))
    async with calls(timeout=0.3) as http:
        began = time.monotonic()
        assert (await refused(http.get("http://service.test/"))).code is Code.BAD_GATEWAY
    assert time.monotonic() - began < 1.2


async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (broken, "The server closed the connection, or does not speak HTTP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "The server closed the connection, or does not speak HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000 + b"\r\n\r\n",
            ("The server closed the connection, or does not speak HTTP"),
        ),
    ],
)
async def test_what_does_not_answer_is_a_bad_gateway(answer: Any, detail: str) -> None:
    async with answering(answer) as server, calls() as http:
        refusal = await refused(http.get(f"{server.url}/{SECRET}"))
    assert (refusal.code, refusal.detail) == (Code.BAD_GATEWAY, detail)


async def test_nobody_there_is_a_bad_gateway(names: tuple[Names, list[str]]) -> None:
    async with answering(response(b"")) as server:
        pass
    async with calls() as http:
        assert (await refused(http.get(server.url))).detail == "The server cannot be reached"
        for host in ("unknown.test", "a..test", "x" * 64 + ".test"):
            refusal = await refused(http.get(f"http://{host}/"))
            assert (refusal.code, refusal.detail) == (Code.BAD_GATEWAY, "Unknown host")


async def test_an_answer_that_is_no_json_is_a_bad_gateway() -> None:
    async with answering(response(b"<html>")) as server, calls() as http:
        answer = await http.get(server.url)
    with pytest.raises(Refusal) as caught:
        answer.json()
    assert caught.value.code is Code.BAD_GATEWAY


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What the server `service.test` shows; clients trust who signed it."""
    authority, shown = certificate(tmp_path, "service.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    outbound._load.cache_clear()
    yield shown
    outbound._load.cache_clear()


async def test_tls_asks_for_the_name_and_checks_it(
    trusted: Any, tmp_path: Path, names: tuple[Names, list[str]]
) -> None:
    names[0].update({"service.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    async with answering(response(b"here"), trusted) as server, calls() as http:
        assert (await http.get(f"https://service.test:{server.port}/")).body == b"here"
        assert server.names == ["service.test"]
        for host in ("other.test", "127.0.0.1"):
            refusal = await refused(http.get(f"https://{host}:{server.port}/", headers={"authorization": SECRET}))
            assert (refusal.code, refusal.detail) == (Code.BAD_GATEWAY, "The server's certificate is not valid")
    assert len(server.requests) == 1
    _, stranger = certificate(tmp_path, "other.test")
    async with answering(response(b"here"), stranger) as server, calls() as http:
        assert (
            await refused(http.get(f"https://other.test:{server.port}/"))
        ).detail == "The server's certificate is not valid"
    assert server.requests == []
