"""Tokens are read only as what they were signed as; anything else is refused in one of two ways."""

import base64
import hashlib
import hmac
import json
import re
import time
from datetime import timedelta
from itertools import permutations
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.people.auth import TokenTier
from resolvers.instance import crypto
from resolvers.instance.crypto import MalformedKey, Signer, TokenClaims, TokenExpired, TokenInvalid, TokenKind
from tests.every import each_of

NOW = 1_750_000_000
SIGNER = Signer("a secret of the tests")
ADMIN_KEY = bytes(range(32))
PAIRS = list(permutations(TokenKind, 2))


def issue(kind: TokenKind = TokenKind.access, **changes: Any) -> tuple[str, TokenClaims]:
    values: dict[str, Any] = {
        "user_id": "cuser",
        "session_id": "s_1",
        "lifetime": timedelta(days=30),
        "name": "Ada",
        "email": "ada@example.org",
        "now": NOW,
    }
    return SIGNER.sign(kind, **(values | changes))


def forge(changes: dict[str, Any], kind: TokenKind = TokenKind.access) -> str:
    """A token under the right key whose claims are not what `sign` would write; a change of `...` leaves it out."""
    payload = {
        "id": "cuser",
        "kind": kind.value,
        "sid": "s_1",
        "name": "Ada",
        "email": "a@b.cd",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "j",
    } | changes
    return jwt.encode({k: v for k, v in payload.items() if v is not ...}, SIGNER._keys[kind], algorithm="HS256")


@pytest.mark.parametrize("kind", TokenKind)
def test_a_token_says_what_it_was_signed_with(kind: TokenKind) -> None:
    token, claims = issue(kind)
    read = SIGNER.read(kind, token, now=NOW)
    assert (read.user_id, read.session_id, read.kind, read.issued_at, read.expires_at, read.jti) == (
        "cuser",
        "s_1",
        kind,
        NOW,
        NOW + 30 * 86400,
        claims.jti,
    )
    assert (read.name, read.email) == (("", "") if kind is TokenKind.refresh else ("Ada", "ada@example.org"))
    assert SIGNER.read(kind, token, now=NOW) == read


def test_every_token_has_an_id_of_128_bits() -> None:
    ids = {issue()[1].jti for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch("[0-9a-f]{32}", i) for i in ids)


def test_expiry_is_looked_at_on_every_read_and_has_five_seconds_of_leeway() -> None:
    token, claims = issue(lifetime=timedelta(seconds=60))
    assert SIGNER.read(TokenKind.access, token, now=claims.expires_at + 5) == claims
    with pytest.raises(TokenExpired):
        SIGNER.read(TokenKind.access, token, now=claims.expires_at + 5.001)
    assert SIGNER.read(TokenKind.access, token, now=claims.expires_at) == claims


@each_of(("signed", "read"), PAIRS)
def test_kinds_cannot_stand_in_for_each_other(signed: TokenKind, read: TokenKind) -> None:
    with pytest.raises(TokenInvalid):
        SIGNER.read(read, issue(signed)[0], now=NOW)


@each_of(("claimed", "read"), PAIRS)
def test_the_kind_claim_counts_even_under_the_right_key(claimed: TokenKind, read: TokenKind) -> None:
    with pytest.raises(TokenInvalid):
        SIGNER.read(read, forge({"kind": claimed.value}, read), now=NOW)


@each_of(
    "changes",
    [
        {"id": ""}, {"id": ...}, {"id": 7}, {"jti": ""}, {"jti": ...}, {"sid": ...}, {"sid": ""}, {"sid": None},
        {"kind": ...}, {"exp": ...}, {"exp": 9e99},
        {"exp": "tomorrow"}, {"exp": True}, {"exp": float("nan")}, {"iat": ...}, {"iat": "now"}, {"name": None},
        {"email": []},
    ],
)  # fmt: skip
def test_a_token_without_what_its_kind_needs_is_invalid(changes: dict[str, Any]) -> None:
    assert SIGNER.read(TokenKind.access, forge({}), now=NOW)
    with pytest.raises(TokenInvalid):
        SIGNER.read(TokenKind.access, forge(changes), now=NOW)


