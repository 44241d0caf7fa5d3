"""Tables of the kernel: the outbox of events, idempotency keys, audit log, steps of jobs, facts of the instance."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

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
    free_place,
    json_field,
    partitioned,
    stored_at,
    text_field,
    time_field,
)
from models.bounds import ANSWER, DESCRIPTION, ID, LINE, NOTES, PAYLOAD
from models.expiry import ByDay, Expires, Kept
from models.personal_data import BY, MENTIONS, NOTHING, WHOSE, WORDS, holding
from models.retention import RetentionKind


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


def _drawn_xid(**options: Any) -> Column[int]:
    """The number of the transaction that stores the row."""
    return Column(Xid8, server_default=text("pg_current_xact_id()"), **holding(NOTHING), **options)


SWEPT = "events_swept"
"""Fact: the transaction of the last event removed; of a workspace's, with a colon and its id."""
_NOTED = "ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()"
SWEPT_EVENTS = f"""
    INSERT INTO instance_facts (name, value, created_at)
    SELECT '{SWEPT}', (SELECT xid::text FROM events WHERE created_at < $1 ORDER BY xid DESC, seq DESC LIMIT 1), now()
    WHERE EXISTS (SELECT FROM events WHERE created_at < $1)
    {_NOTED}
"""  # noqa: S608 - constants, here and below
"""Removes events of all workspaces from before $1."""
SWEPT_OF_WORKSPACES = f"""
    noted AS (
        INSERT INTO instance_facts (name, value, created_at)
        SELECT '{SWEPT}:' || workspace_id, max(xid::text::bigint)::text, now() FROM gone GROUP BY workspace_id
        {_NOTED} WHERE instance_facts.value::bigint < excluded.value::bigint
    )
"""  # noqa: S608
"""Notes the removed events of workspaces in `gone`."""


class OutboxEvent(Row, table=True):
    """An event, written in the transaction of the change that it announces. (xid, seq) is the order of delivery."""

    __tablename__ = "events"
    __kept__: ClassVar = Kept(
        RetentionKind.events,
        setting="event_days",
        removal=ByDay(
            which="NOT starts_with(channel, 'user:')",  # events for one user belong to no workspace
            returned="workspace_id, xid",
            note=f", {SWEPT_OF_WORKSPACES}",
        ),
    )
    # Rows only ever go in at the end and out at the start: a BRIN index finds the old ones and costs an insert nothing.
    __table_args__ = (
        Index("events_channel_xid_seq_idx", "channel", "xid", "seq"),
        Index("events_created_at_idx", "created_at", postgresql_using="brin"),
        Index("events_access_idx", "xid", "seq", postgresql_where=text("type = 'access.changed'")),
        partitioned("day", days="event_days", note=SWEPT_EVENTS),
    )
    xid: int = Field(default=None, sa_column=_drawn_xid(primary_key=True))
    seq: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    workspace_id: str | None = text_field(ID, default=None)
    channel: str = text_field(LINE * 3, holds=NOTHING)
    type: str = text_field(LINE, holds=NOTHING)
    payload: dict[str, Any] = json_field(PAYLOAD, holds=MENTIONS, free=True)
    created_at: datetime = stored_at(primary_key=True)
    cause: str | None = text_field(LINE * 3, default=None, holds=MENTIONS)  # JSON: the actor, and the client's mutation


IDEMPOTENCY_HOURS = 24
# A sweep reads the keys of workspaces that keep them longer again; they keep at most a week of keys.
NO_LONGER_KEPT = f"""
    SELECT k.ctid FROM idempotency_keys k LEFT JOIN retention_rules r
        ON r.workspace_id = k.workspace_id AND r.kind = '{RetentionKind.idempotency_keys}'
    WHERE k.created_at < now() - interval '{IDEMPOTENCY_HOURS} hours'
        AND k.created_at < now() - make_interval(days => coalesce(r.days, 1)) LIMIT $1
"""  # noqa: S608


