"""Cases of webhook endpoints, for the tests that are made for every operation."""

import base64

from models.attention.webhook_endpoints import DeliveryState, WebhookDelivery, WebhookEndpoint
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.sealing import sealed_before
from tests.world import now

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@entity
def webhook_endpoint(plot: Plot) -> WebhookEndpoint:
    made = WebhookEndpoint(
        name="Harbour",
        url="http://127.0.0.1:9/hook",
        event_types=["crew.created"],
        enabled=False,
        failing_since=now(),
        old_secret_until=now(),
        created_by=plot.owner.user_id,
        **plot.here,
    )
    for column in ("secret", "old_secret"):
        sealed = sealed_before(SECRET, table=WebhookEndpoint, column=column, row_id=made.id)
        made.__dict__[column] = sealed
    return made


@entity
def webhook_delivery(plot: Plot) -> WebhookDelivery:
    return WebhookDelivery(
        endpoint_id=plot["webhook_endpoint"].id,
        event_type="crew.created",
        subject="crew",
        payload={"id": "crew"},
        xid=1,
        seq=1,
        state=DeliveryState.failed,
        attempts=11,
        next_attempt_at=now(),
        status=500,
        answer="Sorry",
        error="The receiver answers 500",
        happened_at=now(),
        delivered_at=now(),
        **plot.here,
    )


OF_ENDPOINT = {"id": "webhook_endpoint"}
GIVEN = {"name": "Harbour", "url": "https://example.com/hook", "event_types": ["crew.created"]}
RECIPES = {
    "webhook_endpoints.get": Recipe(ids=OF_ENDPOINT),
    "webhook_endpoints.create": Recipe(GIVEN),
    "webhook_endpoints.update": Recipe(GIVEN | {"name": "Quay", "enabled": True}, ids=OF_ENDPOINT),
    "webhook_endpoints.delete": Recipe(ids=OF_ENDPOINT),
    "webhook_endpoints.rotate_secret": Recipe(ids=OF_ENDPOINT),
    "webhook_endpoints.deliveries": Recipe({"state": "failed"}, ids=OF_ENDPOINT),
    "webhook_endpoints.test": Recipe(ids=OF_ENDPOINT, refused=Code.CONFLICT),  # it is disabled
    "webhook_endpoints.redeliver": Recipe(ids=OF_ENDPOINT | {"delivery_id": "webhook_delivery"}),
}
