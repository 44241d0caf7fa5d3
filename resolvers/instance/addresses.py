"""Address and origin of a call (contract: rate_limits.client_address, csrf.origin_check, ws_token.origin)."""

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK = "127.0.0.1"

# The contract's private networks: RFC 1918 and RFC 4193. `is_private` of the standard library holds many more.
_PRIVATE = tuple(ip_network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
# Networks whose addresses carry an IPv4 address that a gateway or the host itself may deliver to: RFC 6052, 3056, 4380.
_NAT64, _6TO4, _TEREDO = IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16"), IPv6Network("2001::/32")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_LONGEST_ADDRESS = 64


class AddressReach(Enum):
    """The distance of an address."""

    LOOPBACK = "loopback"
    PRIVATE = "private"
    PUBLIC = "public"


def parse_address(text: str) -> Address | None:
    """The address, as IPv4 if it wraps one in IPv6; None if the text is not an address."""
    return _parse(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """One spelling per address: `::ffff:10.0.0.1` is `10.0.0.1`, IPv6 short and lower-case. Other texts are
    unchanged.
    """
    address = parse_address(text)
    return text if address is None else str(address)


@lru_cache(maxsize=4096)
def subscriber(text: str) -> str:
    """The part of an address that counts as one client: an IPv4 address, or the /64 that an IPv6 subscriber has."""
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return text if address is None else str(address)


@lru_cache(maxsize=4096)
def site(text: str) -> str:
    """The largest part of the address space that one customer has: an IPv4 address, or an IPv6 /48, which holds 65,536
    subscribers (RFC 6177).
    """
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 80 << 80))
    return text if address is None else str(address)


def reach(text: str) -> AddressReach:
    """The distance of an address. A text that is not an address counts as public, so it gets no rights."""
    address = parse_address(text)
    if address is None:
        return AddressReach.PUBLIC
    if address.is_loopback:
        return AddressReach.LOOPBACK
    return AddressReach.PRIVATE if any(address in block for block in _PRIVATE) else AddressReach.PUBLIC


def is_public_address(address: Address | str) -> bool:
    """Returns true if an outbound connection to the address leaves this host and its networks, even if it wraps an IPv4
    address.
    """
    found = parse_address(address if isinstance(address, str) else str(address))
    if isinstance(found, IPv6Address) and (found.scope_id is not None or found.is_site_local or found in _NAT64_LOCAL):
        return False
    if isinstance(found, IPv6Address) and (wrapped := _wrapped(found)) is not None:
        return is_public_address(wrapped)
    return found is not None and found.is_global and not (found.is_multicast or found.is_reserved)


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _6TO4:
        return address.sixtofour
    return address.teredo[1] if address in _TEREDO and address.teredo else None


class TrustedProxies:
    """The peers whose word about the client is taken: this machine, and the configured networks."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._trusted = lru_cache(maxsize=4096)(self._look_up)

    def trusts(self, address: str) -> bool:
        return len(address) <= _LONGEST_ADDRESS and self._trusted(address)

    def _look_up(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and (address.is_loopback or any(address in network for network in self._networks))

    def client(self, peer: str, forwarded_for: bytes | None, real_ip: bytes | None) -> str:
        """The client's address in its canonical spelling.

        From a trusted peer: the right-most entry of X-Forwarded-For that is not a trusted proxy, otherwise X-Real-IP.
        Entries are read from the right up to the first one that is not an address, because a client may have written it
        and everything before it.
        """
        if (forwarded_for is None and real_ip is None) or not self.trusts(peer):
            return canonical(peer)
        for entry in reversed(forwarded_for.decode("latin-1").split(",")) if forwarded_for else ():
            address = _forwarded_address(entry)
            if address is None:
                break
            if not self.trusts(address):
                return address
        return (_forwarded_address(real_ip.decode("latin-1")) if real_ip else None) or canonical(peer)

    def scheme(self, peer: str, *, tls: bool, forwarded_proto: bytes | None) -> str:
        """The server's own scheme for the origin check."""
        if tls or forwarded_proto is None:
            return "https" if tls else "http"
        return "https" if forwarded_proto.lower() == b"https" and self.trusts(peer) else "http"


def _forwarded_address(entry: str) -> str | None:
    """An entry as proxies write it: `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]:567`."""
    entry = entry.strip(" \t")
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    address = parse_address(entry)
    return None if address is None else str(address)


def normal_origin(text: str) -> str:
    """An origin for comparison: lower-case, no trailing slash, no default port."""
    text = text.strip().rstrip("/").lower()
    default = ":443" if text.startswith("https:") else ":80" if text.startswith("http:") else ""
    return text.removesuffix(default)


def own_origin(scheme: str, host: str) -> str:
    """The origin of this server as the request names it: its scheme, and the Host header with its port."""
    return normal_origin(f"{scheme}://{host}")


def origin_allowed(origin: bytes | None, referer: bytes | None, *, own: str, allowed: frozenset[str]) -> bool:
    """The check of state-changing requests. `own` and `allowed` are normal origins; absent headers are allowed."""
    if origin:
        named = normal_origin(origin.decode("latin-1"))
    elif referer:
        named = _origin_of_url(referer.decode("latin-1"))
    else:
        return True
    return named != "null" and (named == own or named in allowed)


def same_host(origin: bytes | None, referer: bytes | None, host: str) -> bool:
    """The refresh route's check: the host (with port) of Origin, else Referer, is the request's; absent is allowed."""
    source = origin or referer
    if not source:
        return True
    scheme, _, named = _origin_of_url(source.decode("latin-1")).partition("://")
    return bool(named) and f"{scheme}://{named}" == own_origin(scheme, host)


def socket_origin_allowed(
    origin: bytes | None, host: str, *, production: bool, allowed: frozenset[str] = frozenset()
) -> bool:
    """WebSocket upgrades: the Origin's host name is the request's, ports ignored; this machine's outside production."""
    if not origin:
        return True
    named = normal_origin(origin.decode("latin-1"))
    name = _host_name(named.partition("://")[2])
    if named == "null" or not name:
        return False
    return name == _host_name(host.lower()) or (name in ("localhost", LOOPBACK) and not production) or named in allowed


def _origin_of_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    for end in "/?#\\":
        rest = rest.partition(end)[0]
    return normal_origin(f"{scheme}://{rest}") if separator else ""


def _host_name(authority: str) -> str:
    return authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]
