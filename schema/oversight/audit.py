"""GraphQL: the audit log, and the log of MCP tool calls."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.kernel import AuditActor, AuditLog, SecurityLog
from models.oversight.audit import McpCallStatus, McpServerScope, McpToolCall
from resolvers.oversight import audit as audit_ops
from schema.bridge.fields import Edge, node, query


@node(AuditLog, name="AuditEntry")
class AuditEntryType:
    """An entry of the audit log of a workspace."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    user_id: strawberry.ID | None = strawberry.field(description="Null if the system made the change.")
    user_email: str | None
    user_name: str | None
    actor_type: AuditActor
    actor_id: strawberry.ID | None = strawberry.field(
        description="Id of the user, CLI token, service account or agent, or name of the part of the system."
    )
    action: str
    entity_type: str
    entity_id: strawberry.ID | None
    data: JSON = strawberry.field(name="metadata")
    change_list: JSON | None = strawberry.field(
        name="changes", description="A list of `field`, `before` and `after`; null if no field of the entity changed."
    )
    ip_address: str | None
    user_agent: str | None
    created_at: datetime


@node(SecurityLog, name="SecurityLogEntry")
class SecurityLogEntryType:
    """An event of the caller's account."""

    id: strawberry.ID
    action: str
    entity_type: str
    entity_id: strawberry.ID | None
    data: JSON = strawberry.field(name="metadata")
    change_list: JSON | None = strawberry.field(
        name="changes", description="A list of `field`, `before` and `after`; null if no field of the entity changed."
    )
    ip_address: str | None
    user_agent: str | None
    actor_type: AuditActor
    actor_id: strawberry.ID | None
    created_at: datetime


@node(McpToolCall)
class McpToolCallType:
    """A call of a tool on an MCP server."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID | None
    crew: Edge | None
    agent_id: strawberry.ID
    agent: Edge | None
    mcp_server_id: strawberry.ID
    mcp_server_scope: McpServerScope
    tool_name: str
    status: McpCallStatus
    duration_ms: int | None
    error_message: str | None
    created_at: datetime


@strawberry.type
class AuditQuery:
    audit_log = query(audit_ops.list_audit, AuditEntryType)
    security_log = query(audit_ops.list_security_log, SecurityLogEntryType)
    mcp_tool_calls = query(audit_ops.list_mcp_calls, McpToolCallType)
