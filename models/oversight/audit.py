"""The seals of the audit log, which is itself the kernel's, and the log of MCP tool calls."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, cast

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from models.base import (
    TenantRow,
    TenantTable,
    bytes_field,
    enum_field,
    free_id,
    stored_at,
    tenant_id,
    text_field,
    time_field,
)
from models.bounds import DESCRIPTION, ID, LINE
from models.expiry import ByIndex, Kept
from models.personal_data import MENTIONS, NOTHING
from models.retention import RetentionKind

DIGEST = 16
"""Bytes of SHA-256 that are kept of each row."""
DIGESTS = 64 << 10


class McpCallStatus(StrEnum):
    """The outcome of an MCP tool call."""

    success = "success"
    error = "error"
    denied = "denied"
    timeout = "timeout"


class McpServerScope(StrEnum):
    """The scope that an MCP server was configured for."""

    workspace = "workspace"
    crew = "crew"
    agent = "agent"


class AuditSeal(TenantRow, table=True):
    """A range of a workspace's audit rows, in the order of their numbers, whose later changes can be detected.

    `digests` has DIGEST bytes for each row; `hash` is of the previous seal, and of this one. The key of the signature
    is not in the database. Expired rows are dropped with their digests; their seal stays. `dropped_until`: earlier rows
    have expired, and `digests` are the rest's.
    """

    __tablename__ = "audit_seals"
    __table_args__ = (Index("audit_seals_first_at_idx", "first_at", postgresql_where=text("digests IS NOT NULL")),)
    workspace_id: str = tenant_id()
    number: int = Field(sa_type=cast(Any, BigInteger), primary_key=True)
    first_seq: int = Field(sa_type=cast(Any, BigInteger))
    last_seq: int = Field(sa_type=cast(Any, BigInteger))
    rows: int
    first_at: datetime = time_field()
    last_at: datetime = time_field()
    digests: bytes | None = bytes_field(DIGESTS, default=None, holds=NOTHING)
    hash: bytes = bytes_field(LINE, holds=NOTHING)
    signature: bytes = bytes_field(LINE, holds=NOTHING)
    sealed_at: datetime = stored_at()
    dropped_at: datetime | None = time_field(default=None)
    dropped_until: datetime | None = time_field(default=None)
    dropped_signature: bytes | None = bytes_field(LINE, default=None, holds=NOTHING)


def _newest_first(*columns: str) -> Index:
    named = "_".join(["mcp_tool_calls", *columns, "list_idx"])
    return Index(named, "workspace_id", *columns, text("created_at DESC"), text("id DESC"))


OLDEST = """
    SELECT id, created_at AS at FROM mcp_tool_calls
    WHERE workspace_id = $1 AND created_at < $2 AND ($3::timestamptz IS NULL OR created_at >= $3)
    ORDER BY created_at, id LIMIT $4
"""
GONE = "gone AS (DELETE FROM mcp_tool_calls m USING old WHERE m.id = old.id AND m.workspace_id = $1 RETURNING 1)"


class McpToolCall(TenantTable, table=True):
    """One call of a tool on an MCP server, as the agent's runtime reports it. It outlives the rows that it names."""

    __tablename__ = "mcp_tool_calls"
    __kept__: ClassVar = Kept(RetentionKind.mcp_calls, removal=ByIndex(OLDEST, GONE))
    __table_args__ = (
        _newest_first(),
        _newest_first("agent_id"),
        _newest_first("mcp_server_id"),
        _newest_first("status"),
    )
    id: str = free_id()
    crew_id: str | None = text_field(ID, default=None, holds=NOTHING)
    agent_id: str = text_field(ID, holds=NOTHING)
    mcp_server_id: str = text_field(ID, holds=NOTHING)
    mcp_server_scope: McpServerScope = enum_field(McpServerScope.workspace)
    tool_name: str = text_field(LINE, holds=NOTHING)
    status: McpCallStatus = enum_field(McpCallStatus)
    duration_ms: int | None = None
    error_message: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    created_at: datetime = stored_at()
