"""Compresses answers for clients that accept gzip, by their size and type.

Small answers stay as they are, because they need as many packets either way. So do streams, answers that set a cookie,
and those with a strong ETag, which names these very bytes.

The length of a compressed answer reveals whether words that a stranger put into it also occur elsewhere in it (BREACH).
A stranger's page can make a browser send its cookie, but not a token, and cannot claim to be this server's own page. So
answers to a cookie are compressed only for this server's own pages.
"""

import functools
import gzip
from collections.abc import Iterable, Mapping

from anyio import to_thread

Header = tuple[bytes, bytes]

LEAST = 4 * 1024  # bytes of a body
AT_ONCE = 32 * 1024  # bytes that take less time than a thread's turn
LEVEL = 1  # of what is made for one answer
MOST = 16 * 1024 * 1024  # bytes; what is larger is no JSON that anybody reads at once
_TYPES = (b"application/json", b"application/graphql-response+json", b"application/problem+json")
_ADDED = b"Accept-Encoding"


def wanted(headers: Mapping[bytes, bytes]) -> bool:
    """Returns true if the answer to a request with these headers may be compressed."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None or not takes_gzip(accepted):
        return False
    return b"cookie" not in headers or headers.get(b"sec-fetch-site") == b"same-origin"


@functools.lru_cache(256)
def takes_gzip(accepted: bytes) -> bool:
    """Returns true if an Accept-Encoding contains gzip, by name or by a star, without the weight 0."""
    weights: dict[bytes, bytes] = {}
    for part in accepted.lower().split(b","):
        name, _, weight = part.partition(b";")
        weights[name.strip()] = weight.replace(b" ", b"")
    asked = weights.get(b"gzip", weights.get(b"*"))
    return asked is not None and asked.rstrip(b".0") != b"q="


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


async def compress(headers: Iterable[Header], body: bytes) -> tuple[list[Header], bytes]:
    """The same answer, smaller."""
    packed = _pack(body) if len(body) <= AT_ONCE else await to_thread.run_sync(_pack, body)
    made: list[Header] = []
    for name, value in headers:
        if name == b"content-length":
            made.append((name, str(len(packed)).encode()))
        elif name == b"vary" and _ADDED.lower() not in value.lower():
            made.append((name, b"%b, %b" % (value, _ADDED)))
        else:
            made.append((name, value))
    return [*made, (b"content-encoding", b"gzip")], packed


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)
