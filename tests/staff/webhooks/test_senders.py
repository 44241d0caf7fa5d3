"""Each sender's own signatures are taken, and nothing else: published examples, and what their libraries sign."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.staff.agents import WebhookScheme
from resolvers.errors import Code, Refusal
from resolvers.identity.webhook_senders import (
    MOST_SIGNATURES,
    SENDERS,
    SenderClaim,
    Unproven,
    fits,
    new_secret,
    read_claim,
    sign,
)
from tests.npm import NODE, node_modules

NPM = Path(__file__).with_name("npm")
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
PUBLISHED = (
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        1614265330,
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    ),
    (
        "It's a Secret to Everybody",
        b"Hello, World!",
        0,
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    ),
    (
        "8f742231b10e8888abcd99yyyzzz85a5",
        SLACK_BODY,
        1531420618,
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
    ),
)  # fmt: skip


def claim(headers: dict[str, str]) -> SenderClaim:
    return read_claim({name.encode(): value.encode() for name, value in headers.items()})


def judged(shown: SenderClaim, body: bytes, secret: str, now: float, *, timed: bool = False) -> Code | None:
    try:
        shown.verify(body, secret=secret, require_timestamp=timed, now=now)
    except Refusal as refusal:
        return refusal.code
    return None


@pytest.mark.parametrize(("secret", "body", "now", "headers"), PUBLISHED)
def test_published_examples_are_taken(secret: str, body: bytes, now: int, headers: dict[str, str]) -> None:
    shown = claim(headers)
    assert judged(shown, body, secret, now) is None
    assert judged(shown, body + b" ", secret, now) is Code.UNAUTHENTICATED
    assert judged(shown, body, "", now) is Code.UNAUTHENTICATED
    assert judged(shown, body, new_secret(shown.sender), now) is Code.UNAUTHENTICATED
    late = None if shown.timestamp is None else Code.BAD_REQUEST
    assert judged(shown, body, secret, now + 301) is late
    assert judged(shown, body, secret, now, timed=True) is (Code.BAD_REQUEST if late is None else None)


@given(st.sampled_from(list(WebhookScheme)), st.integers(0, 2**33), st.integers(-400, 400))
def test_what_is_signed_is_taken_in_its_time_and_by_its_sender_alone(
    scheme: WebhookScheme, now: int, later: int
) -> None:
    secret = new_secret(scheme)
    headers, body = sign(scheme, secret, now)
    shown = read_claim(headers)
    assert (shown.sender, shown.told(body)["event"]) == (scheme, "ping" if scheme is WebhookScheme.github else "test")
    stale = shown.timestamp is not None and abs(later) > 300
    assert judged(shown, body, secret, now + later) is (Code.BAD_REQUEST if stale else None)
    for name in headers:
        others = {key: value for key, value in headers.items() if key != name}
        try:
            left = read_claim(others)
        except Unproven:
            pass
        else:
            of_name = name in (b"x-github-event", b"x-github-delivery")
            assert (judged(left, body, secret, now) is None) is of_name, "all of the rest is signed"


@given(st.sampled_from(list(SENDERS)), st.dictionaries(st.sampled_from(
    ["webhook-id", "webhook-timestamp", "webhook-signature", "x-hub-signature-256", "stripe-signature",
     "x-slack-signature", "x-slack-request-timestamp", "x-signature", "x-timestamp", "x-webhook-secret"]
), st.text(alphabet=st.characters(max_codepoint=255), max_size=40)), st.binary(max_size=50))  # fmt: skip
def test_nothing_that_is_made_up_is_taken(scheme: WebhookScheme, headers: dict[str, str], body: bytes) -> None:
    try:
        shown = read_claim({name.encode(): value.encode("latin-1") for name, value in headers.items()})
    except Unproven:
        return
    assert judged(shown, body, new_secret(scheme), 0) in (Code.UNAUTHENTICATED, Code.BAD_REQUEST)


def test_one_of_several_signatures_is_enough_and_few_are_looked_at() -> None:
    good = claim({"stripe-signature": "t=5,v1=no,v0=x"})
    made = SENDERS[WebhookScheme.stripe].expected(good, "a secret of mine", b"{}")
    for number in range(MOST_SIGNATURES + 1):
        shown = claim({"stripe-signature": "t=5," + "v1=bad," * number + f"v1={made}"})
        assert judged(shown, b"{}", "a secret of mine", 5) is (
            None if number < MOST_SIGNATURES else Code.UNAUTHENTICATED
        )
    old = claim({"stripe-signature": f"t=5,v0={made}"})
    assert judged(old, b"{}", "a secret of mine", 5) is Code.UNAUTHENTICATED, "another version of the scheme"
    secret = new_secret(WebhookScheme.standard_webhooks)
    headers, body = sign(WebhookScheme.standard_webhooks, secret, 5)
    both = {**headers, b"webhook-signature": b"v1a,c2ln v1,bm8= " + headers[b"webhook-signature"]}
    assert judged(read_claim(both), body, secret, 5) is None


def test_a_secret_of_standard_webhooks_is_a_key() -> None:
    scheme = WebhookScheme.standard_webhooks
    assert fits(scheme, new_secret(scheme))
    for bad in ("whsec_", "whsec_?", "whsec_" + base64.b64encode(b"x" * 15).decode(), "a word and another one"):
        assert not fits(scheme, bad)
    assert fits(WebhookScheme.github, "a word and another one")


@pytest.mark.slow
@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_what_the_senders_libraries_sign_is_taken(pytestconfig: pytest.Config) -> None:
    modules = node_modules(pytestconfig, NPM / "package.json", "senders")
    script = modules.with_name("sign.mjs")
    script.write_bytes((NPM / "sign.mjs").read_bytes())
    whsec, now = new_secret(WebhookScheme.standard_webhooks), 1_751_558_400
    given_ = {"secret": "sixteen or more é", "whsec": whsec, "body": '{"id":"evt_1","name":"Å"}', "id": "msg_1"}
    assert NODE is not None
    made = subprocess.run(
        [NODE, str(script)], input=json.dumps(given_ | {"timestamp": now}), capture_output=True, text=True, check=True
    )
    for name, headers in json.loads(made.stdout).items():
        shown = claim(headers)
        secret = whsec if name == "standard_webhooks" else given_["secret"]
        assert shown.sender == name
        assert judged(shown, given_["body"].encode(), secret, now) is None
        assert judged(shown, given_["body"].encode(), secret + "A", now) is Code.UNAUTHENTICATED
