"""Which MCP servers an agent can use (contract: integrations, rules.resolution)."""

from typing import Any, NamedTuple

from sqlalchemy import and_, func, or_, select, union_all

from models.resources.credentials import Credential
from models.resources.integrations import (
    AgentIntegration,
    CrewIntegration,
    IntegrationScope,
    Transport,
    WorkspaceIntegration,
)
from models.staff.agents import Agent
from resolvers.kernel import EVERYONE, Action, View, extend, graph, one, reads
from resolvers.resources.integrations.graph import ONE, UNKNOWN, said

FIELDS = (
    "name", "display_name", "transport", "endpoint", "command", "args_json", "env_json", "config_json", "icon",
    "enabled",
)  # fmt: skip


class ResolvedIntegration(View):
    """An MCP server as the agent uses it, including its binding."""

    server_id: str
    scope: IntegrationScope
    name: str
    display_name: str
    transport: Transport
    endpoint: str | None
    command: str | None
    args_json: str | None
    env_json: str | None
    config_json: str | None
    icon: str | None
    enabled: bool
    credential_id: str | None
    credential_name: str | None


def _of(server: Any, scope: IntegrationScope, crew_id: Any) -> Any:
    whose = [server.c.id.label("server_id"), said(scope).label("scope"), crew_id.label("crew_id")]
    live = () if scope is IntegrationScope.workspace else (server.c.deleted_at.is_(None),)
    return select(*whose, server.c.workspace_id, *[server.c[name] for name in FIELDS]).where(server.c.enabled, *live)


class Resolved(NamedTuple):
    """The parts of a statement about an agent's servers: FROM entries of both kinds, their join, and its conditions."""

    servers: Any
    bound: Any
    joined: Any
    conditions: list[Any]

    @property
    def columns(self) -> list[Any]:
        """The server's columns for the agent: a binding may have its own `config_json`."""
        plain = [self.servers.c[name] for name in ("server_id", "scope", *FIELDS) if name != "config_json"]
        config = func.coalesce(self.bound.c.config_override_json, self.servers.c.config_json)
        return [*plain, config.label("config_json")]


def rules(agent_id: Any, row: Any, scope: Any) -> Resolved:
    """Which servers an agent can use. `row`: whose workspace it is."""
    workspace, _ = scope.beside(WorkspaceIntegration, row)
    crew, _ = scope.beside(CrewIntegration, row)
    both = _of(workspace, IntegrationScope.workspace, UNKNOWN), _of(crew, IntegrationScope.crew, crew.c.crew_id)
    servers = union_all(*both).subquery()
    agent, agents = scope.beside(Agent, row)
    crew_id = scope.scalar(select(agent.c.crew_id).where(agent.c.id == agent_id, *agents))
    hiding, live = scope.beside(CrewIntegration, row)
    hidden = select(ONE).where(hiding.c.enabled, hiding.c.name == servers.c.name, hiding.c.crew_id == crew_id, *live)
    others, ties = scope.beside(AgentIntegration, row)
    same = others.c.mcp_server_id == servers.c.server_id, others.c.mcp_server_scope == servers.c.scope
    elsewhere = select(ONE).where(*same, *ties)
    bound, bindings = scope.beside(AgentIntegration, row)
    tied = bound.c.mcp_server_id == servers.c.server_id, bound.c.mcp_server_scope == servers.c.scope
    nobody = scope.scalar(elsewhere.correlate(servers).limit(ONE)).is_(None)
    in_the_way = scope.scalar(hidden.correlate(servers).limit(ONE)).is_not(None)
    own = or_(servers.c.crew_id == crew_id, and_(servers.c.scope == said(IntegrationScope.workspace), ~in_the_way))
    joined = servers.outerjoin(bound, and_(bound.c.agent_id == agent_id, *tied, *bindings))
    usable = or_(bound.c.enabled, and_(bound.c.id.is_(None), nobody))
    return Resolved(servers, bound, joined, [servers.c.workspace_id == row.workspace_id, own, usable])


def resolved_of(agent_id: Any, row: Any, scope: Any) -> Any:
    """The statement of an agent's ResolvedIntegration."""
    found = rules(agent_id, row, scope)
    secret, secrets = scope.beside(Credential, row)
    named = select(secret.c.name).where(secret.c.id == found.bound.c.credential_id, *secrets).correlate(found.bound)
    credential = found.bound.c.credential_id, scope.scalar(named).label("credential_name")
    return select(*found.columns, *credential).select_from(found.joined).where(*found.conditions)


graph(
    ResolvedIntegration,
    gate=Action.READ,
    scope="agents:read",
    visible=EVERYONE,
    crew_integration=one(CrewIntegration, "server_id"),
)
extend(
    Agent,
    resolved_integrations=reads(
        ResolvedIntegration, lambda row, scope: resolved_of(row.id, row, scope), order_by="name"
    ),
)
