"""REST: the audit log, and the log of MCP tool calls."""

from typing import Annotated, Any

from models.kernel import AuditLog, SecurityLog
from models.oversight.audit import McpToolCall
from resolvers.oversight import audit
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.envelopes import Envelope, PaginationJSON
from rest_compat.http.table import GET, POST, From, Null, Streaming, Wire


class AuditEntryJSON(Wire, of=AuditLog):
    """`metadata` is JSON as text. `user_id` is null if the system made the change.

    `actor_id` is the id of the user, CLI token, service account or agent, or the name of the part of the system.
    `changes` maps the fields of an update to their values `before` and `after`.
    """

    fields = """
        id workspace_id user_id action entity_type entity_id metadata ip_address user_agent created_at user_email
        user_name actor_type actor_id changes
    """
    absent = "user_email user_name changes"
    metadata: Annotated[str, From("metadata_text")]


class AuditListJSON(Envelope):
    data: list[AuditEntryJSON]
    pagination: PaginationJSON


class SecurityEntryJSON(Wire, of=SecurityLog):
    """`changes` maps the fields of an update to their values `before` and `after`."""

    fields = "id action entity_type entity_id metadata changes ip_address user_agent actor_type actor_id created_at"
    absent = "changes"
    metadata: Annotated[dict[str, Any], From("data")]


class McpToolCallJSON(Wire, of=McpToolCall):
    fields = """
        id workspace_id crew_id agent_id mcp_server_id mcp_server_scope tool_name input_hash status duration_ms
        error_message created_at
    """
    input_hash: Annotated[str | None, Null()]


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
