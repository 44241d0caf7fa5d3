"""What is read of a host and a port that somebody else has written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.staff.crews import NetworkMode
from resolvers.instance.addresses import is_public_address
from runtime.egress import ConnectionRefused, Endpoint, Policy
from runtime.egress.policy import Inside
from tests.every import each_of

LISTED = frozenset({"a.example.com", "1.2.3.4", "*.example.com"})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Example.COM.:443", ("example.com", 443)),
        ("[::1]:80", ("::1", 80)),
        ("[::FFFF:1.2.3.4]:80", ("1.2.3.4", 80)),
        ("127.1:80", ("127.1", 80)),
    ],
)
def test_one_spelling(written: str, read: tuple[str, int]) -> None:
    assert Endpoint.of(written) == read


@each_of("written", ["1.2.3.4", "127.1", "0x7f.1", "2130706433", "0x7f000001", "::1", "a.b.0x1", "08"])
def test_addresses_in_any_spelling(written: str) -> None:
    assert Endpoint(written, 443).is_address


@given(st.text(max_size=300) | st.from_regex(r"\A[0-9a-fx.:\[\]%@-]{1,40}\Z"))
@example("[::1%lo]:80")
@example("a:65536")
@example("a:٣")
def test_whatever_is_written_is_read_once_or_refused(written: str) -> None:
    try:
        read = Endpoint.of(written)
    except ConnectionRefused:
        return
    assert Endpoint.of(str(read)) == read
    assert 0 < read.port < 65536
    assert read.host == read.host.lower()
    assert not set(read.host) & set(" \t\r\n/@%[]\0")
    for mode in NetworkMode:
        try:
            grant = Policy(mode, LISTED).judge(read, tunnel=True)
        except ConnectionRefused:
            continue
        assert mode is NetworkMode.free or (read.host == "a.example.com" and grant.inside is not Inside.ANYTHING)
        assert not grant.reachable.allows("127.0.0.1")
        assert grant.reachable.allows("1.1.1.1") == is_public_address("1.1.1.1")


@given(st.text(max_size=100))
def test_whatever_url_is_declared_is_read_or_refused(written: str) -> None:
    for url in (written, f"http://{written}", f"https://{written}/v1"):
        try:
            read = Endpoint.of_url(url)
        except ConnectionRefused:
            continue
        assert Endpoint.of(str(read)) == read
