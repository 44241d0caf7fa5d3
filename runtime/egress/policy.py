"""The network policy of a crew's processes: the proxy checks it before it looks up a name or opens a connection."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from models.staff.crews import NetworkMode
from resolvers.instance.addresses import parse_address
from resolvers.instance.outbound import Policy as Reachable
from resolvers.rules.allowed_domains import permits

HTTP, HTTPS = 80, 443
LONGEST_HOST = 253
OF_THE_SERVICE = "only the service may call this host"
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class ConnectionRefused(Exception):
    """The reason to refuse a connection, for the program that requested it. It names no host."""


class Unreadable(ConnectionRefused):
    """The request has no valid destination."""


class Endpoint(NamedTuple):
    """A host in one spelling (lower case, without a last dot or brackets), and a port."""

    host: str
    port: int

    @classmethod
    def of(cls, authority: str, default: int | None = None) -> Self:
        """Parses `host`, `host:port` or `[address]:port`; without a port it uses `default` if given. Raises
        Unreadable.
        """
        host, separator, text = authority.rpartition(":")
        if not separator or authority.endswith("]"):
            host, text = authority, "" if default is None else str(default)
        if not _PORT.fullmatch(text) or int(text) > 65535:
            raise Unreadable("the port must be from 1 to 65535")
        return cls(_host(host), int(text))

    @classmethod
    def of_url(cls, url: str) -> Self:
        """The destination of an http or https URL. Raises Unreadable."""
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": HTTP, "https": HTTPS}[parts.scheme]
        except (ValueError, KeyError):
            raise Unreadable("the address is not a URL of http or https") from None
        return cls(_host(f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""), port)

    @property
    def is_address(self) -> bool:
        """An address in any spelling that a resolver takes for one: `10.0.0.1`, `0x7f.1`, `::1`."""
        return ":" in self.host or _NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def is_loopback(self) -> bool:
        address = parse_address(self.host)
        return self.host == "localhost" or (address is not None and address.is_loopback)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _host(text: str) -> str:
    host = text.lower()
    if host.startswith("[") and host.endswith("]"):
        address = parse_address(host[1:-1])
        if address is None or "%" in host:
            raise Unreadable("invalid address in brackets")
        return str(address)
    host = host.removesuffix(".")
    if len(host) > LONGEST_HOST or not _NAME.fullmatch(host):
        raise Unreadable("the host must be a name or an address")
    return host


class Inside(Enum):
    """The content that a tunnel must carry."""

    TLS = "tls"
    HTTP = "http"
    ANYTHING = "anything"


class Grant(NamedTuple):
    """`reachable`: which of the host's addresses may be called."""

    inside: Inside
    reachable: Reachable


@dataclass(frozen=True, slots=True)
class Policy:
    """Restricted: the crew's `domains`, and `hosts` that the run itself needs, each by its exact name, over HTTPS (443)
    or HTTP (80). Free: every public host. Both exclude `closed`, even if listed: servers that the operator has declared
    for the service itself, each at that port.

    A wildcard or an address in the list matches nothing, because no request has such a name (contract: crews.create).
    """

    mode: NetworkMode = NetworkMode.restricted
    domains: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    closed: frozenset[Endpoint] = frozenset()

    def judge(self, target: Endpoint, *, tunnel: bool) -> Grant:
        """Raises Refused. `tunnel`: the connection carries bytes that the proxy does not read, instead of one HTTP
        request.
        """
        if target in self.closed:
            raise ConnectionRefused(OF_THE_SERVICE)
        if self.mode is NetworkMode.free:
            return Grant(Inside.ANYTHING, Reachable.PUBLIC)
        if target.is_address:
            raise ConnectionRefused("addresses are not on the allow-list")
        if not permits(tuple(self.domains), target.host) and target.host not in self.hosts:
            raise ConnectionRefused("the host is not on the crew's allow-list")
        if target.port == HTTP:
            return Grant(Inside.HTTP, Reachable.PUBLIC)
        if target.port == HTTPS and tunnel:
            return Grant(Inside.TLS, Reachable.PUBLIC)
        raise ConnectionRefused("hosts of the allow-list are reachable at ports 443 (HTTPS) and 80 (HTTP) only")
