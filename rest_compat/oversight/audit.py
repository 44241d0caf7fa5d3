"""REST: the audit log, and the log of MCP tool calls."""

from datetime import datetime
from typing import Annotated, Any

from models.kernel import AuditActor, AuditLog, SecurityLog
from models.oversight.audit import McpCallStatus, McpServerScope, McpToolCall
from resolvers.oversight import audit
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.envelopes import Envelope, PaginationJSON
from rest_compat.http.table import GET, POST, Absent, From, Null, Streaming, Wire


class AuditEntryJSON(Wire, of=AuditLog):
    """`metadata` is JSON as text. `user_id` is null if the system made the change.

    `actor_id` is the id of the user, CLI token, service account or agent, or the name of the part of the system.
    `changes` maps the fields of an update to their values `before` and `after`.
    """

    id: str
    workspace_id: str
    user_id: str | None
    action: str
    entity_type: str
    entity_id: str | None
    metadata: Annotated[str, From("metadata_text")]
    ip_address: str | None
    user_agent: str | None
    created_at: datetime
    user_email: Annotated[str | None, Absent()]
    user_name: Annotated[str | None, Absent()]
    actor_type: AuditActor
    actor_id: str | None
    changes: Annotated[dict[str, Any] | None, Absent()]


class AuditListJSON(Envelope):
    data: list[AuditEntryJSON]
    pagination: PaginationJSON


class SecurityEntryJSON(Wire, of=SecurityLog):
    """`changes` maps the fields of an update to their values `before` and `after`."""

    id: str
    action: str
    entity_type: str
    entity_id: str | None
    metadata: Annotated[dict[str, Any], From("data")]
    changes: Annotated[dict[str, Any] | None, Absent()]
    ip_address: str | None
    user_agent: str | None
    actor_type: AuditActor
    actor_id: str | None
    created_at: datetime


class McpToolCallJSON(Wire, of=McpToolCall):
    id: str
    workspace_id: str
    crew_id: str | None
    agent_id: str
    mcp_server_id: str
    mcp_server_scope: McpServerScope
    tool_name: str
    input_hash: Annotated[str | None, Null()]
    status: McpCallStatus
    duration_ms: int | None
    error_message: str | None
    created_at: datetime


class McpCallRecordedJSON(Wire, of=McpToolCall):
    id: str


ROUTES = (
    GET("/api/v1/audit", audit.list_audit, AuditListJSON),
    GET(
        "/api/v1/audit/export",
        audit.export_audit,
        list[AuditEntryJSON],
        gives=Streaming("application/x-ndjson", "text/csv"),
    ),
    GET("/api/v1/me/security-log", audit.list_security_log, list[SecurityEntryJSON]),
    GET("/api/v1/mcp-tool-calls", audit.list_mcp_calls, list[McpToolCallJSON]),
    POST(
        "/api/v1/internal/mcp-tool-calls",
        audit.record_mcp_call,
        McpCallRecordedJSON,
        status=201,
        reads=workspace_in_body,
    ),
)
