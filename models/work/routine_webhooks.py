"""Webhooks of routines: addresses to which other systems post events, and the deliveries that were accepted."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    json_field,
    new_id,
    secret_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import ID, LABEL, LINE, PAYLOAD
from models.expiry import Expires
from models.personal_data import HIDDEN, MENTIONS, NOTHING
from models.sealed import Sealed
from models.staff.agents import WebhookScheme

HASH: Final = 64
SEEN_FOR: Final = timedelta(hours=24)
"""A delivery is known for so long (contract: routine_webhooks.fire)."""


class RoutineWebhookOutcome(StrEnum):
    """The outcome of the last delivery to a webhook."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    WAITING = "WAITING"
    CANCELLED = "CANCELLED"
    DEDUPED = "DEDUPED"


def new_routine_webhook_id() -> str:
    """`pwh_` and a cuid (contract: routine-webhooks.RoutineWebhook)."""
    return f"pwh_{new_id()}"


class RoutineWebhook(TenantTable, SoftDelete, Timestamps, table=True):
    """The token is in the address, of which the hash is kept; `secret` signs the bodies. `minute_began_at` and
    `minute_count` count the deliveries of a minute. `run_as_id`: the member whose rights each delivery needs.
    """

    __tablename__ = "routine_webhooks"
    __kinds__: ClassVar = frozenset({"routine_webhook"})
    __bookkeeping__: ClassVar = frozenset(
        {"last_fired_at", "last_status", "last_run_id", "fire_count", "minute_began_at", "minute_count"}
    )
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("token_hash"),
        belongs_to("routine_id", "routines", ondelete="CASCADE"),
        CheckConstraint("fire_count >= 0 AND minute_count >= 0", name="counted"),
        Index(
            "routine_webhooks_list_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("routine_webhooks_routine_id_idx", "workspace_id", "routine_id", "created_at", "id"),
        Index("routine_webhooks_run_as_id_idx", "run_as_id"),
    )
    id: str = text_field(ID, default_factory=new_routine_webhook_id, primary_key=True)
    routine_id: str
    routine_version: int | None = None
    name: str = text_field(LABEL, holds=MENTIONS)
    token_hash: str = text_field(HASH, holds=HIDDEN)
    scheme: WebhookScheme = enum_field(WebhookScheme.crewship)
    secret: Sealed | None = secret_field(LINE, default=None)
    inputs_template: dict[str, Any] = json_field(PAYLOAD, default_factory=dict, holds=MENTIONS)
    enabled: bool = True
    rate_limit_per_min: int = 0
    minute_began_at: datetime | None = time_field(default=None)
    minute_count: int = 0
    last_fired_at: datetime | None = time_field(default=None)
    last_status: RoutineWebhookOutcome | None = enum_field(RoutineWebhookOutcome, default=None)
    last_run_id: str | None = text_field(ID, default=None, holds=NOTHING)
    fire_count: int = 0
    run_as_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")


class RoutineDelivery(TenantTable, table=True):
    """A delivery that started a run: its key and, of a signature with a time, its proof are known for a day."""

    __tablename__ = "routine_deliveries"
    __expires__: ClassVar = Expires("created_at", SEEN_FOR)
    __table_args__ = (
        belongs_to("webhook_id", "routine_webhooks", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "webhook_id", "key"),
        Index(
            "routine_deliveries_proof_idx",
            "workspace_id",
            "webhook_id",
            "proof",
            postgresql_where=text("proof IS NOT NULL"),
        ),
        Index("routine_deliveries_run_id_idx", "workspace_id", "run_id"),
        Index("routine_deliveries_created_at_idx", "created_at"),
    )
    webhook_id: str
    key: str = text_field(HASH, holds=NOTHING)
    proof: str | None = text_field(HASH, default=None, holds=NOTHING)
    run_id: str = text_field(ID, holds=NOTHING)
    created_at: datetime = stored_at("clock_timestamp()")
