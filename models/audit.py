"""The log of MCP tool calls. The audit log itself is the kernel's, which writes it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, text

from models.base import TenantTable, enum_field, free_id, stored_at, text_field
from models.bounds import DESCRIPTION, ID, LINE


class McpCallStatus(StrEnum):
    """How an MCP tool call ended."""

    success = "success"
    error = "error"
    denied = "denied"
    timeout = "timeout"


class McpServerScope(StrEnum):
    """What an MCP server was configured for."""

    workspace = "workspace"
    crew = "crew"
    agent = "agent"


def _newest_first(*columns: str) -> Index:
    named = "_".join(["mcp_tool_calls", *columns, "list_idx"])
    return Index(named, "workspace_id", *columns, text("created_at DESC"), text("id DESC"))


class McpToolCall(TenantTable, table=True):
    """One call of a tool on an MCP server, as the agent's runtime reports it. It outlives the rows that it names."""

    __tablename__ = "mcp_tool_calls"
    __table_args__ = (
        _newest_first(),
        _newest_first("agent_id"),
        _newest_first("mcp_server_id"),
        _newest_first("status"),
    )
    id: str = free_id()
    crew_id: str | None = text_field(ID, default=None)
    agent_id: str = text_field(ID)
    mcp_server_id: str = text_field(ID)
    mcp_server_scope: McpServerScope = enum_field(McpServerScope.workspace)
    tool_name: str = text_field(LINE)
    status: McpCallStatus = enum_field(McpCallStatus)
    duration_ms: int | None = None
    error_message: str | None = text_field(DESCRIPTION, default=None)
    created_at: datetime = stored_at()
