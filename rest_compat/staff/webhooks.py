"""REST: webhooks of agents."""

from typing import Any

from models.staff.webhooks import WebhookReceipt
from resolvers.kernel import Caller, Refusal
from resolvers.kernel.declarations.operation import Answer
from resolvers.staff import webhooks
from rest_compat.http.errors import JSON, Headers
from rest_compat.http.table import GET, POST, PUT, Reply, Request, Wire

DEPRECATED = [(b"deprecation", b'version="X-Webhook-Secret"'), (b"sunset", b"Thu, 31 Dec 2026 23:59:59 GMT")]
"""As the contract spells it (webhooks.deprecated_answer_headers)."""


class WebhookReceiptJSON(Wire, of=WebhookReceipt):
    fields = "id agent_id event source scheme result reason run_id times last_at created_at"


def _payload(request: Request) -> dict[str, Any]:
    """The content of the body in the sender's words. An unreadable body is reported after the signature is verified."""
    request.query.pop("workspace_id", None)
    shown = request.caller.webhook
    try:
        return {} if shown is None else shown.told(request.body)
    except Refusal as fault:
        request.fault = fault
        return {}


def _warned(caller: Caller) -> Headers:
    """A warning for callers who authenticated with the secret itself, with every answer."""
    shown = caller.webhook
    return list(DEPRECATED) if shown is not None and shown.accepted and not shown.is_signature else []


def _accepted(request: Request, answer: Answer) -> Reply:
    """A challenge is only heard with 200."""
    body = answer.body or b""
    return Reply(200 if b'"challenge":' in body else 202, body, [JSON])


AGENT = "/api/v1/agents/{agentId}"
ROUTES = (
    POST(
        "/api/v1/webhooks/{crewId}/{agentId}/trigger",
        webhooks.trigger,
        webhooks.Accepted,
        status=202,
        reads=_payload,
        or_status=200,
        answers=_accepted,
        heads=_warned,
    ),
    POST(f"{AGENT}/webhook-secret/rotate", webhooks.rotate_secret, webhooks.WebhookSecretRotated),
    GET(f"{AGENT}/webhook", webhooks.get_webhook, webhooks.Webhook),
    PUT(f"{AGENT}/webhook", webhooks.configure_webhook, webhooks.Webhook),
    POST(f"{AGENT}/webhook/test", webhooks.test_webhook, webhooks.Tested, status=202),
    GET(f"{AGENT}/webhook/deliveries", webhooks.list_receipts, list[WebhookReceiptJSON]),
    GET("/api/v1/internal/agents/{agentId}/webhook-secret", webhooks.get_secret, webhooks.WebhookSecret),
)
