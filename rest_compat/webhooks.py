"""REST: webhooks of agents."""

from typing import Any

import orjson

from models.webhooks import WebhookReceipt
from resolvers import webhooks
from resolvers.kernel import Caller, Code, Refusal
from rest_compat.errors import Headers
from rest_compat.table import GET, POST, Request, Wire

DEPRECATED = [(b"deprecation", b'version="X-Webhook-Secret"'), (b"sunset", b"Thu, 31 Dec 2026 23:59:59 GMT")]
"""As the contract spells it (webhooks.deprecated_answer_headers)."""


class WebhookReceiptJSON(Wire, of=WebhookReceipt):
    id: str
    agent_id: str
    event: str
    source: str
    scheme: str
    run_id: str
    created_at: str


def _payload(request: Request) -> dict[str, Any]:
    """What the body says; none at all is fine. What cannot be read is told behind the signature."""
    request.query.pop("workspace_id", None)
    if not request.body.strip():
        return {}
    try:
        said = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        request.fault = Refusal(Code.BAD_REQUEST, "The body is not a JSON object")
        return {}
    return {name: said[name] for name in ("event", "source", "data") if name in said}


def _warned(caller: Caller) -> Headers:
    """Whoever was let in by the secret itself, whatever becomes of what they sent."""
    shown = caller.webhook
    return list(DEPRECATED) if shown is not None and shown.accepted and not shown.is_signature else []


AGENT = "/api/v1/agents/{agentId}"
ROUTES = (
    POST(
        "/api/v1/webhooks/{crewId}/{agentId}/trigger",
        webhooks.trigger,
        webhooks.Accepted,
        status=202,
        reads=_payload,
        heads=_warned,
    ),
    POST(f"{AGENT}/webhook-secret/rotate", webhooks.rotate_secret, webhooks.WebhookSecretRotated),
    POST(f"{AGENT}/webhook/test", webhooks.test_webhook, webhooks.Tested, status=202),
    GET(f"{AGENT}/webhook/deliveries", webhooks.list_receipts, list[WebhookReceiptJSON]),
    GET("/api/v1/internal/agents/{agentId}/webhook-secret", webhooks.get_secret, webhooks.WebhookSecret),
)
