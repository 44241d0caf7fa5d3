"""The head of a request is bounded, in bytes, lines and length of its URL; nothing sent beyond stays in memory."""

import asyncio
import itertools
from collections.abc import Iterable

import orjson
import pytest

from crewship.perimeter.protocol import AHEAD, HEAD_LIMIT, HEADERS, URL_LIMIT
from tests.attacks.wires import GET, MEGABYTE, connect, healthy, peak_memory, pour, rest_of, served
from tests.every import each_of

pytestmark = pytest.mark.anyio
START = b"GET / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
BLOCK = b"a" * (64 * 1024)

ENDLESS = {
    "url": (414, [b"GET /", *[BLOCK] * 800]),
    "one header": (431, [START, b"x: ", *[BLOCK] * 4800]),
    "name of a header": (431, [START, *[BLOCK] * 1600]),
    "headers of a megabyte": (431, [START, *[b"x: %b\r\n" % (b"a" * MEGABYTE)] * 300]),
    "small headers": (431, [START, *[b"a:\r\n" * 1000] * 500]),
    "method": (400, [BLOCK] * 1600),
    "empty lines": (431, [b"\r\n" * 32768] * 1600),
    "one trailer": (431, [CHUNKED, b"1\r\nx\r\n0\r\n", b"x: ", *[BLOCK] * 1600]),
    "trailers": (431, [CHUNKED, b"0\r\n", *[b"a:b\r\n" * 1000] * 1000]),
    "extension of a chunk": (431, [CHUNKED, b"1;", *[BLOCK] * 1600]),
}


@pytest.mark.slow
@each_of(("status", "parts"), ENDLESS.values(), ids=ENDLESS)
async def test_what_has_no_end_is_refused(status: int, parts: Iterable[bytes]) -> None:
    async with served() as port:
        before = peak_memory()
        sent, got = await pour(port, parts)
        assert await healthy(port)
    assert sent < 20 * MEGABYTE, "it went on listening"
    assert peak_memory() - before < 24 * MEGABYTE
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), got[:200]
    assert b"connection: close" in head
    assert orjson.loads(body)["status"] == status


def head(size: int) -> bytes:
    """A whole head whose URL, names and values, each header with its four separators, are so many bytes."""
    fixed = len(b"/") + len(b"host") + len(b"x") + 4 + len(b"x") + 4
    return START + b"x: " + b"a" * (size - fixed) + b"\r\n\r\n"


@pytest.mark.slow
@each_of("pieces", [1, 3, 40])
@each_of(
    ("request_", "status"),
    [
        (head(HEAD_LIMIT), 200),
        (head(HEAD_LIMIT + 1024), 431),
        (b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n" % (b"a" * (URL_LIMIT - 1)), 200),
        (b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n" % (b"a" * URL_LIMIT), 414),
        (START + b"x: y\r\n" * (HEADERS - 1) + b"\r\n", 200),
        (START + b"x: y\r\n" * HEADERS + b"\r\n", 431),
    ],
)
async def test_the_bounds(request_: bytes, status: int, pieces: int) -> None:
    async with served() as port:
        reader, writer = await connect(port)
        for piece in range(0, len(request_), len(request_) // pieces + 1):
            writer.write(request_[piece : piece + len(request_) // pieces + 1])
            await writer.drain()
            await asyncio.sleep(0.002 if pieces > 1 else 0)
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)
        writer.close()


async def test_a_head_that_begins_behind_a_body_is_measured_by_itself() -> None:
    body = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n" + b"b" * 60000
    second = head(HEAD_LIMIT - 100)
    async with served() as port:
        reader, writer = await connect(port)
        writer.write(body + second[:2000])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(second[2000:])
        answers = [await reader.readuntil(b"\r\n\r\n") for _ in range(2)]
        assert [a.startswith(b"HTTP/1.1 200") or b"HTTP/1.1 200" in a for a in answers] == [True, True]
        writer.close()


async def test_trailers_are_no_headers() -> None:
    async with served() as port:
        reader, writer = await connect(port)
        writer.write(CHUNKED + b"3\r\nabc\r\n0\r\nx: y\r\nauthorization: Bearer z\r\n\r\n" + GET)
        got = await reader.readuntil(b"3 2")
        assert got.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 200" in await reader.readuntil(b"0 1")
        writer.close()


async def test_requests_far_ahead_of_their_answers_are_few() -> None:
    """A quarter megabyte holds 10,000 of the smallest requests; each costs a hundred times its bytes while it waits."""
    async with served() as port:
        reader, writer = await connect(port)
        writer.write(b"GET / HTTP/1.1\r\nhost:\r\n\r\n" * 20_000)
        got = await rest_of(reader)
        writer.close()
        assert await healthy(port)
    assert 1 < got.count(b"HTTP/1.1 200") <= AHEAD + 1
    assert got.count(b"connection: close") == 1


async def test_a_client_ahead_of_its_answers_gets_them_all() -> None:
    async with served() as port:
        reader, writer = await connect(port)
        for _ in range(3):
            writer.write(GET * 50)
            for _ in range(50):
                assert (await reader.readuntil(b"\r\n\r\n")).endswith(b"\r\n\r\n")
                await reader.readexactly(3)
        writer.close()


async def test_an_answer_under_way_comes_before_the_end() -> None:
    async with served() as port:
        reader, writer = await connect(port)
        writer.write(GET + b"NO HTTP AT ALL\r\n\r\n")
        got = await rest_of(reader)
        writer.close()
    assert got.startswith(b"HTTP/1.1 200")
    assert got.count(b"HTTP/1.1") == 1


async def test_small_pieces_of_a_large_body_are_no_head() -> None:
    async with served() as port:
        reader, writer = await connect(port)
        writer.write(CHUNKED)
        for _ in itertools.repeat(None, 100):
            writer.write(b"1\r\nx\r\n" * 1000)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await reader.readuntil(b"100000 2")).startswith(b"HTTP/1.1 200")
        writer.close()
