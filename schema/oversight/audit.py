"""GraphQL: the audit log, and the log of MCP tool calls."""

import strawberry

from models.kernel import AuditLog, SecurityLog
from models.oversight.audit import McpToolCall
from resolvers.oversight import audit as audit_ops
from schema.bridge.fields import node, query


@node(AuditLog, name="AuditEntry")
class AuditEntryType:
    """An entry of the audit log of a workspace."""

    fields = """
        id workspace_id user_id user_email user_name actor_type actor_id action entity_type entity_id data change_list
        ip_address user_agent created_at
    """
    user_id = strawberry.field(description="Null if the system made the change.")
    actor_id = strawberry.field(
        description="Id of the user, CLI token, service account or agent, or name of the part of the system."
    )
    data = strawberry.field(name="metadata")
    change_list = strawberry.field(
        name="changes", description="A list of `field`, `before` and `after`; null if no field of the entity changed."
    )


@node(SecurityLog, name="SecurityLogEntry")
class SecurityLogEntryType:
    """An event of the caller's account."""

    fields = "id action entity_type entity_id data change_list ip_address user_agent actor_type actor_id created_at"
    data = strawberry.field(name="metadata")
    change_list = strawberry.field(
        name="changes", description="A list of `field`, `before` and `after`; null if no field of the entity changed."
    )


@node(McpToolCall)
class McpToolCallType:
    """A call of a tool on an MCP server."""

    fields = """
        id workspace_id crew_id crew agent_id agent mcp_server_id mcp_server_scope tool_name status duration_ms
        error_message created_at
    """


@strawberry.type
class AuditQuery:
    audit_log = query(audit_ops.list_audit, AuditEntryType)
    audit_verify = query(audit_ops.verify_audit)
    security_log = query(audit_ops.list_security_log, SecurityLogEntryType)
    mcp_tool_calls = query(audit_ops.list_mcp_calls, McpToolCallType)
