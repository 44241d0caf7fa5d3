"""Forwarding headers count only from those who may be believed, and an origin is the server's own or a listed one."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.instance import addresses
from resolvers.instance.addresses import AddressReach, TrustedProxies
from tests.every import each_of

PROXIES = TrustedProxies([ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/48"), ip_network("192.0.2.7")])


@each_of(
    ("peer", "forwarded", "real", "client"),
    [
        ("203.0.113.9", None, None, "203.0.113.9"),
        ("203.0.113.9", b"198.51.100.1", b"198.51.100.2", "203.0.113.9"),
        ("127.0.0.1", None, None, "127.0.0.1"),
        ("127.0.0.1", b"198.51.100.1", None, "198.51.100.1"),
        ("::1", b"198.51.100.1", None, "198.51.100.1"),
        ("::ffff:127.0.0.1", b"198.51.100.1", None, "198.51.100.1"),
        ("10.1.2.3", b"6.6.6.6, 198.51.100.1", None, "198.51.100.1"),
        ("10.1.2.3", b"6.6.6.6, 198.51.100.1 ,10.1.9.9,\t192.0.2.7", None, "198.51.100.1"),
        ("10.2.2.3", b"198.51.100.1", None, "10.2.2.3"),
        ("10.1.2.3", b"10.1.0.1, 10.1.0.2", b"198.51.100.2", "198.51.100.2"),
        ("10.1.2.3", b"10.1.0.1", None, "10.1.2.3"),
        ("10.1.2.3", None, b"198.51.100.2", "198.51.100.2"),
        ("10.1.2.3", b"198.51.100.1, unknown", b"198.51.100.2", "198.51.100.2"),
        ("10.1.2.3", b"198.51.100.1, unknown", b"junk", "10.1.2.3"),
        ("10.1.2.3", b"", b"", "10.1.2.3"),
        ("10.1.2.3", b"198.51.100.1:4711", None, "198.51.100.1"),
        ("2001:db8:1::5", b"[2001:DB8:2:0::1]:443", None, "2001:db8:2::1"),
        ("2001:db8:1::5", b"::ffff:198.51.100.1", None, "198.51.100.1"),
        ("", b"198.51.100.1", b"198.51.100.2", ""),
    ],
)
def test_the_clients_address(peer: str, forwarded: bytes | None, real: bytes | None, client: str) -> None:
    assert PROXIES.client(peer, forwarded, real) == client


IPV4 = st.ip_addresses(v=4).map(str)
ENTRIES = st.lists(
    IPV4
    | st.ip_addresses(v=6).map(str)
    | st.sampled_from(["unknown", "", "10.1.0.1", "127.0.0.1", "::1"])
    | st.text(max_size=5),
    max_size=6,
)


@given(st.ip_addresses().map(str), ENTRIES, st.none() | st.binary(max_size=20))
def test_nobody_but_a_trusted_peer_is_believed(peer: str, entries: list[str], real: bytes | None) -> None:
    header = ",".join(entries).encode("latin-1", "replace")
    if not PROXIES.trusts(peer):
        assert PROXIES.client(peer, header, real) == addresses.canonical(peer)


@pytest.mark.slow
@given(
    ENTRIES,
    st.ip_addresses(v=4).map(str).filter(lambda a: not PROXIES.trusts(a)),
    st.lists(st.sampled_from(["10.1.0.1", "127.0.0.1", "192.0.2.7"]), max_size=3),
)
def test_a_client_cannot_write_its_own_address(claimed: list[str], real: str, proxies: list[str]) -> None:
    """Each proxy appends the peer it saw, so whatever a client claims stands left of its real address."""
    header = ",".join([*claimed, real, *proxies]).encode("latin-1", "replace")
    assert PROXIES.client("10.1.2.3", header, b"6.6.6.6") == real


@given(st.text(max_size=70), st.binary(max_size=200), st.binary(max_size=70))
@example("x" * 1_000_000, b"," * 10_000, b"1" * 100_000)
@example("127.0.0.1", b"[", b"]")
@example("127.0.0.1", b"fe80::1%" + b"z" * 10, b"")
def test_junk_never_raises_and_names_no_address_but_one(peer: str, forwarded: bytes, real: bytes) -> None:
    client = PROXIES.client(peer, forwarded, real)
    assert client == peer or ip_address(client)
    assert addresses.reach(client) in AddressReach
    assert addresses.subscriber(client) or not client


@each_of(
    ("peer", "tls", "proto", "scheme"),
    [
        ("203.0.113.9", True, None, "https"),
        ("203.0.113.9", False, b"https", "http"),
        ("10.1.2.3", False, b"https", "https"),
        ("10.1.2.3", False, b"http", "http"),
        ("127.0.0.1", False, b"https", "https"),
        ("127.0.0.1", False, None, "http"),
        ("10.1.2.3", True, b"http", "https"),
    ],
)
def test_the_servers_own_scheme(peer: str, tls: bool, proto: bytes | None, scheme: str) -> None:
    assert PROXIES.scheme(peer, tls=tls, forwarded_proto=proto) == scheme


@each_of(
    ("address", "reach"),
    [
        ("127.0.0.1", AddressReach.LOOPBACK),
        ("127.9.9.9", AddressReach.LOOPBACK),
        ("::1", AddressReach.LOOPBACK),
        ("::ffff:127.0.0.1", AddressReach.LOOPBACK),
        ("10.0.0.1", AddressReach.PRIVATE),
        ("172.31.255.255", AddressReach.PRIVATE),
        ("172.32.0.0", AddressReach.PUBLIC),
        ("192.168.1.1", AddressReach.PRIVATE),
        ("::ffff:192.168.1.1", AddressReach.PRIVATE),
        ("fd00::1", AddressReach.PRIVATE),
        ("8.8.8.8", AddressReach.PUBLIC),
        ("169.254.169.254", AddressReach.PUBLIC),
        ("0.0.0.0", AddressReach.PUBLIC),
        ("", AddressReach.PUBLIC),
        ("localhost", AddressReach.PUBLIC),
    ],
)
def test_how_far_away_an_address_is(address: str, reach: AddressReach) -> None:
    assert addresses.reach(address) is reach


@each_of(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::808:808",
        "2002:a00:1::",
        "2002:7f00:1::1",
        "2001:0:0:0:0:0:f5ff:fffe",
        "2001:db8::1",
        "",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
    ],
)
def test_addresses_an_outbound_request_may_not_reach(address: str) -> None:
    assert not addresses.is_public_address(address)


@each_of("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"])
def test_public_addresses(address: str) -> None:
    assert addresses.is_public_address(address)
    assert addresses.is_public_address(ip_address(address))


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_does_not_make_it_public(address: IPv4Address) -> None:
    public, number = addresses.is_public_address(address), int(address)
    for wrapped in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert addresses.is_public_address(IPv6Address(wrapped)) is public


def test_an_ipv6_client_is_its_whole_network() -> None:
    assert addresses.subscriber("2001:db8:5:6:7:8:9:a") == addresses.subscriber("2001:db8:5:6::1") == "2001:db8:5:6::"
    assert addresses.subscriber("2001:db8:5:7::1") != addresses.subscriber("2001:db8:5:6::1")
    assert addresses.subscriber("::ffff:198.51.100.1") == addresses.subscriber("198.51.100.1") == "198.51.100.1"
    assert addresses.subscriber("198.51.100.2") == "198.51.100.2"


ALLOWED = frozenset({"https://app.example.org", "null"})


@each_of(
    ("origin", "referer", "ok"),
    [
        (None, None, True),
        (b"", b"", True),
        (b"http://crew.local:8080", None, True),
        (b"HTTP://Crew.Local:8080/", None, True),
        (b"http://crew.local", None, False),
        (b"https://crew.local:8080", None, False),
        (b"http://crew.local:8080.evil.com", None, False),
        (b"http://evil.com", None, False),
        (b"null", None, False),
        (b"https://app.example.org", None, True),
        (b"https://app.example.org:443", None, True),
        (b"https://app.example.org:8443", None, False),
        (b"https://sub.app.example.org", None, False),
        (b"\xff\x00", None, False),
        (b"file://", None, False),
        (None, b"http://crew.local:8080/crews?x=http://evil.com", True),
        (None, b"http://evil.com/http://crew.local:8080", False),
        (None, b"http://crew.local:8080@evil.com/", False),
        (None, b"about:blank", False),
        (None, b"http://evil.com\\@crew.local:8080/", False),
        (b"http://evil.com", b"http://crew.local:8080/", False),
        (None, b"null", False),
    ],
)
def test_the_origin_of_a_state_changing_request(origin: bytes | None, referer: bytes | None, ok: bool) -> None:
    assert (
        addresses.origin_allowed(origin, referer, own=addresses.own_origin("http", "crew.local:8080"), allowed=ALLOWED)
        is ok
    )


@given(st.binary(min_size=1, max_size=60), st.binary(max_size=60))
def test_no_junk_passes_as_an_origin(origin: bytes, referer: bytes) -> None:
    own = addresses.own_origin("http", "crew.local")
    passed = addresses.origin_allowed(origin, referer, own=own, allowed=frozenset())
    assert passed == (addresses.normal_origin(origin.decode("latin-1")) == "http://crew.local")


def test_default_ports_are_no_difference() -> None:
    assert (
        addresses.own_origin("https", "crew.local:443")
        == addresses.own_origin("https", "crew.local")
        == "https://crew.local"
    )
    assert addresses.own_origin("http", "[::1]:80") == "http://[::1]"
    assert addresses.own_origin("http", "crew.local:443") == "http://crew.local:443"


@each_of(
    ("origin", "referer", "ok"),
    [
        (None, None, True),
        (b"https://crew.local:8080", None, True),
        (b"http://crew.local:8080", None, True),
        (b"http://crew.local", None, False),
        (b"null", None, False),
        (None, b"http://crew.local:8080/login", True),
        (None, b"http://evil.com/", False),
        (b"http://", None, False),
    ],
)
def test_the_refresh_route_compares_hosts_whatever_the_scheme(
    origin: bytes | None, referer: bytes | None, ok: bool
) -> None:
    assert addresses.same_host(origin, referer, "crew.local:8080") is ok


@each_of(
    ("origin", "production", "ok"),
    [
        (None, True, True),
        (b"http://crew.local:3000", True, True),
        (b"https://CREW.local", True, True),
        (b"http://localhost:3000", False, True),
        (b"http://localhost:3000", True, False),
        (b"http://127.0.0.1", False, True),
        (b"http://127.0.0.1", True, False),
        (b"http://localhost.evil.com", False, False),
        (b"null", False, False),
        (b"http://evil.com", False, False),
        (b"https://app.example.org", True, True),
        (b"http://", False, False),
        (b"\xff", False, False),
    ],
)
def test_the_origin_of_a_socket(origin: bytes | None, production: bool, ok: bool) -> None:
    assert addresses.socket_origin_allowed(origin, "crew.local:8080", production=production, allowed=ALLOWED) is ok


def test_sockets_know_ipv6_hosts() -> None:
    assert addresses.socket_origin_allowed(b"http://[::1]:3000", "[::1]:8080", production=True)
    assert not addresses.socket_origin_allowed(b"http://[::2]:8080", "[::1]:8080", production=True)