def test_only_a_ws_ticket_may_be_without_a_session_and_then_it_names_a_cli_token() -> None:
    token, _ = issue(TokenKind.ws, session_id=None, token_id="c1")
    claims = SIGNER.read(TokenKind.ws, token, now=NOW)
    assert (claims.session_id, claims.token_id) == (None, "c1")
    for forged in (
        {"sid": ""},
        {"sid": None},
        {"sid": None, "tid": ""},
        {"sid": "s_1", "tid": "c1"},
        {"sid": None, "tid": 5},
    ):
        with pytest.raises(TokenInvalid):
            SIGNER.read(TokenKind.ws, forge(forged, TokenKind.ws), now=NOW)
    with pytest.raises(TokenInvalid):
        SIGNER.read(TokenKind.access, forge({"sid": None, "tid": "c1"}), now=NOW)
    for unbound in ({"session_id": None}, {"session_id": "s_1", "token_id": "c1"}):
        with pytest.raises(ValueError, match="session"):
            issue(TokenKind.ws, **unbound)
    with pytest.raises(ValueError, match="session"):
        issue(TokenKind.refresh, session_id=None)
    with pytest.raises(ValueError, match="user"):
        issue(user_id="")


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def hs512(claims: object) -> str:
    signed = f"{segment({'alg': 'HS512', 'typ': 'JWT'})}.{segment(claims)}"
    digest = hmac.digest(SIGNER._keys[TokenKind.access], signed.encode(), "sha512")
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def test_no_other_algorithm_is_believed() -> None:
    claims = {"id": "cuser", "kind": "access", "sid": "s_1", "iat": NOW, "exp": NOW + 60, "jti": "j"}
    for token in (
        f"{segment({'alg': 'none', 'typ': 'JWT'})}.{segment(claims)}.",
        hs512(claims),
        jwt.encode(claims, "x" * 32, algorithm="HS256"),
    ):
        with pytest.raises(TokenInvalid):
            SIGNER.read(TokenKind.access, token, now=NOW)


def test_another_secret_makes_other_tokens() -> None:
    with pytest.raises(TokenInvalid):
        Signer("another secret").read(TokenKind.access, issue()[0], now=NOW)
    assert Signer("a secret of the tests").read(TokenKind.access, issue()[0], now=NOW).user_id == "cuser"
    with pytest.raises(MalformedKey):
        Signer("")


DEEP = base64.urlsafe_b64encode(b"[" * 2000).decode()
DIGITS = base64.urlsafe_b64encode(b"1" * 2500).decode()


