"""Addresses of MCP servers: checks of a URL without network access (contract: integrations, server_fields).

Names are looked up when the server is called, and the same checks are repeated then.
"""

import socket
from typing import Final
from urllib.parse import urlsplit

from resolvers.instance.addresses import is_public_address, parse_address

PORTS: Final = {"http": 80, "https": 443}
OWN_NAMES: Final = ("localhost", "local", "internal")


def endpoint_fault(url: str, *, private: bool = False) -> str | None:
    """The fault of a server's address, or None. `private`: addresses of the host's networks are allowed."""
    if any(letter.isspace() or not letter.isprintable() or letter == "\\" for letter in url):
        return "has characters that are not allowed in a URL"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in PORTS:
        return "must begin with http:// or https://"
    if not host or port == 0:
        return "has no host, or an invalid port"
    if "@" in parts.netloc:
        return "must not have a user name or password"
    return None if private or _is_outside(host) else "must not have a private address"


def origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of a URL that can be called, each in one spelling; None for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname.rstrip("."), PORTS[parts.scheme] if port is None else port


def _is_outside(host: str) -> bool:
    name = host.lower().rstrip(".")
    address = _address(name)
    if address is not None:
        return is_public_address(address)
    return bool(name) and name.rpartition(".")[2] not in OWN_NAMES


def _address(name: str) -> str | None:
    """An address in any spelling: IPv6, and IPv4 with decimal, octal and hexadecimal parts, or fewer than four."""
    if parse_address(name.strip("[]")) is not None:
        return name.strip("[]")
    try:
        return socket.inet_ntoa(socket.inet_aton(name)) if name[:1].isdigit() else None
    except OSError:
        return None
