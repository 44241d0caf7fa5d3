"""The audit log of a workspace, the security log of an account, and the log of MCP tool calls."""

from resolvers.kernel import Domain
from resolvers.oversight.audit.export import export_audit
from resolvers.oversight.audit.log import list_audit
from resolvers.oversight.audit.mcp_calls import list_mcp_calls, record_mcp_call
from resolvers.oversight.audit.security_log import list_security_log
from resolvers.oversight.audit.verifying import verify_audit

DOMAIN = Domain("audit", scopes="workspace")
