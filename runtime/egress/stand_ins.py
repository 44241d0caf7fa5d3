"""Secrets that a program may use and not see. It has a stand-in; the proxy puts the value into requests to the hosts
that it is for, in headers that carry what proves who asks, and nowhere else.

What such a program says to these hosts over TLS has to be read for that: the proxy answers in their name, with a
certificate of an authority that this run alone trusts, and verifies the host itself.
"""

import base64
import binascii
import os
import re
import secrets
import ssl
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FEWEST: Final = 16
"""Characters of a stand-in that are drawn."""
LIFETIME: Final = timedelta(days=2)
_PREFIX: Final = re.compile(r"(?:[A-Za-z]{1,8}[_-]){0,2}")
_PROVES: Final = re.compile(
    rb"(?:.*-)?authorization|(?:.*-)?(?:api|auth|access|private|secret|app|service)-?(?:key|token|secret)"
    rb"|(?:x-)?(?:[a-z0-9]+-)?token",
    re.IGNORECASE,
)
"""Headers by which a client says who it is. What is sent in another one (Idempotency-Key), a server may quote."""
_SENDABLE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_KINDS: Final = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StandIn:
    """`shown` stands for `value` at `hosts`, which are in lower case."""

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
    """Of one run."""

    def __init__(self, each: Sequence[StandIn]) -> None:
        self._each = tuple(each)
        self.hosts = frozenset(host for one in each for host in one.hosts)
        self._authority: _Authority | None = None

    @property
    def certificate(self) -> bytes:
        """Of the authority, as PEM."""
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
        """Of an answer of the host: where it says a value, the stand-in is back."""
        return TakenOut([(value, shown) for shown, value in self._pairs(host)])

    def _pairs(self, host: str) -> list[tuple[bytes, bytes]]:
        return [(one.shown.encode(), one.value.encode()) for one in self._each if host in one.hosts]

    def _made(self) -> "_Authority":
        self._authority = self._authority or _Authority(self.hosts)
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
    """Of bytes that come in pieces. Both of a pair are of one length, so that what is said of lengths stays true."""

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self._pairs = [(value, shown) for value, shown in pairs if len(value) == len(shown)]
        self._held = b""

    def feed(self, piece: bytes | bytearray) -> bytes:
        """But for its end, where that may begin a value."""
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
    """How many of the last bytes of a text begin the value."""
    most = min(len(value) - 1, len(text))
    return next((size for size in range(most, 0, -1) if text.endswith(value[:size])), 0)


@cache
def client() -> ssl.SSLContext:
    """Verifies a host as the service does wherever it calls one. The first call reads files: make it in a thread."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Authority:
    """Its key is in this process alone, and it may speak for `hosts` and nobody else."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Crewship, for one run")])
        self._servers = dict[str, ssl.SSLContext]()
        allowed = x509.NameConstraints([x509.DNSName(host) for host in sorted(hosts)], None)
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        )
        sign = x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        made = (
            self._begun(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(sign, critical=True)
            .add_extension(allowed, critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._identifier = identifier
        self.certificate = made.public_bytes(serialization.Encoding.PEM)

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + LIFETIME)

    def server_for(self, host: str) -> ssl.SSLContext:
        if host not in self._servers:
            self._servers[host] = self._server(host)
        return self._servers[host]

    def _server(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier)
        made = (
            self._begun(x509.Name([]), key)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        form: Any = serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        whole = made.public_bytes(serialization.Encoding.PEM)
        whole += key.private_bytes(serialization.Encoding.PEM, form, plain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # OpenSSL takes a path alone: this one leads to memory.
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, whole)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return context
