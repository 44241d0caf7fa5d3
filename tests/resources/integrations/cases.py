"""Cases of integrations, for the tests that are made for every operation."""

from typing import Any

from models.resources.integrations import (
    AgentIntegration,
    CredentialPlacement,
    CrewIntegration,
    IntegrationScope,
    ToolBinding,
    WorkspaceIntegration,
)
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe

SERVER: dict[str, Any] = {
    "display_name": "Charts",
    "endpoint": "https://charts.example.com/mcp",
    "command": "charts",
    "args_json": '["--all"]',
    "env_json": '{"SEA": "north"}',
    "config_json": "{}",
    "icon": "anchor",
}


@entity
def workspace_integration(plot: Plot) -> WorkspaceIntegration:
    return WorkspaceIntegration(name="charts", **SERVER, **plot.here)


@entity
def second_workspace_integration(plot: Plot) -> WorkspaceIntegration:
    """No agent is bound to it."""
    return WorkspaceIntegration(name="tides", **SERVER, **plot.here)


@entity
def crew_integration(plot: Plot) -> CrewIntegration:
    linked = plot["workspace_integration"].id
    return CrewIntegration(
        crew_id=plot["crew"].id, workspace_mcp_server_id=linked, name="charts", **SERVER, **plot.here
    )


@entity
def tool_binding(plot: Plot) -> ToolBinding:
    return ToolBinding(
        crew_integration_id=plot["crew_integration"].id,
        tool_name="plot",
        description="Draws",
        fingerprint="f",
        **plot.here,
    )


@entity
def agent_integration(plot: Plot) -> AgentIntegration:
    return AgentIntegration(
        agent_id=plot["agent"].id,
        mcp_server_id=plot["crew_integration"].id,
        mcp_server_scope=IntegrationScope.crew,
        credential_id=plot["credential"].id,
        cred_type=CredentialPlacement.api_key,
        cred_header="X-Key",
        env_var_name="CHARTS_KEY",
        config_override_json="{}",
        **plot.here,
    )


@entity
def binding_to_workspace(plot: Plot) -> AgentIntegration:
    return AgentIntegration(
        agent_id=plot["agent"].id,
        mcp_server_id=plot["workspace_integration"].id,
        mcp_server_scope=IntegrationScope.workspace,
        credential_id=plot["credential"].id,
        cred_header="X-Key",
        env_var_name="CHARTS_KEY",
        config_override_json="{}",
        **plot.here,
    )


OF_SERVER: dict[str, str] = {"id": "workspace_integration"}
SENT = SERVER | {"transport": "streamable-http"}
OF_CREW_SERVER: dict[str, str] = {"crew_id": "crew", "integration_id": "crew_integration"}
OF_BINDING: dict[str, str] = {"agent_id": "agent", "integration_id": "agent_integration"}
BINDING: dict[str, Any] = {
    "cred_type": "api_key",
    "cred_header": "X-Key",
    "env_var_name": "CHARTS_KEY",
    "config_override_json": "{}",
}
RECIPES = {
    "integrations.get": Recipe(ids=OF_SERVER),
    "integrations.create": Recipe(SENT | {"name": "soundings"}),
    "integrations.update": Recipe(SENT | {"enabled": False}, ids=OF_SERVER),
    "integrations.test": Recipe(ids=OF_SERVER),
    "crew_integrations.test": Recipe(ids=OF_CREW_SERVER),
    "integrations.delete": Recipe(ids=OF_SERVER),
    "crew_integrations.create": Recipe(
        SENT | {"name": "soundings"}, ids={"crew_id": "crew", "workspace_mcp_server_id": "workspace_integration"}
    ),
    "crew_integrations.update": Recipe(SENT | {"enabled": False}, ids=OF_CREW_SERVER),
    "crew_integrations.delete": Recipe(ids=OF_CREW_SERVER),
    "crew_tools.list": Recipe(ids=OF_CREW_SERVER),
    "crew_tools.update": Recipe({"tool_name": "steer", "enabled": False}, ids=OF_CREW_SERVER),
    "crew_tools.refresh": Recipe({"tools": [{"name": "steer", "description": "Turns"}]}, ids=OF_CREW_SERVER),
    "agent_integrations.create": Recipe(
        BINDING | {"mcp_server_scope": "workspace"},
        ids={"agent_id": "agent", "mcp_server_id": "second_workspace_integration", "credential_id": "credential"},
    ),
    "agent_integrations.update": Recipe(BINDING, ids=OF_BINDING | {"credential_id": "credential"}),
    "agent_integrations.delete": Recipe(ids=OF_BINDING),
}
