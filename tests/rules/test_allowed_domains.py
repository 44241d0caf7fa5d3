"""Domains of restricted mode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.staff.crews import NetworkMode
from resolvers.rules.allowed_domains import (
    ALWAYS_ALLOWED,
    domains_on_create,
    domains_on_update,
    normalise_domain,
    normalise_domains,
    parse_network_mode,
    permits,
)
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, value_or_refusal


@each_of(
    ("entry", "host"),
    [
        ("github.com", "github.com"),
        ("  GitHub.COM\n", "github.com"),
        ("github.com:443", "github.com"),
        ("github.com:", "github.com"),
        ("https://github.com", "github.com"),
        ("HTTPS://GitHub.com:8443/a/b?c=d.e#f", "github.com"),
        ("//cdn.example.com/x", "cdn.example.com"),
        ("ftp://user:p@ss@files.example.com/", "files.example.com"),
        ("*.example.com", "*.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("example.com/path", "example.com/path"),
        ("example.com/PATH:80", "example.com/path"),
        ("münchen.de", "münchen.de"),
        ("https://a.com/with space", "a.com"),
        (".", "."),
    ],
)
def test_accepted(entry: str, host: str) -> None:
    assert normalise_domain(entry) == host


@each_of(
    "entry",
    [
        "",
        " ",
        "localhost",
        "localhost:8080",
        ":80",
        "https://",
        "https:///a.com",
        "https://localhost/a.b",
        "a b.com",
        "a.com b",
        "a.\u2003com",
        "a.com :80",
        "1x://a.com",
        "a.com/x?u=https://b.com",
        "[::1]:80",
        "a.\x00com",
        "a.com\ud800",
        "https://a.\ncom",
        "a.\x1bcom",
    ],
)
def test_refused(entry: str) -> None:
    with refused("allowed_domains", "is not a domain"):
        normalise_domains(["good.example.com", entry])


def test_order_and_duplicates_are_kept() -> None:
    assert normalise_domains(["b.com", "https://A.com", "b.com"]) == ["b.com", "a.com", "b.com"]


@given(anything)
def test_total(text: str) -> None:
    host = value_or_refusal(normalise_domain, text)
    if host is not None:
        host.encode()
        assert "." in host
        assert "\x00" not in host
        assert not any(c.isspace() for c in host)


@given(
    st.from_regex(r"[A-Za-z0-9.-]{1,30}\.[a-z]{2,5}", fullmatch=True),
    st.sampled_from(["", "http://", "wss://u@", "//"]),
    st.sampled_from(["", ":1", ":65535"]),
)
def test_scheme_and_port_change_nothing(host: str, scheme: str, port: str) -> None:
    assert normalise_domain(scheme + host + port) == host.lower()


@pytest.mark.parametrize(("text", "mode"), [("free", "free"), ("RESTRICTED", "restricted"), ("Free", "free")])
def test_mode(text: str, mode: str) -> None:
    assert parse_network_mode(text) == mode


@pytest.mark.parametrize("text", ["", "open", " free", "free\x00"])
def test_mode_refused(text: str) -> None:
    with refused("network_mode"):
        parse_network_mode(text)


@given(anything)
def test_mode_is_total(text: str) -> None:
    assert value_or_refusal(parse_network_mode, text) in {None, "free", "restricted"}


def test_free_mode_neither_checks_nor_stores_on_create() -> None:
    assert domains_on_create(NetworkMode.free, ["not a domain"]) == []
    assert domains_on_create(NetworkMode.restricted, None) == []
    assert domains_on_create(NetworkMode.restricted, ["A.com"]) == ["a.com"]
    with refused("allowed_domains"):
        domains_on_create(NetworkMode.restricted, ["not a domain"])


@each_of(
    ("given_mode", "stored_mode", "sent", "expected"),
    [
        (NetworkMode.free, NetworkMode.restricted, ["x.com"], []),
        (NetworkMode.free, NetworkMode.restricted, None, []),
        (NetworkMode.free, NetworkMode.free, ["not a domain"], []),
        (None, NetworkMode.free, ["not a domain"], ["old.com"]),
        (None, NetworkMode.free, None, ["old.com"]),
        (None, NetworkMode.restricted, None, ["old.com"]),
        (None, NetworkMode.restricted, [], []),
        (None, NetworkMode.restricted, ["NEW.com"], ["new.com"]),
        (NetworkMode.restricted, NetworkMode.free, None, ["old.com"]),
        (NetworkMode.restricted, NetworkMode.free, ["new.com"], ["new.com"]),
        (NetworkMode.restricted, NetworkMode.restricted, [], []),
    ],
)
def test_update(
    given_mode: NetworkMode | None, stored_mode: NetworkMode, sent: list[str] | None, expected: list[str]
) -> None:
    assert domains_on_update(given_mode, stored_mode, sent, ["old.com"]) == expected


@pytest.mark.parametrize("given_mode", [None, NetworkMode.restricted])
def test_update_checks_in_restricted_mode(given_mode: NetworkMode | None) -> None:
    with refused("allowed_domains"):
        domains_on_update(given_mode, NetworkMode.restricted, ["nodot"], [])


def test_hosts_match_exactly() -> None:
    allowed = ["x.com", "*.y.com"]
    assert permits(allowed, "x.com")
    assert permits(allowed, "X.com:443")
    assert all(permits([], host) for host in ALWAYS_ALLOWED)
    assert not permits(allowed, "a.x.com")
    assert not permits(allowed, "a.y.com")
    assert not permits(allowed, "x.com.evil.com")
    assert not permits([], "x.com")