class IdempotencyKey(Row, table=True):
    """The answer to a command that a client may send twice; kept for 24 hours."""

    __tablename__ = "idempotency_keys"
    __expires__: ClassVar = Expires(found=NO_LONGER_KEPT)
    __kept__: ClassVar = Kept(RetentionKind.idempotency_keys, most=7, default=1)
    __table_args__ = (
        UniqueConstraint("principal", "workspace_id", "operation", "key", postgresql_nulls_not_distinct=True),
        Index("idempotency_keys_created_at_idx", "created_at"),
    )
    id: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    principal: str = text_field(ID, holds=WHOSE)
    workspace_id: str | None = text_field(ID, default=None)
    operation: str = text_field(LINE, holds=NOTHING)
    key: str = text_field(LINE * 2, holds=NOTHING)
    request_hash: bytes = bytes_field(LINE, holds=NOTHING)
    body: bytes | None = bytes_field(ANSWER, default=None, holds=NOTHING)
    version: int | None = None
    created_at: datetime = stored_at()


def _newest_first(table: str, *columns: str) -> Index:
    """The index of a list: among rows equal in these columns, the newest first."""
    named = "_".join([table, *columns, "list_idx"])
    return Index(named, "workspace_id", *columns, text("created_at DESC"), text("id DESC"))


RANDOM = text("gen_random_uuid()::text")


class AuditActor(StrEnum):
    """The kind of actor. A user's token acts as the user; a token of a service account is `service`."""

    user = "user"
    token = "token"
    service = "service"
    agent = "agent"
    system = "system"


class AuditEffect(StrEnum):
    """The effect of an audited action on its row, which is the kind of its entry in the journal."""

    created = "created"
    updated = "updated"
    deleted = "deleted"
    restored = "restored"


class AuditLog(TenantTable, table=True):
    """Who changed which row; written in the transaction of the change."""

    __tablename__ = "audit_logs"
    __kept__: ClassVar = Kept(RetentionKind.audit, least=90, setting="audit_days")
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
    workspace_id: str = free_place()
    user_id: str | None = text_field(ID, default=None, holds=BY)
    action: str = text_field(LINE, holds=NOTHING)
    entity_type: str = text_field(LINE, holds=NOTHING)
    entity_id: str | None = text_field(ID, default=None, holds=NOTHING)
    data: dict[str, Any] = json_field(NOTES, default_factory=dict, holds=MENTIONS, free=True)
    ip_address: str | None = text_field(LINE, default=None, holds=WORDS)
    user_agent: str | None = text_field(LINE * 2, default=None, holds=WORDS)
    created_at: datetime = stored_at(primary_key=True)
    # whose right it was: the user's, the CLI token's, the account's, the agent's, or none but this server's
    actor_type: AuditActor = enum_field(AuditActor.system, free=True)
    actor_id: str | None = text_field(ID, default=None, holds=BY)
    changes: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS, free=True)
    """Field -> `before` and `after`, of the row that was changed."""
    # the type as it is filtered by: a column, since row-level security lets no condition on an expression into an index
    entity_kind: str = Field(
        default=None,
        sa_column=Column(
            String(LINE),
            Computed('lower(entity_type COLLATE "C")', persisted=True),
            nullable=False,
            **holding(NOTHING),
        ),
    )
    # a row gets its number after its transaction: waiting for these transactions covers all lower numbers
    xid: int = Field(default=None, sa_column=_drawn_xid(nullable=False))
    seq: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    # A seal contains a salted digest of the personal data in a row. After an erasure the digest replaces the data,
    # without the salt, so that it reveals nothing; the signature proves that this service erased them.
    salt: str | None = text_field(LINE, default=None, sa_column_kwargs={"server_default": RANDOM}, holds=NOTHING)
    erased: bytes | None = bytes_field(LINE, default=None, holds=NOTHING, free=True)
    erased_signature: bytes | None = bytes_field(LINE, default=None, holds=NOTHING, free=True)
    # What is no effect is read as `updated`. A row that was sealed before there was this column has none: its line is
    # written.
    effect: str | None = text_field(LINE, default=None, holds=NOTHING)
    """An AuditEffect."""


