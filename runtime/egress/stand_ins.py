"""Secrets that a program can use without seeing them. It has a placeholder; the proxy inserts the value into
authentication headers of requests to the secret's hosts, and nowhere else.

For this the proxy has to read the program's TLS traffic to these hosts: it answers in their name, with a certificate of
an authority that only this run trusts, and verifies the host itself.
"""

import base64
import binascii
import importlib
import re
import secrets
import ssl
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.egress.authority import Authority

FEWEST: Final = 16
"""The number of random characters in a placeholder."""
_PREFIX: Final = re.compile(r"(?:[A-Za-z]{1,8}[_-]){0,2}")
_PROVES: Final = re.compile(
    rb"(?:.*-)?authorization|(?:.*-)?(?:api|auth|access|private|secret|app|service)-?(?:key|token|secret)"
    rb"|(?:x-)?(?:[a-z0-9]+-)?token",
    re.IGNORECASE,
)
"""Authentication headers. A server may quote other headers, such as Idempotency-Key."""
_SENDABLE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_KINDS: Final = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StandIn:
    """`shown` replaces `value` at `hosts`, which are in lower case."""

    shown: str
    value: str = field(repr=False)
    hosts: frozenset[str]


def stand_in_for(value: str) -> str | None:
    """As long as the value, with its prefix and kinds of characters; the others are drawn. None where no header can
    hold it, or there is too little to draw.
    """
    prefix = _PREFIX.match(value)
    kept = prefix[0] if prefix is not None else ""
    drawn = "".join(map(_other, value[len(kept) :]))
    exchanged = sum(any(each in kind for kind in _KINDS) for each in drawn)
    return f"{kept}{drawn}" if exchanged >= FEWEST and _SENDABLE.fullmatch(value) else None


def _other(character: str) -> str:
    return next((secrets.choice(kind) for kind in _KINDS if character in kind), character)


class StandIns:
    """The placeholders of one run."""

    def __init__(self, each: Sequence[StandIn]) -> None:
        self._each = tuple(each)
        self.hosts = frozenset(host for one in each for host in one.hosts)
        self._authority: Authority | None = None

    @property
    def certificate(self) -> bytes:
        """The authority's certificate as PEM."""
        return self._made().certificate

    def server_for(self, host: str) -> ssl.SSLContext:
        """To answer in the name of one of `hosts`."""
        return self._made().server_for(host)

    def put_in(self, host: str, headers: Headers) -> list[tuple[bytes, bytes]]:
        """For a request to the host, which was verified. It is to answer in no encoding, so that it can be read."""
        mine = self._pairs(host)
        given = [(name, value) for name, value in headers if name != b"accept-encoding"]
        made = [(name, _exchanged(name, value, mine) if _PROVES.fullmatch(name) else value) for name, value in given]
        return [*made, (b"accept-encoding", b"identity")]

    def taken_out(self, host: str) -> "TakenOut":
        """Redacts an answer of the host: each value is replaced by its placeholder."""
        return TakenOut([(value, shown) for shown, value in self._pairs(host)])

    def _pairs(self, host: str) -> list[tuple[bytes, bytes]]:
        return [(one.shown.encode(), one.value.encode()) for one in self._each if host in one.hosts]

    def _made(self) -> "Authority":
        if self._authority is None:
            authority = importlib.import_module("runtime.egress.authority")  # which no start needs
            self._authority = authority.Authority(self.hosts)
        return self._authority


def _exchanged(name: bytes, value: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    scheme, _, rest = value.partition(b" ")
    if name.lower().endswith(b"authorization") and scheme.lower() == b"basic":
        try:
            told = base64.b64decode(rest.strip(), validate=True)
        except binascii.Error:
            return value
        return scheme + b" " + base64.b64encode(_replaced(told, pairs))
    return _replaced(value, pairs)


def _replaced(text: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    for shown, value in pairs:
        text = text.replace(shown, value)
    return text


class TakenOut:
    """Redacts bytes that arrive in pieces. A value and its placeholder have the same length, so declared lengths remain
    correct.
    """

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self._pairs = [(value, shown) for value, shown in pairs if len(value) == len(shown)]
        self._held = b""

    def feed(self, piece: bytes | bytearray) -> bytes:
        """Returns the bytes except their end, which may begin a value."""
        text = _replaced(self._held + bytes(piece), self._pairs)
        begun = max((_begins(text, value) for value, _ in self._pairs), default=0)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def headers(self, given: Headers) -> list[tuple[bytes, bytes]]:
        return [(name, _replaced(value, self._pairs)) for name, value in given]


def _begins(text: bytes, value: bytes) -> int:
    """The number of last bytes of a text that begin the value."""
    most = min(len(value) - 1, len(text))
    return next((size for size in range(most, 0, -1) if text.endswith(value[:size])), 0)


@cache
def client() -> ssl.SSLContext:
    """Verifies a host as the service does wherever it calls one. The first call reads files: make it in a thread."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
