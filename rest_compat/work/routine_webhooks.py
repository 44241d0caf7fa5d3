"""REST: webhooks of routines, which the API calls pipelines."""

from typing import Annotated, Any

from models.work.routine_webhooks import RoutineWebhook
from resolvers.identity.webhook_senders import read_routine_claim
from resolvers.kernel.declarations.operation import Answer
from resolvers.work import routine_webhooks
from rest_compat.http.errors import JSON
from rest_compat.http.table import DELETE, GET, POST, Absent, Fixed, From, Reply, Request, Wire
from rest_compat.people.workspaces import WORKSPACE


class RoutineWebhookJSON(Wire, of=RoutineWebhook):
    """`token` is empty: it is returned once, by the creation."""

    fields = """
        id workspace_id name target_pipeline_id target_pipeline_slug target_pipeline_version token scheme
        signing_secret_set inputs_template enabled rate_limit_per_min last_fired_at last_status last_run_id fire_count
        created_at updated_at
    """
    absent = "last_fired_at last_status last_run_id"
    target_pipeline_id: Annotated[str, From("routine_id")]
    target_pipeline_slug: Annotated[str | None, From("routine_slug"), Absent()] = None
    target_pipeline_version: Annotated[int | None, From("routine_version"), Absent()] = None
    token: Annotated[str, Fixed('""')]
    signing_secret_set: Annotated[bool, Fixed("true")]


def _delivery(request: Request) -> dict[str, Any]:
    """The names of headers are in lower case, with _ in place of -. The body is signed, and read behind the gate."""
    request.query.pop("workspace_id", None)
    return {
        "headers": {
            name.decode("latin-1").replace("-", "_").lower(): value.decode("latin-1").replace("\0", "")
            for name, value in request.headers.items()
        }
    }


def _accepted(request: Request, answer: Answer) -> Reply:
    """A challenge is only heard with 200."""
    body = answer.body or b""
    return Reply(200 if b'"challenge":' in body else 202, body, [JSON])


WEBHOOKS = f"{WORKSPACE}/pipeline-webhooks"
ROUTES = (
    GET(WEBHOOKS, routine_webhooks.list_routine_webhooks, list[RoutineWebhookJSON]),
    POST(WEBHOOKS, routine_webhooks.create_routine_webhook, routine_webhooks.RoutineWebhookCreated, status=201),
    DELETE(f"{WEBHOOKS}/{{webhookId}}", routine_webhooks.delete_routine_webhook, status=204),
    POST(
        "/api/v1/webhooks/{token}",
        routine_webhooks.fire_routine_webhook,
        routine_webhooks.DeliveryAccepted,
        status=202,
        reads=_delivery,
        or_status=200,
        answers=_accepted,
        claims=read_routine_claim,
    ),
)
