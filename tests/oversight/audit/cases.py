"""Cases of the audit log, for the tests that are made for every operation. Its row is among those of workspaces."""

from models.kernel import AuditActor, SecurityLog
from models.oversight.audit import McpCallStatus, McpServerScope, McpToolCall
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def mcp_tool_call(plot: Plot) -> McpToolCall:
    return McpToolCall(
        agent_id=plot["agent"].id,
        crew_id=plot["crew"].id,
        mcp_server_id="charts",
        mcp_server_scope=McpServerScope.crew,
        tool_name="plot",
        status=McpCallStatus.error,
        duration_ms=12,
        error_message="No such chart",
        **plot.here,
    )


@entity
def security_log(plot: Plot) -> SecurityLog:
    return SecurityLog(
        user_id=plot.owner.user_id,
        action="session.opened",
        entity_type="SESSION",
        entity_id="s_1",
        data={"email": "a@example.com"},
        changes={"name": {"before": "a", "after": "b"}},
        ip_address="192.0.2.1",
        user_agent="browser",
        actor_type=AuditActor.user,
        actor_id=plot.owner.user_id,
    )


RECIPES = {
    "audit.list": Recipe(chosen=frozenset({"entity_id"})),
    "audit.export": Recipe(chosen=frozenset({"entity_id"})),
    "audit.walk": Recipe(chosen=frozenset({"entity_id"})),
    "mcp_calls.list": Recipe(chosen=frozenset({"server_id"})),
    "mcp_calls.record": Recipe({"mcp_server_id": "charts", "duration_ms": 12}, chosen=frozenset({"mcp_server_id"})),
}
