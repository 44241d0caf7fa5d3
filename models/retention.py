"""The retention periods that a workspace chooses."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint

from models.base import TenantRow, enum_field, tenant_id, time_field


class RetentionKind(StrEnum):
    """The kinds of rows with a retention time."""

    events = "events"
    frames = "frames"
    journal = "journal"
    mcp_calls = "mcp_calls"
    memory_versions = "memory_versions"
    idempotency_keys = "idempotency_keys"
    audit = "audit"
    runs = "runs"
    credential_events = "credential_events"


class RetentionRule(TenantRow, table=True):
    """Days that a workspace keeps rows of a kind; 0 is for good. Without a row, the default of the instance holds.

    Versions of memories have their number in the configuration of memories, and no rule.
    """

    __tablename__ = "retention_rules"
    __table_args__ = (CheckConstraint("days >= 0", name="kept"),)
    workspace_id: str = tenant_id()
    kind: RetentionKind = enum_field(RetentionKind, primary_key=True)
    days: int
    removed_until: datetime | None = time_field(default=None)
    """Everything that the rule removes is removed up to here."""
