"""Senders of webhooks to agents and routines, and how each signs: declarations over one verifier.

The contract's scheme (webhooks.trigger) is one of them. A claim is the unverified content of a delivery; only `verify`
makes it valid.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from models.staff.agents import WebhookScheme
from resolvers.errors import Code, Refusal
from resolvers.instance.crypto import secret_equals

TOLERANCE: Final = 300  # seconds either side, both ends included
MOST_SIGNATURES: Final = 10  # of one delivery: of a secret that is being replaced there are two
WHSEC: Final = "whsec_"
FEWEST_BYTES, MOST_BYTES = 16, 128
"""The length of the key in a secret of Standard Webhooks."""
_LONGEST_TIMESTAMP = 20
_LONGEST_DELIVERY = 200

Headers = Mapping[bytes, bytes]
Said = dict[str, Any]


class SignatureScheme(StrEnum):
    """The signature schemes of the contract."""

    timestamped = "timestamped"
    body_only = "body_only"
    plain_secret = "plain_secret"


class Unproven(Refusal):
    """A delivery without proof. `why` is for the agent's log; the sender gets no reason."""

    def __init__(self, code: Code, detail: str, why: str) -> None:
        super().__init__(code, detail)
        self.why = why


@dataclass(slots=True)
class SenderClaim:
    """A delivery is checked in this order: `read_claim` (401), the agent's secret, the body, `verify` (400, then 401).

    `scheme` is the declared scheme; `delivery` and `event` are the values of headers. `accepted`: it was verified.
    """

    sender: WebhookScheme
    scheme: str
    proofs: tuple[str, ...] = field(repr=False)
    timestamp: str | None = None
    delivery: str = ""
    event: str = ""
    accepted: bool = field(default=False, compare=False)

    @property
    def proof(self) -> str:
        return self.proofs[0] if self.proofs else ""

    @property
    def is_signature(self) -> bool:
        """Returns true if the value is a signature of this body rather than the secret itself."""
        return self.scheme != SignatureScheme.plain_secret

    def verify(self, body: bytes, *, secret: str, require_timestamp: bool, now: float) -> None:
        """BAD_REQUEST: stale, or without the time that the agent asks for. UNAUTHENTICATED: not made by the secret."""
        if require_timestamp and self.timestamp is None:
            raise Unproven(
                Code.BAD_REQUEST, "This agent accepts only deliveries with a signed timestamp", "no_timestamp"
            )
        if self.timestamp is not None and not _fresh(self.timestamp, now):
            raise Unproven(Code.BAD_REQUEST, "The timestamp is not within 5 minutes of the server's clock", "stale")
        expected = SENDERS[self.sender].expected(self, secret, body) if secret else ""
        good = [secret_equals(proof, expected) for proof in self.proofs[:MOST_SIGNATURES]]  # all of them: no early end
        if not expected or not any(good):
            raise Unproven(Code.UNAUTHENTICATED, "Invalid webhook signature", "bad_signature")
        self.accepted = True

    def told(self, body: bytes) -> Said:
        """`event`, `source` and `data` of the body. BAD_REQUEST if it is not a JSON object."""
        return SENDERS[self.sender].told(self, _object(body))

    def replay_id(self, body: bytes) -> str:
        """The sender's id of the delivery, the same when it is sent again; empty if there is none."""
        return self.delivery or SENDERS[self.sender].named(_object(body))[:_LONGEST_DELIVERY]

    def challenge(self, body: bytes) -> str | None:
        """The text that the sender expects in the answer before it sends any events."""
        said = _object(body) if self.sender is WebhookScheme.slack else {}
        asked = said.get("challenge") if said.get("type") == "url_verification" else None
        return asked if isinstance(asked, str) else None


@dataclass(frozen=True, slots=True)
class Sender:
    """`reads` is None of headers that are not its own. `expected` is the proof that the secret makes. `heads` and
    `sample` are a delivery of it, for tests of an agent's webhook.
    """

    reads: Callable[[Headers], SenderClaim | None]
    expected: Callable[[SenderClaim, str, bytes], str]
    told: Callable[[SenderClaim, Said], Said]
    named: Callable[[Said], str]
    heads: Callable[[str, str, str], dict[bytes, str]]
    sample: Callable[[str, str], Said]


def read_claim(headers: Headers) -> SenderClaim:
    """The contract's scheme first; an empty header is an absent one."""
    for sender in SENDERS.values():
        claim = sender.reads(headers)
        if claim is not None:
            return claim
    raise Unproven(Code.UNAUTHENTICATED, "A signature is required", "unsigned")


