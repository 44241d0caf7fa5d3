"""Internal tokens are good near the server only; webhooks are good when the agent's secret made them, and lately."""

import hashlib
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.errors import Code, Refusal
from resolvers.identity import machine_tokens, webhook_senders
from resolvers.identity.machine_tokens import BoundTo, CallOrigin, InternalPrincipal, Master
from resolvers.identity.webhook_senders import SignatureScheme
from tests.every import each_of

MASTER = "5ec7e7" * 10
BOUND = machine_tokens.issue_workspace_token(MASTER, "cworkspace")
SOCKET, LOOPBACK, LOOPBACK6 = (
    CallOrigin("127.0.0.1", False, True),
    CallOrigin("127.0.0.1", False, False),
    CallOrigin("::1", False, False),
)
PRIVATE, PUBLIC, PROXIED = (
    CallOrigin("172.17.0.3", False, False),
    CallOrigin("203.0.113.9", False, False),
    CallOrigin("127.0.0.1", True, False),
)


def outcome(
    token: str | None, caller: CallOrigin, *, allow_any: bool = False, master: str = MASTER
) -> InternalPrincipal | Code:
    try:
        return machine_tokens.verify_internal(token, master=master, caller=caller, allow_any=allow_any)
    except Refusal as refusal:
        return refusal.code


@each_of(
    ("caller", "master", "bound", "wrong"),
    [
        (SOCKET, Master(), BoundTo("cworkspace"), Code.FORBIDDEN),
        (LOOPBACK, Master(), BoundTo("cworkspace"), Code.FORBIDDEN),
        (LOOPBACK6, Master(), BoundTo("cworkspace"), Code.FORBIDDEN),
        (PRIVATE, Code.FORBIDDEN, BoundTo("cworkspace"), Code.FORBIDDEN),
        (PUBLIC, Code.NOT_FOUND, Code.NOT_FOUND, Code.NOT_FOUND),
        (PROXIED, Code.NOT_FOUND, Code.NOT_FOUND, Code.NOT_FOUND),
        (CallOrigin("10.0.0.1", True, False), Code.NOT_FOUND, Code.NOT_FOUND, Code.NOT_FOUND),
        (CallOrigin("", False, False), Code.NOT_FOUND, Code.NOT_FOUND, Code.NOT_FOUND),
    ],
)
def test_who_may_call_from_where(caller: CallOrigin, master: object, bound: object, wrong: object) -> None:
    assert outcome(MASTER, caller) == master
    assert outcome(BOUND, caller) == bound
    for token in (None, "", "x", MASTER[:-1], MASTER + "0", BOUND[:-1], "é", "\ud800"):
        assert outcome(token, caller) == wrong


def test_the_override_drops_the_rules_about_addresses_only() -> None:
    for caller in (PUBLIC, PROXIED, PRIVATE):
        assert outcome(MASTER, caller, allow_any=True) == Master()
        assert outcome(BOUND, caller, allow_any=True) == BoundTo("cworkspace")
        assert outcome("x", caller, allow_any=True) is Code.FORBIDDEN


def test_a_bound_token_says_its_workspace_and_depends_on_the_master() -> None:
    prefix, workspace, mac = BOUND.split(".")
    assert (prefix, workspace, len(mac)) == ("wsv1", "cworkspace", 64)
    assert outcome(f"wsv1.cother.{mac}", LOOPBACK) is Code.FORBIDDEN
    assert outcome(machine_tokens.issue_workspace_token("another", "cworkspace"), LOOPBACK) is Code.FORBIDDEN
    assert mac != hmac.new(MASTER.encode(), b"cworkspace", hashlib.sha256).hexdigest()


def test_an_empty_master_admits_nobody() -> None:
    for token in ("", machine_tokens.issue_workspace_token("", "cworkspace"), MASTER):
        assert outcome(token, SOCKET, master="") is Code.FORBIDDEN


@given(st.text(max_size=100) | st.text(max_size=100).map("wsv1.".__add__))
@example("wsv1.")
@example("wsv1..")
@example("wsv1." + "." * 100)
@example("wsv1.cworkspace")
def test_no_junk_is_a_token(token: str) -> None:
    assert outcome(token, SOCKET) is Code.FORBIDDEN


SECRET, BODY, NOW = "topsecret", b'{"event":"ping"}', 1_751_558_400
BODY_ONLY = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
TIMESTAMPED = hmac.new(SECRET.encode(), b"1751558400." + BODY, hashlib.sha256).hexdigest()


def read(signature: str | None, timestamp: str | None, plain: str | None) -> webhook_senders.SenderClaim:
    shown = {b"x-signature": signature, b"x-timestamp": timestamp, b"x-webhook-secret": plain}
    return webhook_senders.read_claim(
        {name: value.encode("latin-1", "replace") for name, value in shown.items() if value is not None}
    )


