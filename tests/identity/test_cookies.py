"""Cookies as browsers and the command line client send and expect them."""

from http.cookies import SimpleCookie

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.identity import cookies
from tests.every import each_of

DAYS_30 = 2_592_000
OCTETS = [chr(c) for c in (0x21, *range(0x23, 0x2C), *range(0x2D, 0x3B), *range(0x3C, 0x5C), *range(0x5D, 0x7F))]
NAMES = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=30
)
VALUES = st.text(OCTETS, max_size=40)


def attributes(set_cookie: str) -> tuple[str, str, dict[str, str]]:
    """Name, value and attributes (a flag's value is empty), read independently of the code that wrote them."""
    [(name, morsel)] = SimpleCookie(set_cookie).items()
    rest = dict(part.strip().partition("=")[::2] for part in set_cookie.split(";")[1:])
    return name, morsel.value, rest


@pytest.mark.parametrize(("https", "prefix"), [(False, ""), (True, "__Secure-")])
def test_signing_in_sets_both_tokens(https: bool, prefix: str) -> None:
    flags = {"HttpOnly": "", "SameSite": "Lax"} | ({"Secure": ""} if https else {})
    access, refresh = cookies.set_session("aa.bb-_", "cc", https=https)
    assert attributes(access) == (
        f"{prefix}authjs.session-token",
        "aa.bb-_",
        flags | {"Path": "/", "Max-Age": str(DAYS_30)},
    )
    assert attributes(refresh) == (
        f"{prefix}authjs.refresh-token",
        "cc",
        flags | {"Path": "/api/auth/", "Max-Age": str(DAYS_30)},
    )


@pytest.mark.parametrize(("https", "name"), [(False, "authjs.csrf-token"), (True, "__Host-authjs.csrf-token")])
def test_the_csrf_token_is_a_session_cookie(https: bool, name: str) -> None:
    flags = {"HttpOnly": "", "SameSite": "Lax", "Path": "/"} | ({"Secure": ""} if https else {})
    [csrf] = cookies.set_csrf("ab12", https=https)
    assert attributes(csrf) == (name, "ab12", flags)


def test_signing_out_clears_all_four_names_on_their_paths() -> None:
    cleared = {
        name: (value, rest["Path"], rest["Max-Age"], "Secure" in rest)
        for name, value, rest in map(attributes, cookies.clear_all())
    }
    assert cleared == {
        "authjs.session-token": ("", "/", "0", False),
        "__Secure-authjs.session-token": ("", "/", "0", True),
        "authjs.refresh-token": ("", "/api/auth/", "0", False),
        "__Secure-authjs.refresh-token": ("", "/api/auth/", "0", True),
    }


@each_of("value", ["a;b", "a b", "a\r\nSet-Cookie: x=y", 'a"b', "é", "a,b", "a\\b", "a\n"])
def test_a_value_cannot_break_out_of_its_header(value: str) -> None:
    with pytest.raises(ValueError, match="not a cookie value") as caught:
        cookies.set_csrf(value, https=False)
    assert value not in str(caught.value)


@each_of(
    ("tls", "proto", "forced", "https"),
    [
        (False, None, None, False), (True, None, None, True), (False, b"https", None, True),
        (False, b"HTTPS", None, False),
        (False, b"https,http", None, False), (False, b"http", True, True),
        (True, b"http", False, True), (False, None, False, False), (False, b"https", False, True),
    ],
)  # fmt: skip
def test_when_cookies_are_secure(tls: bool, proto: bytes | None, forced: bool | None, https: bool) -> None:
    assert cookies.https_when(tls=tls, forwarded_proto=proto, forced=forced) is https


@each_of(
    ("header", "found"),
    [
        (None, {}), (b"", {}), (b"a=1", {"a": "1"}), (b"a=1; b=2", {"a": "1", "b": "2"}),
        (b"a=1;b=2;", {"a": "1", "b": "2"}), (b"a=1; a=2", {"a": "1"}),
        (b'a="q 1"; b="', {"a": "q 1", "b": '"'}), (b"a=x=y==", {"a": "x=y=="}),
        (b" a = 1 ;; ;=v; junk; b=", {"a": "1", "b": ""}), (b'a=""', {"a": ""}),
        (b"a=; a=2", {"a": ""}), (b"\xff=\x00\xfe", {"\xff": "\x00\xfe"}),
    ],
)  # fmt: skip
def test_reading_a_cookie_header(header: bytes | None, found: dict[str, str]) -> None:
    assert cookies.parse(header) == found


@given(st.binary(max_size=300))
@example(b";" * 10_000)
@example(b'"' * 10_000 + b"=" * 10_000)
def test_junk_never_raises(header: bytes) -> None:
    for name, value in cookies.parse(header).items():
        assert name
        assert f"{name}" in header.decode("latin-1")
        assert value in header.decode("latin-1")


@pytest.mark.slow
@given(st.lists(st.tuples(NAMES, VALUES)), st.booleans())
def test_well_formed_cookies_are_read_back(pairs: list[tuple[str, str]], quoted: bool) -> None:
    header = "; ".join(f'{n}="{v}"' if quoted else f"{n}={v}" for n, v in pairs)
    first = dict(reversed(pairs))
    assert cookies.parse(header.encode()) == first


@given(VALUES.filter(bool), VALUES.filter(bool), st.booleans())
def test_what_is_set_can_be_read(access: str, refresh: str, https: bool) -> None:
    sent = cookies.parse("; ".join(c.split(";")[0] for c in cookies.set_session(access, refresh, https=https)).encode())
    assert cookies.access_token(sent, https=https) == cookies.access_token(sent, https=not https) == access
    assert cookies.scheme_access_token(sent, https=https) == access
    assert cookies.scheme_access_token(sent, https=not https) is None
    assert cookies.refresh_token(sent, https=https) == refresh


def test_both_names_are_read_on_any_scheme_and_that_of_the_scheme_first() -> None:
    both = {"authjs.session-token": "plain", "__Secure-authjs.session-token": "secure"}
    assert cookies.access_token(both, https=False) == "plain"
    assert cookies.access_token(both, https=True) == "secure"
    for https in (False, True):
        assert cookies.access_token({"authjs.session-token": "plain"}, https=https) == "plain"
        assert (
            cookies.access_token({"authjs.session-token": "", "__Secure-authjs.session-token": "secure"}, https=https)
            == "secure"
        )
        assert cookies.access_token({"authjs.session-token": ""}, https=https) is None
    assert cookies.refresh_token({"authjs.refresh-token": "plain"}, https=True) == "plain"
    assert (
        cookies.refresh_token({"authjs.refresh-token": "plain", "__Secure-authjs.refresh-token": "secure"}, https=True)
        == "secure"
    )
    assert cookies.refresh_token({"__Secure-authjs.refresh-token": "secure"}, https=False) is None
    assert cookies.csrf_token({"authjs.csrf-token": "plain"}) == "plain"
    assert cookies.csrf_token({"authjs.csrf-token": "plain", "__Host-authjs.csrf-token": "host"}) == "host"
    assert cookies.csrf_token({}) is None
