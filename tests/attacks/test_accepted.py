"""Which HTTP is accepted: what another server in between may read otherwise is refused, on both ways of a request."""

import orjson
import pytest

from tests.attacks.wires import connect, echo, healthy, rest_of, served
from tests.every import each_of

pytestmark = pytest.mark.anyio
LINE = b"POST /a HTTP/1.1\r\n"
HOST = b"host: x\r\n"
CHUNKS = b"\r\n2\r\n{}\r\n0\r\n\r\n"

REFUSED = {
    "no host": (400, LINE + b"content-length: 2\r\n\r\n{}"),
    "two hosts": (400, LINE + HOST + b"host: y\r\ncontent-length: 2\r\n\r\n{}"),
    "the same host twice": (400, LINE + HOST + HOST + b"content-length: 2\r\n\r\n{}"),
    "two hosts in one": (400, LINE + b"host: x, y\r\ncontent-length: 2\r\n\r\n{}"),
    "a host with a path": (400, LINE + b"host: x/y\r\ncontent-length: 2\r\n\r\n{}"),
    "a host with a user": (400, LINE + b"host: a@x\r\ncontent-length: 2\r\n\r\n{}"),
    "two hosts in an older version": (400, b"GET /a HTTP/1.0\r\n" + HOST + b"host: y\r\n\r\n"),
    "version 2.0 in text": (505, b"GET /a HTTP/2.0\r\n" + HOST + b"\r\n"),
    "version 0.9": (505, b"GET /a HTTP/0.9\r\n" + HOST + b"\r\n"),
    "gzip before chunked": (501, LINE + HOST + b"transfer-encoding: gzip, chunked\r\n" + CHUNKS),
    "gzip in a field of its own": (
        501,
        LINE + HOST + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n" + CHUNKS,
    ),
    "identity before chunked": (501, LINE + HOST + b"transfer-encoding: identity, chunked\r\n" + CHUNKS),
    "chunked twice": (400, LINE + HOST + b"transfer-encoding: chunked, chunked\r\n" + CHUNKS),
    "chunked, not last": (400, LINE + HOST + b"transfer-encoding: chunked, gzip\r\n" + CHUNKS),
    "a coding that is none": (400, LINE + HOST + b"transfer-encoding: xchunked\r\n" + CHUNKS),
    "a length beside chunks": (400, LINE + HOST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n" + CHUNKS),
    "chunks in an older version": (400, b"POST /a HTTP/1.0\r\n" + HOST + b"transfer-encoding: chunked\r\n" + CHUNKS),
    "another expectation": (417, LINE + HOST + b"expect: 200-ok\r\ncontent-length: 2\r\n\r\n{}"),
    "more than one expectation": (417, LINE + HOST + b"expect: 100-continue, x\r\ncontent-length: 2\r\n\r\n{}"),
    "two expectations": (417, LINE + HOST + b"expect: 100-continue\r\nexpect: x\r\ncontent-length: 2\r\n\r\n{}"),
}
ACCEPTED = {
    "one host": LINE + HOST + b"content-length: 2\r\n\r\n{}",
    "an empty host": LINE + b"host:\r\ncontent-length: 2\r\n\r\n{}",
    "an address and a port": LINE + b"host: [::1]:8080\r\ncontent-length: 2\r\n\r\n{}",
    "a name with an underscore": LINE + b"host: my_crew.local:80\r\ncontent-length: 2\r\n\r\n{}",
    "an older version without a host": b"POST /a HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}",
    "chunks": LINE + HOST + b"transfer-encoding: chunked\r\n" + CHUNKS,
    "chunks in capitals": LINE + HOST + b"Transfer-Encoding: Chunked\r\n" + CHUNKS,
    "the expectation": LINE + HOST + b"expect: 100-Continue\r\ncontent-length: 2\r\n\r\n{}",
    "an expectation of an older version": b"POST /a HTTP/1.0\r\n" + HOST + b"expect: x\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.slow
@each_of("pieces", [1, 2])
@each_of(("status", "request_"), REFUSED.values(), ids=REFUSED)
async def test_what_can_be_read_in_two_ways_is_refused(status: int, request_: bytes, pieces: int) -> None:
    """Each time, on whichever connection; nothing that follows on it is a request."""
    async with served(echo) as port:
        for _ in range(3):
            reader, writer = await connect(port)
            half = len(request_) // pieces
            for part in (request_[:half], request_[half:]):
                writer.write(part)
                await writer.drain()
            writer.write(LINE + HOST + b"content-length: 2\r\n\r\n{}")
            got = await rest_of(reader)
            writer.close()
            assert got.startswith(b"HTTP/1.1 %d " % status), got[:200]
            assert got.count(b"\r\ndate: ") == 1
            head, _, body = got.partition(b"\r\n\r\n")
            assert b"connection: close" in head
            assert b"cache-control: no-store" in head
            assert orjson.loads(body)["status"] == status
        assert await healthy(port)


@pytest.mark.slow
@each_of("request_", ACCEPTED.values(), ids=ACCEPTED)
async def test_what_has_one_meaning_is_answered(request_: bytes) -> None:
    async with served(echo) as port:
        for _ in range(3):
            reader, writer = await connect(port)
            writer.write(request_)
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 100 "):
                head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            writer.close()
