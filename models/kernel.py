"""What the kernel stores: the outbox of events, idempotency keys, audit log, steps of jobs, facts of the instance."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, Computed, Identity, Index, String, UniqueConstraint, text
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field

from models.base import (
    Row,
    Table,
    TenantRow,
    TenantTable,
    bytes_field,
    enum_field,
    free_id,
    json_field,
    partitioned,
    stored_at,
    text_field,
    time_field,
)
from models.bounds import ANSWER, DESCRIPTION, ID, LINE, NOTES, PAYLOAD


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
        partitioned("day"),
    )
    xid: int = Field(
        default=None, sa_column=Column(Xid8, primary_key=True, server_default=text("pg_current_xact_id()"))
    )
    seq: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    workspace_id: str | None = text_field(ID, default=None)
    channel: str = text_field(LINE * 3)
    type: str = text_field(LINE)
    payload: dict[str, Any] = json_field(PAYLOAD)
    created_at: datetime = stored_at(primary_key=True)


class IdempotencyKey(Row, table=True):
    """The answer to a command that a client may send twice; kept for 24 hours."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        UniqueConstraint("principal", "workspace_id", "operation", "key", postgresql_nulls_not_distinct=True),
        Index("idempotency_keys_created_at_idx", "created_at"),
    )
    id: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    principal: str = text_field(ID)
    workspace_id: str | None = text_field(ID, default=None)
    operation: str = text_field(LINE)
    key: str = text_field(LINE * 2)
    request_hash: bytes = bytes_field(LINE)
    body: bytes | None = bytes_field(ANSWER, default=None)
    version: int | None = None
    created_at: datetime = stored_at()


def _newest_first(table: str, *columns: str) -> Index:
    """Of a list: of those that are equal in these columns, the newest first."""
    named = "_".join([table, *columns, "list_idx"])
    return Index(named, "workspace_id", *columns, text("created_at DESC"), text("id DESC"))


RANDOM = text("gen_random_uuid()::text")


class AuditActor(StrEnum):
    """By whose right something was done. A token is a person's; one of a service account is `service`."""

    user = "user"
    token = "token"
    service = "service"
    agent = "agent"
    system = "system"


