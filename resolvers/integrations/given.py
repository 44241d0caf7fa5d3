"""What a run of an agent is given of MCP servers: what `agent_integrations.resolved` shows, with what is sealed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Text, and_, literal, select

from models.agents import Agent
from models.credentials import Credential, CredentialStatus
from models.integrations import CredentialPlacement, IntegrationScope, Transport
from models.sealed import Sealed
from resolvers.integrations.graph import ONE
from resolvers.integrations.resolution import rules
from resolvers.kernel import AcrossWorkspaces, Scope, across_workspaces
from resolvers.rules.mcp_tools import KnownTool

MOST_SERVERS = 32
TOOLS = """
    SELECT crew_integration_id, tool_name, enabled, fingerprint FROM tool_bindings
    WHERE workspace_id = $1 AND crew_integration_id = ANY($2::text[])
"""


@dataclass(frozen=True, slots=True)
class GivenServer:
    """A server that the agent may use at this moment; `tools` are those that the workspace has said something of. The
    texts are as somebody has sent them.
    """

    id: str
    scope: IntegrationScope
    name: str
    transport: Transport
    endpoint: str | None
    command: str | None
    args_json: str | None
    env_json: str | None
    cred_type: CredentialPlacement | None
    cred_header: str | None
    env_var_name: str | None
    credential_id: str | None
    sealed: Sealed | None = field(repr=False)
    secret_ref: str | None = None
    tools: Mapping[str, KnownTool] = field(default_factory=dict)


async def servers_of(workspace_id: str, agent_id: str) -> list[GivenServer]:
    """By name."""

    async def find(rows: AcrossWorkspaces) -> tuple[list[Any], list[Any]]:
        found = await rows.select(_given_to(workspace_id, agent_id))
        return found, await rows.fetch(TOOLS, workspace_id, [row["server_id"] for row in found]) if found else []

    servers, tools = await across_workspaces(find)
    known = dict[str, dict[str, KnownTool]]()
    for row in tools:
        of_server = known.setdefault(row["crew_integration_id"], {})
        of_server[row["tool_name"]] = KnownTool(row["enabled"], row["fingerprint"])
    return [_given(row, known.get(row["server_id"], {})) for row in servers]


def _given_to(workspace_id: str, agent_id: str) -> Any:
    """Only a credential that is ACTIVE is given, and none to an agent that is gone."""
    of = {"workspace": workspace_id, "user_id": "", "role": ""}
    scope = Scope.of(lambda name: literal(of[name], Text()), limited=False)
    found = rules(literal(agent_id, Text()), scope, scope)
    secret, secrets = scope.beside(Credential, scope)
    usable = secret.c.status == CredentialStatus.ACTIVE, secret.c.value.is_not(None)
    agent, agents = scope.beside(Agent, scope)
    there = select(ONE).select_from(agent).where(agent.c.id == agent_id, *agents).exists()
    bound = found.bound.c
    return (
        select(*found.columns, bound.cred_type, bound.cred_header, bound.env_var_name)
        .add_columns(secret.c.id.label("credential_id"), secret.c.value, secret.c.secret_ref)
        .select_from(found.joined.outerjoin(secret, and_(secret.c.id == bound.credential_id, *secrets, *usable)))
        .where(*found.conditions, there)
        .order_by(found.servers.c.name)
        .limit(MOST_SERVERS)
    )


def _given(row: Any, tools: Mapping[str, KnownTool]) -> GivenServer:
    return GivenServer(
        row["server_id"],
        IntegrationScope(row["scope"]),
        row["name"],
        Transport(row["transport"]),
        row["endpoint"],
        row["command"],
        row["args_json"],
        row["env_json"],
        None if row["cred_type"] is None else CredentialPlacement(row["cred_type"]),
        row["cred_header"],
        row["env_var_name"],
        row["credential_id"],
        None if row["value"] is None else Sealed(row["value"]),
        row["secret_ref"],
        tools,
    )
