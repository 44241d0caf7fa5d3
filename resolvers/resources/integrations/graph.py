"""The access to MCP servers, and their edges."""

from typing import Any

from sqlalchemy import Text, case, func, or_, select
from sqlmodel import col

from models.base import table_of
from models.people.workspaces import Workspace
from models.resources.credentials import Credential, CredentialStatus
from models.resources.integrations import (
    AgentIntegration,
    CrewIntegration,
    ToolBinding,
    Transport,
    WorkspaceIntegration,
)
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import EVERYONE, Action, constant, count, derived, extend, graph, many, of_parent, one

ONE: Any = constant(1)
NOTHING: Any = constant("", Text(), as_="text")
UNKNOWN: Any = constant(None, Text(), as_="text")
FAILED = (CredentialStatus.EXPIRED, CredentialStatus.ERROR, CredentialStatus.REVOKED)
BY_NAME = (col(ToolBinding.tool_name),)
NEWEST_FIRST = (col(CrewIntegration.created_at).desc(), col(CrewIntegration.id).desc())


def said(value: Any) -> Any:
    """A text within the statement instead of a parameter."""
    return constant(value, Text(), as_="text")


def _auth_status(row: Any, scope: Any) -> Any:
    """True if any bound agent gives the server a credential (contract: rules, auth_status), regardless of who may see
    it.
    """
    binding, bindings = scope.beside(AgentIntegration, row)
    credential = table_of(Credential).alias()
    bound = (
        select(ONE)
        .select_from(binding.join(credential, credential.c.id == binding.c.credential_id))
        .where(
            binding.c.crew_server_id == row.id,
            credential.c.workspace_id == row.workspace_id,
            credential.c.deleted_at.is_(None),
            *bindings,
        )
    )
    failed = bound.where(credential.c.status.in_([said(status) for status in FAILED]))
    needs_none = or_(row.transport != said(Transport.streamable_http), func.coalesce(row.endpoint, NOTHING) == NOTHING)
    return case(
        (needs_none, said("none")),
        (scope.scalar(bound.limit(ONE)).is_(None), said("missing")),
        (scope.scalar(failed.limit(ONE)).is_not(None), said("expired")),
        else_=said("connected"),
    )


def of_server(column: str) -> Any:
    """A column of the server that a binding is to, of a deleted one too."""

    def expression(row: Any, scope: Any) -> Any:
        workspace = scope.parent(WorkspaceIntegration, row, "workspace_server_id", column)
        return func.coalesce(workspace, scope.parent(CrewIntegration, row, "crew_server_id", column))

    return derived(str, expression)


graph(
    WorkspaceIntegration,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    agent_binding_count=count(AgentIntegration, "workspace_server_id"),
    crew_server_count=count(CrewIntegration, "workspace_mcp_server_id"),
    crew_integrations=many(CrewIntegration, "workspace_mcp_server_id", order_by=NEWEST_FIRST),
)
graph(
    CrewIntegration,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    agent_binding_count=count(AgentIntegration, "crew_server_id"),
    auth_status=derived(str, _auth_status),
    unasked=derived(str, lambda *_: NOTHING),
    crew_name=of_parent(Crew, "crew_id", "name"),
    crew_slug=of_parent(Crew, "crew_id", "slug"),
    crew=one(Crew, "crew_id"),
    workspace_integration=one(WorkspaceIntegration, "workspace_mcp_server_id"),
    tools=many(ToolBinding, "crew_integration_id", order_by=BY_NAME),
)
graph(
    ToolBinding,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    crew_integration=one(CrewIntegration, "crew_integration_id"),
)
graph(
    AgentIntegration,
    gate=Action.READ,
    scope="agents:read",
    visible=EVERYONE,
    server_name=of_server("name"),
    server_display_name=of_server("display_name"),
    credential_name=of_parent(Credential, "credential_id", "name"),
    unasked=derived(str, lambda *_: NOTHING),
    untold=derived(str, lambda *_: UNKNOWN),
    agent=one(Agent, "agent_id"),
    credential=one(Credential, "credential_id"),
    workspace_integration=one(WorkspaceIntegration, "workspace_server_id"),
    crew_integration=one(CrewIntegration, "crew_server_id"),
)
extend(
    Workspace,
    integrations=many(
        WorkspaceIntegration,
        "workspace_id",
        order_by=(col(WorkspaceIntegration.created_at).desc(), col(WorkspaceIntegration.id).desc()),
    ),
)
extend(
    Agent,
    integrations=many(
        AgentIntegration,
        "agent_id",
        order_by=(col(AgentIntegration.created_at).desc(), col(AgentIntegration.id).desc()),
    ),
)
extend(Crew, integrations=many(CrewIntegration, "crew_id", order_by=NEWEST_FIRST))