def read_routine_claim(headers: Headers) -> SenderClaim:
    """The claim of a delivery to a routine. One without a signature is a claim that no secret verifies: whether there
    is such a webhook is answered first (contract: routine_webhooks.fire, order_of_refusals).
    """
    for sender in (_routine, *(SENDERS[scheme].reads for scheme in WebhookScheme if scheme != WebhookScheme.crewship)):
        claim = sender(headers)
        if claim is not None:
            return claim
    return SenderClaim(WebhookScheme.crewship, SignatureScheme.body_only, ())


def sign(scheme: WebhookScheme, secret: str, now: float) -> tuple[dict[bytes, bytes], bytes]:
    """Headers and body of a delivery, as this sender makes them."""
    sender, delivery, stamp = SENDERS[scheme], secrets.token_hex(16), str(int(now))
    body = orjson.dumps(sender.sample(delivery, stamp))
    claim = read_claim(_heads(sender.heads(delivery, stamp, "-")))
    return _heads(sender.heads(delivery, stamp, sender.expected(claim, secret, body))), body


def new_secret(scheme: WebhookScheme) -> str:
    """32 random bytes: base64 as Standard Webhooks ask, else hex digits (contract: webhooks.secret)."""
    if scheme is WebhookScheme.standard_webhooks:
        return WHSEC + base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(32)


def fits(scheme: WebhookScheme, secret: str) -> bool:
    """Returns true if the sender can sign with the secret."""
    return scheme is not WebhookScheme.standard_webhooks or FEWEST_BYTES <= len(_standard_key(secret)) <= MOST_BYTES


def webhook_signature(body: bytes, secret: str, timestamp: str | None = None) -> str:
    """Lower-case hex HMAC-SHA256 of the body, or of `<timestamp>.<body>`; the timestamp is signed as it is written."""
    return _mac(_utf8(secret), body if timestamp is None else _utf8(timestamp) + b"." + body).hex()


def _contract(headers: Headers) -> SenderClaim | None:
    signature, timestamp = _head(headers, b"x-signature"), _head(headers, b"x-timestamp")
    if signature:
        scheme = SignatureScheme.timestamped if timestamp else SignatureScheme.body_only
        return SenderClaim(WebhookScheme.crewship, scheme, (signature,), timestamp or None)
    plain = _head(headers, b"x-webhook-secret")
    return SenderClaim(WebhookScheme.crewship, SignatureScheme.plain_secret, (plain,)) if plain else None


def _routine(headers: Headers) -> SenderClaim | None:
    """The secret itself is no proof here."""
    signature, timestamp = _head(headers, b"x-crewship-signature"), _head(headers, b"x-crewship-timestamp")
    if not signature:
        return None
    scheme = SignatureScheme.timestamped if timestamp else SignatureScheme.body_only
    named = _head(headers, b"idempotency-key") or _head(headers, b"x-crewship-event-id")
    proof = signature.strip().lower().removeprefix("sha256=")
    return SenderClaim(WebhookScheme.crewship, scheme, (proof,), timestamp or None, named)


def _contract_proof(claim: SenderClaim, secret: str, body: bytes) -> str:
    return webhook_signature(body, secret, claim.timestamp) if claim.is_signature else secret


def _standard(headers: Headers) -> SenderClaim | None:
    """Some senders call the headers `svix-…`."""
    for name in (b"webhook-", b"svix-"):
        signatures = _head(headers, name + b"signature")
        if signatures:
            proofs = tuple(one for one in signatures.split(" ") if one.startswith("v1,"))
            id, stamp = _head(headers, name + b"id"), _head(headers, name + b"timestamp")
            known = 0 < len(id) <= _LONGEST_DELIVERY  # without an id there is nothing that could have been signed
            return _claim(WebhookScheme.standard_webhooks, proofs if known else (), stamp, id)
    return None


def _standard_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(WHSEC), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _standard_proof(claim: SenderClaim, secret: str, body: bytes) -> str:
    key, signed = _standard_key(secret), _utf8(f"{claim.delivery}.{claim.timestamp}.") + body
    return f"v1,{base64.b64encode(_mac(key, signed)).decode()}" if key else ""


def _github(headers: Headers) -> SenderClaim | None:
    proof = _head(headers, b"x-hub-signature-256")
    named, event = (_head(headers, name)[:_LONGEST_DELIVERY] for name in (b"x-github-delivery", b"x-github-event"))
    return SenderClaim(WebhookScheme.github, WebhookScheme.github, (proof,), None, named, event) if proof else None


def _github_told(claim: SenderClaim, said: Said) -> Said:
    action, repository = said.get("action"), said.get("repository")
    event = f"{claim.event}.{action}" if isinstance(action, str) else claim.event
    source = repository.get("full_name") if isinstance(repository, dict) else None
    return {"event": event, "source": source if isinstance(source, str) else "github", "data": said}