def accept(
    *,
    signature: str | None = None,
    timestamp: str | None = None,
    plain: str | None = None,
    body: bytes = BODY,
    secret: str = SECRET,
    require: bool = False,
    now: float = NOW,
) -> SignatureScheme | Code:
    try:
        shown = read(signature, timestamp, plain)
        shown.verify(body, secret=secret, require_timestamp=require, now=now)
    except Refusal as refusal:
        return refusal.code
    return SignatureScheme(shown.scheme)


def test_each_scheme_of_the_contract_is_accepted() -> None:
    assert accept(signature=BODY_ONLY) is SignatureScheme.body_only
    assert accept(signature=TIMESTAMPED, timestamp="1751558400") is SignatureScheme.timestamped
    assert accept(plain=SECRET) is SignatureScheme.plain_secret
    assert (
        accept(signature=hmac.new(SECRET.encode(), b"", hashlib.sha256).hexdigest(), body=b"")
        is SignatureScheme.body_only
    )


def test_what_the_secret_did_not_make_is_refused() -> None:
    for signature in (BODY_ONLY.upper(), f"sha256={BODY_ONLY}", BODY_ONLY[:-1], TIMESTAMPED, "é", "\ud800", SECRET):
        assert accept(signature=signature) is Code.UNAUTHENTICATED
    assert accept(signature=BODY_ONLY, timestamp="1751558400") is Code.UNAUTHENTICATED
    assert accept(signature=TIMESTAMPED, timestamp="1751558401") is Code.UNAUTHENTICATED
    assert accept(signature=BODY_ONLY, body=BODY + b" ") is Code.UNAUTHENTICATED
    assert accept(plain="topsecreT") is Code.UNAUTHENTICATED


def test_the_plain_secret_counts_only_without_a_signature() -> None:
    assert accept(signature="0" * 64, plain=SECRET) is Code.UNAUTHENTICATED
    assert accept(signature="", plain=SECRET) is SignatureScheme.plain_secret


def test_nothing_shown_is_refused_before_the_secret_is_looked_up() -> None:
    for timestamp in (None, "1751558400", "junk"):
        with pytest.raises(Refusal) as caught:
            read(None, timestamp, "")
        assert caught.value.code is Code.UNAUTHENTICATED


def test_an_empty_secret_validates_nothing() -> None:
    assert accept(signature=hmac.new(b"", BODY, hashlib.sha256).hexdigest(), secret="") is Code.UNAUTHENTICATED
    assert accept(plain="x", secret="") is Code.UNAUTHENTICATED


@each_of(
    ("now", "accepted"),
    [
        (NOW, True),
        (NOW + 300, True),
        (NOW + 300.9, True),
        (NOW + 301, False),
        (NOW - 300, True),
        (NOW - 301, False),
        (NOW - 300.1, False),
        (0, False),
    ],
)
def test_a_timestamp_is_good_for_five_minutes_either_side(now: float, accepted: bool) -> None:
    assert accept(signature=TIMESTAMPED, timestamp="1751558400", now=now) is (
        SignatureScheme.timestamped if accepted else Code.BAD_REQUEST
    )


@given(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=30))  # no head of HTTP has a NUL
@example("1751558400.0")
@example("1e9")
@example("٣" * 10)
@example("²")
@example("-")
@example("--1")
@example("9" * 5000)
@example(" 1751558400")
@example("-9223372036854775808")
def test_other_timestamps_are_bad_requests(timestamp: str) -> None:
    if timestamp.isascii() and timestamp.isdigit() and abs(int(timestamp[:20]) - NOW) <= 300:
        return
    assert accept(signature="0" * 64, timestamp=timestamp) is Code.BAD_REQUEST


def test_an_agent_may_require_timestamps() -> None:
    assert accept(signature=BODY_ONLY, require=True) is Code.BAD_REQUEST
    assert accept(plain=SECRET, require=True) is Code.BAD_REQUEST
    assert accept(plain="wrong", require=True) is Code.BAD_REQUEST
    assert accept(signature=TIMESTAMPED, timestamp="1751558400", require=True) is SignatureScheme.timestamped
    assert accept(signature=BODY_ONLY, timestamp="1751558400", require=True) is Code.UNAUTHENTICATED
    assert accept(require=True) is Code.UNAUTHENTICATED


@given(
    st.binary(max_size=100), st.text(min_size=1, max_size=40), st.none() | st.integers(NOW - 300, NOW + 300).map(str)
)
def test_what_is_signed_is_accepted(body: bytes, secret: str, timestamp: str | None) -> None:
    signature = webhook_senders.webhook_signature(body, secret, timestamp)
    assert accept(signature=signature, timestamp=timestamp, body=body, secret=secret) is (
        SignatureScheme.timestamped if timestamp else SignatureScheme.body_only
    )
