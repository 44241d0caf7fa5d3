"""What a run of an agent is given of MCP servers: the rules of `agent_integrations.resolved`, with what is sealed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.integrations import CredentialPlacement, IntegrationScope, Transport
from models.sealed import Sealed
from resolvers.kernel import AcrossWorkspaces, across_workspaces
from resolvers.rules.mcp_tools import KnownTool

MOST_SERVERS = 32
SERVERS = """
    WITH agent AS (SELECT crew_id FROM agents WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL),
    of_crew AS (
        SELECT server.* FROM crew_integrations AS server JOIN agent ON agent.crew_id = server.crew_id
        WHERE server.workspace_id = $1 AND server.enabled AND server.deleted_at IS NULL
    ),
    servers AS (
        SELECT id, 'crew' AS scope, name, transport, endpoint FROM of_crew
        UNION ALL
        SELECT id, 'workspace', name, transport, endpoint FROM workspace_mcp_servers
        WHERE workspace_id = $1 AND enabled AND name NOT IN (SELECT name FROM of_crew) AND EXISTS (SELECT FROM agent)
    )
    SELECT servers.*, tie.cred_type, tie.cred_header, credentials.id AS credential_id, credentials.value
    FROM servers
    LEFT JOIN agent_mcp_bindings AS tie ON tie.workspace_id = $1 AND tie.agent_id = $2
        AND tie.mcp_server_scope = servers.scope AND tie.mcp_server_id = servers.id
    LEFT JOIN credentials ON credentials.workspace_id = $1 AND credentials.id = tie.credential_id
        AND credentials.deleted_at IS NULL AND credentials.status = 'ACTIVE' AND credentials.value IS NOT NULL
        AND credentials.secret_ref IS NULL
    WHERE tie.enabled OR (tie.id IS NULL AND NOT EXISTS (
        SELECT FROM agent_mcp_bindings AS other WHERE other.workspace_id = $1
            AND other.mcp_server_scope = servers.scope AND other.mcp_server_id = servers.id
    ))
    ORDER BY servers.name LIMIT $3
"""
TOOLS = """
    SELECT crew_integration_id, tool_name, enabled, fingerprint FROM tool_bindings
    WHERE workspace_id = $1 AND crew_integration_id = ANY($2::text[])
"""


@dataclass(frozen=True, slots=True)
class GivenServer:
    """A server that the agent may use at this moment; `tools` are those that the workspace has said something of."""

    id: str
    scope: IntegrationScope
    name: str
    transport: Transport
    endpoint: str | None
    cred_type: CredentialPlacement | None
    cred_header: str | None
    credential_id: str | None
    sealed: Sealed | None = field(repr=False)
    tools: Mapping[str, KnownTool] = field(default_factory=dict)


async def servers_of(workspace_id: str, agent_id: str) -> list[GivenServer]:
    """By name."""

    async def find(rows: AcrossWorkspaces) -> tuple[list[Any], list[Any]]:
        found = await rows.fetch(SERVERS, workspace_id, agent_id, MOST_SERVERS)
        return found, await rows.fetch(TOOLS, workspace_id, [row["id"] for row in found]) if found else []

    servers, tools = await across_workspaces(find)
    known = dict[str, dict[str, KnownTool]]()
    for row in tools:
        of_server = known.setdefault(row["crew_integration_id"], {})
        of_server[row["tool_name"]] = KnownTool(row["enabled"], row["fingerprint"])
    return [_given(row, known.get(row["id"], {})) for row in servers]


def _given(row: Any, tools: Mapping[str, KnownTool]) -> GivenServer:
    return GivenServer(
        row["id"],
        IntegrationScope(row["scope"]),
        row["name"],
        Transport(row["transport"]),
        row["endpoint"],
        None if row["cred_type"] is None else CredentialPlacement(row["cred_type"]),
        row["cred_header"],
        row["credential_id"],
        None if row["value"] is None else Sealed(row["value"]),
        tools,
    )
