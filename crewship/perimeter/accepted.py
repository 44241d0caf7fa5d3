"""The accepted subset of HTTP: a head must have one meaning only, otherwise a proxy in between may read another one
(RFC 9112).

The parser is lenient about parts of it. Refused heads are never cached.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Why(NamedTuple):
    """The reason why a request is refused."""

    status: int
    detail: str


VERSION = Why(505, "This server speaks HTTP/1.1 and HTTP/1.0")
NO_HOST = Why(400, "An HTTP/1.1 request must have a Host header")
HOSTS = Why(400, "A request can have only one Host header")
BAD_HOST = Why(400, "The Host header is not valid")
CODING = Why(501, "Only the transfer coding chunked is supported")
FRAMING = Why(400, "The framing of the body is ambiguous")
EXPECTATION = Why(417, "Only the expectation 100-continue is supported")

_NOT_IN_HOST = b' \t,/?#@\\<>"^`{|}'
"""The separators of URL parts and list items: with any of them, other programs read a host differently."""


def fault(version: str, headers: Sequence[tuple[bytes, bytes]]) -> Why | None:
    """Names are lower-case."""
    if version not in ("1.1", "1.0"):
        return VERSION
    host: bytes | None = None
    codings = list[bytes]()
    expected, lengths = False, 0
    for name, value in headers:
        if name == b"host":
            if host is not None:
                return HOSTS
            host = value
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"expect":
            expected = expected or value.strip().lower() != b"100-continue"
        elif name == b"content-length":
            lengths += 1
    if host is None:
        if version == "1.1":
            return NO_HOST
    elif host.translate(None, _NOT_IN_HOST) != host.strip():
        return BAD_HOST
    if codings and (found := _coding_fault(version, codings, lengths)) is not None:
        return found
    return EXPECTATION if expected and version == "1.1" else None


def _coding_fault(version: str, codings: Sequence[bytes], lengths: int) -> Why | None:
    names = [part.strip().lower() for part in b",".join(codings).split(b",")]
    if names == [b"chunked"]:
        return FRAMING if version == "1.0" or lengths else None
    if names[-1] != b"chunked" or names.count(b"chunked") > 1:
        return FRAMING
    return CODING
