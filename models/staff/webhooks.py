"""Deliveries of webhooks to agents."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import Index

from models.base import TenantTable, belongs_to, enum_field, stored_at, text_field, time_field
from models.bounds import ID, LINE
from models.expiry import Expires
from models.personal_data import NOTHING


class WebhookResult(StrEnum):
    """The result of a delivery. A duplicate is accepted without a new run; a challenge is answered."""

    accepted = "accepted"
    duplicate = "duplicate"
    challenge = "challenge"
    refused = "refused"


class WebhookReceipt(TenantTable, table=True):
    """A delivery from outside and its result; several equal ones if `times` says so.

    `key` and `proof` identify an accepted delivery: neither is accepted twice in 24 hours. `run_id` is the run that it
    started. The content is in the prompt of the run; the content of a refused delivery is not stored.
    """

    __tablename__ = "webhook_receipts"
    __expires__: ClassVar = Expires("created_at", timedelta(days=30))
    __table_args__ = (
        belongs_to("agent_id", "agents"),
        Index("webhook_receipts_list_idx", "workspace_id", "agent_id", "created_at", "id"),
        Index("webhook_receipts_result_idx", "workspace_id", "agent_id", "result", "created_at", "id"),
        Index("webhook_receipts_key_idx", "workspace_id", "agent_id", "key", "created_at"),
        Index("webhook_receipts_proof_idx", "workspace_id", "agent_id", "proof", "created_at"),
        Index("webhook_receipts_created_at_idx", "created_at"),
    )
    agent_id: str
    result: WebhookResult = enum_field(WebhookResult.accepted)
    reason: str | None = text_field(LINE, default=None, holds=NOTHING)
    key: str | None = text_field(LINE, default=None, holds=NOTHING)
    proof: str | None = text_field(LINE, default=None, holds=NOTHING)
    event: str = text_field(LINE, default="", holds=NOTHING)
    source: str = text_field(LINE, default="", holds=NOTHING)
    scheme: str = text_field(LINE, holds=NOTHING)
    run_id: str | None = text_field(ID, default=None, holds=NOTHING)
    times: int = 1
    last_at: datetime | None = time_field(default=None)
    created_at: datetime = stored_at("clock_timestamp()")
