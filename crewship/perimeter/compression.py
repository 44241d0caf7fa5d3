"""Compresses answers for clients that accept brotli or gzip, by their size and type.

Small answers stay as they are, because they need as many packets either way. So do streams, answers that set a cookie,
and those with a strong ETag, which names these very bytes.

The length of a compressed answer reveals whether words that a stranger put into it also occur elsewhere in it (BREACH).
A stranger's page can make a browser send its cookie, but not a token, and cannot claim to be this server's own page. So
answers to a cookie are compressed only for this server's own pages.
"""

import functools
import gzip
from collections.abc import Callable, Iterable, Mapping

import brotli
from anyio import to_thread

Header = tuple[bytes, bytes]

LEAST = 4 * 1024  # bytes of a body
AT_ONCE = 32 * 1024  # bytes that take less time than a thread's turn
LEVEL, QUALITY, WINDOW = 1, 3, 18  # of what is made for one answer: by gzip; by brotli, and the bits of its window
MOST = 16 * 1024 * 1024  # bytes; what is larger is no JSON that anybody reads at once
_TYPES = (b"application/json", b"application/graphql-response+json", b"application/problem+json")
_ADDED = b"Accept-Encoding"


def wanted(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The encoding of the answer to a request with these headers, if it may be compressed."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None or (b"cookie" in headers and headers.get(b"sec-fetch-site") != b"same-origin"):
        return None
    return encoding_for(accepted)


@functools.lru_cache(256)
def encoding_for(accepted: bytes) -> bytes | None:
    """The encoding that an Accept-Encoding weighs most, brotli before gzip."""
    weights = _weights(accepted)
    best = max(ENCODINGS, key=lambda name: weights.get(name, weights.get(b"*", 0.0)))
    return best if weights.get(best, weights.get(b"*", 0.0)) > 0 else None


@functools.lru_cache(256)
def takes_gzip(accepted: bytes) -> bool:
    """Returns true if an Accept-Encoding contains gzip, by name or by a star, without the weight 0."""
    weights = _weights(accepted)
    return weights.get(b"gzip", weights.get(b"*", 0.0)) > 0


def _weights(accepted: bytes) -> dict[bytes, float]:
    weights: dict[bytes, float] = {}
    for part in accepted.lower().split(b","):
        name, _, weight = part.partition(b";")
        _, named, value = weight.replace(b" ", b"").partition(b"q=")
        try:
            weights[name.strip()] = float(value) if named else 1.0
        except ValueError:
            weights[name.strip()] = 1.0
    return weights


def fits(status: int, headers: Iterable[Header], size: int) -> bool:
    """Returns true if an answer of this size is worth compressing."""
    if status != 200 or not LEAST <= size <= MOST:
        return False
    typed = False
    for name, value in headers:
        if name in (b"content-encoding", b"set-cookie", b"content-range"):
            return False
        if name == b"etag" and not value.startswith(b"W/"):
            return False
        if name == b"content-type":
            typed = value.startswith(_TYPES)
    return typed


async def compress(headers: Iterable[Header], body: bytes, encoding: bytes) -> tuple[list[Header], bytes]:
    """The same answer, smaller."""
    pack = ENCODINGS[encoding]
    packed = pack(body) if len(body) <= AT_ONCE else await to_thread.run_sync(pack, body)
    made: list[Header] = []
    for name, value in headers:
        if name == b"content-length":
            made.append((name, str(len(packed)).encode()))
        elif name == b"vary" and _ADDED.lower() not in value.lower():
            made.append((name, b"%b, %b" % (value, _ADDED)))
        else:
            made.append((name, value))
    return [*made, (b"content-encoding", encoding)], packed


def _brotli(body: bytes) -> bytes:
    packed: bytes = brotli.compress(body, quality=QUALITY, lgwin=WINDOW)
    return packed


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)


ENCODINGS: dict[bytes, Callable[[bytes], bytes]] = {b"br": _brotli, b"gzip": _gzip}
"""In the order of preference: of an answer of many rows, brotli makes a quarter less in less time."""