def _stripe(headers: Headers) -> SenderClaim | None:
    shown = _head(headers, b"stripe-signature")
    if not shown:
        return None
    parts = [part.strip().partition("=") for part in shown.split(",")]
    proofs = tuple(value for name, _, value in parts if name == "v1")
    return _claim(WebhookScheme.stripe, proofs, next((value for name, _, value in parts if name == "t"), ""))


def _slack(headers: Headers) -> SenderClaim | None:
    proof, stamp = _head(headers, b"x-slack-signature"), _head(headers, b"x-slack-request-timestamp")
    return _claim(WebhookScheme.slack, (proof,), stamp) if proof else None


def _slack_told(claim: SenderClaim, said: Said) -> Said:
    event = said.get("event")
    inner = event.get("type") if isinstance(event, dict) else None
    return {"event": _text(inner) or _text(said.get("type")), "source": "slack", "data": said}


def _claim(sender: WebhookScheme, proofs: tuple[str, ...], stamp: str, delivery: str = "") -> SenderClaim:
    return SenderClaim(sender, sender, proofs, stamp, delivery)


SENDERS: Final[Mapping[WebhookScheme, Sender]] = {
    WebhookScheme.crewship: Sender(
        reads=_contract,
        expected=_contract_proof,
        told=lambda claim, said: {name: said[name] for name in ("event", "source", "data") if name in said},
        named=lambda said: "",
        heads=lambda id, stamp, proof: {b"x-signature": proof, b"x-timestamp": stamp},
        sample=lambda id, stamp: {"event": "test", "source": "crewship", "data": {"test": True, "id": id}},
    ),
    WebhookScheme.standard_webhooks: Sender(
        reads=_standard,
        expected=_standard_proof,
        told=lambda claim, said: {"event": _text(said.get("type")), "data": said.get("data", said)},
        named=lambda said: "",
        heads=lambda id, stamp, proof: {
            b"webhook-id": f"msg_{id}", b"webhook-timestamp": stamp, b"webhook-signature": proof,
        },
        sample=lambda id, stamp: {"type": "test", "data": {"test": True}},
    ),
    WebhookScheme.github: Sender(
        reads=_github,
        expected=lambda claim, secret, body: f"sha256={_mac(_utf8(secret), body).hex()}",
        told=_github_told,
        named=lambda said: "",
        heads=lambda id, stamp, proof: {
            b"x-github-event": "ping", b"x-github-delivery": id, b"x-hub-signature-256": proof,
        },
        sample=lambda id, stamp: {"zen": "A test of the webhook.", "hook_id": 0, "test": id},
    ),
    WebhookScheme.stripe: Sender(
        reads=_stripe,
        expected=lambda claim, secret, body: _mac(_utf8(secret), _utf8(f"{claim.timestamp}.") + body).hex(),
        told=lambda claim, said: {"event": _text(said.get("type")), "source": "stripe", "data": said},
        named=lambda said: _text(said.get("id")),
        heads=lambda id, stamp, proof: {b"stripe-signature": f"t={stamp},v1={proof}"},
        sample=lambda id, stamp: {"id": f"evt_{id}", "object": "event", "type": "test", "data": {"object": {}}},
    ),
    WebhookScheme.slack: Sender(
        reads=_slack,
        expected=lambda claim, secret, body: (
            f"v0={_mac(_utf8(secret), _utf8(f'v0:{claim.timestamp}:') + body).hex()}"
        ),
        told=_slack_told,
        named=lambda said: _text(said.get("event_id")),
        heads=lambda id, stamp, proof: {b"x-slack-request-timestamp": stamp, b"x-slack-signature": proof},
        sample=lambda id, stamp: {"type": "event_callback", "event_id": f"Ev{id}", "event": {"type": "test"}},
    ),
}  # fmt: skip


def _object(body: bytes) -> Said:
    """An empty body is valid and has no values."""
    if not body.strip():
        return {}
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise Refusal(Code.BAD_REQUEST, "The body is not a JSON object", reason="not_json")
    return said


def _fresh(timestamp: str, now: float) -> bool:
    digits = timestamp.removeprefix("-")
    if len(timestamp) > _LONGEST_TIMESTAMP or not (digits.isascii() and digits.isdigit()):
        return False
    return abs(int(timestamp) - int(now)) <= TOLERANCE


def _head(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").replace("\0", "")


def _heads(headers: dict[bytes, str]) -> dict[bytes, bytes]:
    return {name: value.encode() for name, value in headers.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
