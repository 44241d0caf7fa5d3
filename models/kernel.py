"""What the kernel itself stores: the outbox of events, idempotency keys, the audit log, facts about the instance."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field

from models.base import Row, TenantTable, free_id, now, time_field


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class OutboxEvent(Row, table=True):
    """An event, written in the transaction of the change it tells of. (xid, seq) is the order of delivery."""

    __tablename__ = "events"
    # Rows only ever go in at the end and out at the start: a BRIN index finds the old ones and costs an insert nothing.
    __table_args__ = (
        Index("events_channel_xid_seq_idx", "channel", "xid", "seq"),
        Index("events_created_at_idx", "created_at", postgresql_using="brin"),
        Index("events_access_idx", "xid", "seq", postgresql_where=text("type = 'access.changed'")),
    )
    xid: int = Field(default=None, sa_column=Column(Xid8, primary_key=True, server_default=text("pg_current_xact_id()")))
    seq: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    workspace_id: str | None = None
    channel: str
    type: str
    payload: dict[str, Any] = Field(sa_type=JSONB)
    created_at: datetime = time_field(default=None, nullable=False, sa_column_kwargs={"server_default": text("now()")})


class IdempotencyKey(Row, table=True):
    """The answer to a command that a client may send twice; kept for 24 hours."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        UniqueConstraint("principal", "workspace_id", "operation", "key", postgresql_nulls_not_distinct=True),
        Index("idempotency_keys_created_at_idx", "created_at"),
    )
    id: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    principal: str
    workspace_id: str | None = None
    operation: str
    key: str
    request_hash: bytes = Field(sa_type=LargeBinary)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    version: int | None = None
    created_at: datetime = time_field(default=None, nullable=False, sa_column_kwargs={"server_default": text("now()")})


class AuditLog(TenantTable, table=True):
    """Who did what to which row; written in the transaction of the change."""

    __tablename__ = "audit_logs"
    __table_args__ = (Index("audit_logs_workspace_id_created_at_idx", "workspace_id", "created_at"),)
    id: str = free_id()
    user_id: str | None = Field(default=None)
    action: str
    entity_type: str
    entity_id: str | None = None
    data: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    ip_address: str | None = None
    user_agent: str | None = None
    created_at: datetime = time_field(default_factory=now)


class InstanceFact(Row, table=True):
    """A fact about this instance: fingerprints of its keys, that it was bootstrapped, the epoch of its events."""

    __tablename__ = "instance_facts"
    name: str = Field(primary_key=True)
    value: str
    created_at: datetime = time_field(default_factory=now)
