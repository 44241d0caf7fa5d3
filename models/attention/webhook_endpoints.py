"""Endpoints that receive a workspace's events, and the deliveries to each."""

import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from models.base import (
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    json_field,
    secret_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import ID, LABEL, LINE, PAYLOAD, URL
from models.expiry import Expires
from models.personal_data import AUTHOR, MENTIONS, NOTHING, holding
from models.sealed import Sealed

LANES: Final = 8
"""Deliveries to one endpoint that are under way at once. What is about one subject is in one lane."""
ANSWER: Final = 1024
"""Characters that are kept of an answer."""


class DeliveryState(StrEnum):
    """The status of a delivery: pending deliveries are retried, failed ones are not."""

    pending = "pending"
    delivered = "delivered"
    failed = "failed"


class WebhookEndpoint(TenantTable, Versioned, Timestamps, table=True):
    """`event_types` are names of events, or `*` alone. For a day after a rotation both secrets sign."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (tenant_key(), Index("webhook_endpoints_list_idx", "workspace_id", "created_at", "id"))
    name: str = text_field(LABEL, holds=MENTIONS)
    url: str = text_field(URL, holds=MENTIONS)
    event_types: list[str] = json_field(64 << 10, default_factory=list, holds=NOTHING)
    secret: Sealed | None = secret_field(LINE, default=None)
    old_secret: Sealed | None = secret_field(LINE, default=None)
    old_secret_until: datetime | None = time_field(default=None)
    enabled: bool = True
    failing_since: datetime | None = time_field(default=None)
    created_by: str | None = Field(
        default=None, foreign_key="users.id", ondelete="SET NULL", sa_column_kwargs=holding(AUTHOR)
    )


def delivery_id() -> str:
    return f"msg_{secrets.token_hex(16)}"


class WebhookDelivery(TenantTable, table=True):
    """One event for one endpoint. (xid, seq) is its place in the outbox, and the order within its lane."""

    __tablename__ = "webhook_deliveries"
    __expires__: ClassVar = Expires("created_at", timedelta(days=30))
    __table_args__ = (
        belongs_to("endpoint_id", "webhook_endpoints", ondelete="CASCADE"),
        Index("webhook_deliveries_list_idx", "workspace_id", "endpoint_id", "created_at", "id"),
        Index("webhook_deliveries_state_idx", "workspace_id", "endpoint_id", "state", "created_at", "id"),
        Index(
            "webhook_deliveries_lane_idx",
            "workspace_id",
            "endpoint_id",
            "lane",
            "xid",
            "seq",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("webhook_deliveries_created_at_idx", "created_at"),
    )
    id: str = text_field(ID, default_factory=delivery_id, primary_key=True)
    endpoint_id: str
    event_type: str = text_field(LINE, holds=NOTHING)
    subject: str = text_field(LINE * 4, holds=NOTHING)
    lane: int = 0
    payload: dict[str, Any] = json_field(PAYLOAD, holds=MENTIONS)
    xid: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    state: DeliveryState = enum_field(DeliveryState.pending)
    attempts: int = 0
    next_attempt_at: datetime | None = time_field(default=None)
    status: int | None = None
    answer: str | None = text_field(ANSWER, default=None, holds=MENTIONS)
    error: str | None = text_field(LINE, default=None, holds=NOTHING)
    happened_at: datetime = time_field()
    created_at: datetime = stored_at()
    delivered_at: datetime | None = time_field(default=None)
