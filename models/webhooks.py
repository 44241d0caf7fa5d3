"""What others have sent to agents."""

from datetime import datetime

from sqlalchemy import Index

from models.base import TenantTable, belongs_to, stored_at, text_field
from models.bounds import ID, LINE


class WebhookReceipt(TenantTable, table=True):
    """A delivery that was accepted from outside, or a test. `key` tells it from others: the same one is accepted once
    in 24 hours. `run_id` is what it has started.

    What was sent is in the prompt of the run.
    """

    __tablename__ = "webhook_receipts"
    __table_args__ = (
        belongs_to("agent_id", "agents"),
        Index("webhook_receipts_list_idx", "workspace_id", "agent_id", "created_at", "id"),
        Index("webhook_receipts_key_idx", "workspace_id", "agent_id", "key", "created_at"),
        Index("webhook_receipts_created_at_idx", "created_at"),
    )
    agent_id: str
    key: str = text_field(LINE)
    event: str = text_field(LINE)
    source: str = text_field(LINE)
    scheme: str = text_field(LINE)
    run_id: str = text_field(ID)
    created_at: datetime = stored_at("clock_timestamp()")