@given(
    st.text()
    | st.builds(
        ".".join,
        st.lists(st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=", max_size=40), max_size=5),
    ),
    st.sampled_from(TokenKind),
)
@example("", TokenKind.access)
@example("...", TokenKind.access)
@example("a\x00b", TokenKind.access)
@example("\udc80.é.ü", TokenKind.ws)
@example(f"{DEEP}.{DEEP}.{DEEP}"[:4096], TokenKind.refresh)
@example(f"{DEEP}.e30.e30", TokenKind.refresh)
@example(f"{DIGITS}.e30.e30", TokenKind.refresh)
@example(f"{segment({'alg': 'HS256', 'crit': 5, 'b64': False})}..e30", TokenKind.access)
@example(f"{segment({'alg': ['HS256']})}.e30.e30", TokenKind.access)
@example("x" * 5_000_000, TokenKind.access)
def test_junk_is_invalid_and_nothing_else(junk: str, kind: TokenKind) -> None:
    with pytest.raises(TokenInvalid):
        SIGNER.read(kind, junk, now=NOW)


@given(st.data())
def test_a_changed_token_is_invalid(data: st.DataObject) -> None:
    token, _ = issue()
    at = data.draw(st.integers(0, token.rindex(".")))
    changed = token[:at] + data.draw(st.characters().filter(lambda c: c != token[at])) + token[at + 1 :]
    with pytest.raises(TokenInvalid):
        SIGNER.read(TokenKind.access, changed, now=NOW)


@given(st.text(max_size=2000), st.text(max_size=2000))
def test_any_name_fits_into_a_cookie(name: str, email: str) -> None:
    token, claims = issue(session_id=crypto.new_session_id(), name=name, email=email)
    assert len("__Secure-authjs.session-token=") + len(token) <= 4096
    assert SIGNER.read(TokenKind.access, token, now=NOW) == claims


def test_a_verified_token_is_not_verified_again() -> None:
    token, _ = issue()
    signer = Signer("a secret of the tests")
    for _ in range(10):
        signer.read(TokenKind.access, token, now=NOW)
    assert signer._verified.cache_info().misses == 1
    for junk in range(10):
        with pytest.raises(TokenInvalid):
            signer.read(TokenKind.access, f"a.b.{junk}", now=NOW)
    assert signer._verified.cache_info().currsize == 1


def test_cli_tokens_are_stored_by_hash() -> None:
    standard, admin = crypto.new_cli_token(TokenTier.STANDARD), crypto.new_cli_token(TokenTier.ADMIN)
    assert re.fullmatch("crewship_cli_[0-9a-f]{64}", standard)
    assert re.fullmatch("crewship_admin_[0-9a-f]{64}", admin)
    assert crypto.hash_cli_token(standard, None) == (TokenTier.STANDARD, hashlib.sha256(standard.encode()).hexdigest())
    assert crypto.hash_cli_token(admin, ADMIN_KEY) == (
        TokenTier.ADMIN,
        hmac.new(ADMIN_KEY, admin.encode(), hashlib.sha256).hexdigest(),
    )
    assert crypto.hash_cli_token(admin, None) is None


@given(st.sampled_from(["", "crewship_cli_", "crewship_admin_", "crewship_other_"]), st.text(max_size=80))
@example("crewship_cli_", "é" * 64)
@example("crewship_cli_", "\ud800" * 64)
@example("crewship_cli_", "0" * 1_000_000)
def test_a_value_of_another_form_has_no_hash(prefix: str, rest: str) -> None:
    found = crypto.hash_cli_token(prefix + rest, ADMIN_KEY)
    assert (found is not None) == (prefix in crypto.CLI_PREFIXES.values() and len(rest) == 64 and rest.isascii())


def test_a_malformed_admin_key_is_told_apart_from_an_absent_one() -> None:
    assert crypto.admin_hmac_key(None) is None
    assert crypto.admin_hmac_key("  ") is None
    assert crypto.admin_hmac_key(ADMIN_KEY.hex()) == ADMIN_KEY
    for bad in ("zz" * 32, "ab" * 31, "abc" * 21, "é" * 64):
        with pytest.raises(MalformedKey) as caught:
            crypto.admin_hmac_key(bad)
        assert bad not in str(caught.value)


def test_random_values_have_the_documented_forms() -> None:
    assert re.fullmatch("s_[0-9a-f]{64}", crypto.new_session_id())
    assert re.fullmatch("[0-9a-f]{64}", crypto.new_csrf_token())
    assert crypto.new_session_id() != crypto.new_session_id()


@given(st.text(), st.text())
@example("\ud800", "\ud800")
def test_secret_equality_is_equality(left: str, right: str) -> None:
    assert crypto.secret_equals(left, right) == (left == right)
    assert crypto.secret_equals(left, left)


def test_reading_uses_the_given_clock_only() -> None:
    token, claims = SIGNER.sign(TokenKind.access, user_id="cuser", session_id="s_1", lifetime=timedelta(minutes=1))
    assert abs(claims.issued_at - time.time()) < 5
    assert SIGNER.read(TokenKind.access, token, now=NOW - 10**8) == claims