class SecurityLog(Table, table=True):
    """Events of an account: sign-ins, and changes of the ways to sign in. They belong to the person and to no
    workspace; after the deletion of the account to no person.
    """

    __tablename__ = "security_logs"
    __expires__: ClassVar = Expires("created_at", timedelta(days=400))
    __table_args__ = (
        Index("security_logs_list_idx", "user_id", text("created_at DESC"), text("id DESC")),
        Index("security_logs_created_at_idx", "created_at", postgresql_using="brin"),
    )
    user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    action: str = text_field(LINE, holds=NOTHING)
    entity_type: str = text_field(LINE, holds=NOTHING)
    entity_id: str | None = text_field(ID, default=None, holds=NOTHING)
    data: dict[str, Any] = json_field(NOTES, default_factory=dict, holds=MENTIONS)
    changes: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    ip_address: str | None = text_field(LINE, default=None, holds=WORDS)
    user_agent: str | None = text_field(LINE * 2, default=None, holds=WORDS)
    actor_type: AuditActor = enum_field(AuditActor.system)
    actor_id: str | None = text_field(ID, default=None, holds=BY)
    created_at: datetime = stored_at()


class JobStep(TenantRow, table=True):
    """A completed step of a background job, written in its transaction: later attempts skip it.

    `root` is the id of the first of the jobs with one cause.
    """

    __tablename__ = "job_steps"
    __table_args__ = (Index("job_steps_created_at_idx", "created_at", postgresql_using="brin"),)
    root: str = text_field(LINE * 3, primary_key=True, holds=NOTHING)
    step: str = text_field(LINE * 2, primary_key=True, holds=NOTHING)
    created_at: datetime = stored_at()


class DataKey(Table, table=True):
    """A key that seals values, wrapped by a key outside the database: a workspace's, or the instance's.

    The one that is not retired seals; `wrapped_by` names its wrapping key.
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
    wrapped_by: str = text_field(LINE, holds=NOTHING)
    wrapped: bytes = bytes_field(LINE * 3, holds=NOTHING)
    created_at: datetime = stored_at()
    retired_at: datetime | None = time_field(default=None)


TELEMETRY, INSTALL_ID = "telemetry", "install_id"
"""Facts: `on` or `off` for the consent to telemetry, and the instance's id in it since the first consent."""
LOG_LEVEL = "log_level"
"""Fact: the level that was set at run time and, if it ends by itself, a space and the time (RFC 3339)."""
FOLLOWS = "_follows"
"""The end of a fact's name that stores the position of a follower of the outbox: a transaction and a number, with a
colon.
"""
HISTORY = "events_history"
"""Fact: the timeline of the cluster, the name of its history in cursors, and a transaction before which everything is
final. With a colon and the name of an earlier history: the transaction up to which its cursors are good.
"""
REGISTRY_SYNC = "mcp_registry_sync"
"""Fact: the last requested sync of the MCP registry (RFC 3339)."""


class InstanceFact(Row, table=True):
    """A fact about this instance: fingerprints of its keys, that it was bootstrapped, the cluster that numbers its
    transactions, telemetry, its log level.
    """

    __tablename__ = "instance_facts"
    name: str = text_field(LINE, primary_key=True, holds=NOTHING)
    value: str = text_field(DESCRIPTION, holds=NOTHING)
    created_at: datetime = stored_at()


class KeptDays(Row, table=True):
    """For how many days rows of a table are kept, 0 for ever: the operator's setting, stored by the owner of the
    tables. The service reads it and cannot change it, and the owner's functions remove no younger rows.
    """

    __tablename__ = "kept_days"
    name: str = text_field(LINE, primary_key=True, holds=NOTHING)
    days: int
