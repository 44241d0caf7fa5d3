"""Deliveries outside this server: events to endpoints, and notifications to channels."""

from collections.abc import Iterator
from typing import Any

from sqlmodel import SQLModel

from models.attention.notification_deliveries import NotificationDelivery, NotificationStatus
from models.attention.webhook_endpoints import DeliveryState, WebhookDelivery, WebhookEndpoint


def delivered(rows: Any, endpoints: list[WebhookEndpoint], number: int) -> Iterator[SQLModel]:
    """One to the first endpoints and one to three channels."""
    pick = rows.random.choice
    yield WebhookDelivery(
        endpoint_id=pick(endpoints[:2]).id, event_type="x", subject=rows.text(), payload={}, xid=number,
        seq=number, state=pick(list(DeliveryState)), happened_at=rows.time(), created_at=rows.time(),
        **rows.here,
    )  # fmt: skip
    yield NotificationDelivery(
        channel_id=f"channel{number % 3}", category=pick(["memory", "chat.replies"]), dedup_key=f"{number}",
        source_kind="x", source_id="x", title=rows.text(), status=pick(list(NotificationStatus)),
        created_at=rows.time(), updated_at=rows.time(), **rows.here,
    )  # fmt: skip