class AuditLog(TenantTable, table=True):
    """Who did what to which row; written in the transaction of the change."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        _newest_first("audit_logs"),
        _newest_first("audit_logs", "action"),
        _newest_first("audit_logs", "entity_kind"),
        _newest_first("audit_logs", "entity_id"),
        _newest_first("audit_logs", "user_id"),
        Index("audit_logs_seq_idx", "seq"),
        Index("audit_logs_workspace_id_seq_idx", "workspace_id", "seq"),
        partitioned("month"),
    )
    id: str = free_id()
    user_id: str | None = text_field(ID, default=None)
    action: str = text_field(LINE)
    entity_type: str = text_field(LINE)
    entity_id: str | None = text_field(ID, default=None)
    data: dict[str, Any] = json_field(NOTES, default_factory=dict)
    ip_address: str | None = text_field(LINE, default=None)
    user_agent: str | None = text_field(LINE * 2, default=None)
    created_at: datetime = stored_at(primary_key=True)
    # whose right it was: the user's, the CLI token's, the account's, the agent's, or none but this server's
    actor_type: AuditActor = enum_field(AuditActor.system)
    actor_id: str | None = text_field(ID, default=None)
    changes: dict[str, Any] | None = json_field(NOTES, default=None)
    """Field -> `before` and `after`, of the row that was changed."""
    # the type as it is filtered by: a column, since row-level security lets no condition on an expression into an index
    entity_kind: str = Field(
        default=None,
        sa_column=Column(String(LINE), Computed('lower(entity_type COLLATE "C")', persisted=True), nullable=False),
    )
    # a row has its number only when its transaction has one: whoever waits for these waits for all lower numbers
    xid: int = Field(default=None, sa_column=Column(Xid8, nullable=False, server_default=text("pg_current_xact_id()")))
    seq: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    # What a seal keeps of the data of persons in a row is a salted digest. Where these were erased, it stands in their
    # place, without the salt, so that it tells nothing; the signature says that it was this service.
    salt: str | None = text_field(LINE, default=None, sa_column_kwargs={"server_default": RANDOM})
    erased: bytes | None = bytes_field(LINE, default=None)
    erased_signature: bytes | None = bytes_field(LINE, default=None)


class SecurityLog(Table, table=True):
    """What was done with an account: signing in, and whatever lets somebody sign in. The person's own, and of no
    workspace; of an account that is gone, nobody's.
    """

    __tablename__ = "security_logs"
    __table_args__ = (
        Index("security_logs_list_idx", "user_id", text("created_at DESC"), text("id DESC")),
        Index("security_logs_created_at_idx", "created_at", postgresql_using="brin"),
    )
    user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    action: str = text_field(LINE)
    entity_type: str = text_field(LINE)
    entity_id: str | None = text_field(ID, default=None)
    data: dict[str, Any] = json_field(NOTES, default_factory=dict)
    changes: dict[str, Any] | None = json_field(NOTES, default=None)
    ip_address: str | None = text_field(LINE, default=None)
    user_agent: str | None = text_field(LINE * 2, default=None)
    actor_type: AuditActor = enum_field(AuditActor.system)
    actor_id: str | None = text_field(ID, default=None)
    created_at: datetime = stored_at()


class JobStep(TenantRow, table=True):
    """A step a background job has done, written in its transaction: whoever goes on with the job leaves it out.

    `root` is the id of the first job of those that follow each other for one cause.
    """

    __tablename__ = "job_steps"
    __table_args__ = (Index("job_steps_created_at_idx", "created_at", postgresql_using="brin"),)
    root: str = text_field(LINE * 3, primary_key=True)
    step: str = text_field(LINE * 2, primary_key=True)
    created_at: datetime = stored_at()


class DataKey(Table, table=True):
    """A key that values are sealed with, wrapped by one that is not in the database: a workspace's, or the instance's.

    The one that is not retired seals; `wrapped_by` names the key that wraps it.
    """

    __tablename__ = "data_keys"
    __table_args__ = (
        Index(
            "data_keys_workspace_id_key",
            "workspace_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("retired_at IS NULL"),
        ),
    )
    workspace_id: str | None = Field(default=None, foreign_key="workspaces.id", ondelete="CASCADE")
    wrapped_by: str = text_field(LINE)
    wrapped: bytes = bytes_field(LINE * 3)
    created_at: datetime = stored_at()
    retired_at: datetime | None = time_field(default=None)


TELEMETRY, INSTALL_ID = "telemetry", "install_id"
"""Facts: `on` or `off`, whether somebody has consented to telemetry, and what the instance is called in it since the
first consent.
"""
LOG_LEVEL = "log_level"
"""Fact: the level that was set at run time, and where it ends by itself, a space and when (RFC 3339)."""
FOLLOWS = "_follows"
"""How the fact ends that holds where a follower of the outbox stands: a transaction and a number, with a colon."""
SWEPT = "events_swept"
"""Fact: the transaction of the last event removed; of a workspace's, with a colon and its id."""
REGISTRY_SYNC = "mcp_registry_sync"
"""Fact: when somebody last asked for the registry of MCP servers to be synchronised (RFC 3339)."""


class InstanceFact(Row, table=True):
    """A fact about this instance: fingerprints of its keys, that it was bootstrapped, the cluster that numbers its
    transactions, telemetry, its log level.
    """

    __tablename__ = "instance_facts"
    name: str = text_field(LINE, primary_key=True)
    value: str = text_field(DESCRIPTION)
    created_at: datetime = stored_at()


class KeptDays(Row, table=True):
    """For how many days rows of a table are kept, 0 for good: what the operator has said, noted by the owner of the
    tables. The service reads it and cannot change it, and the owner's functions remove nothing younger.
    """

    __tablename__ = "kept_days"
    name: str = text_field(LINE, primary_key=True)
    days: int
