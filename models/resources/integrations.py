"""MCP servers of workspaces and crews, which agents are bound to them, and which of their tools are switched on."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Computed, Index, UniqueConstraint, text

from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    stored_at,
    tenant_key,
    text_field,
    unique_live,
)
from models.bounds import CONFIG, CREDENTIAL, DESCRIPTION, ID, LINE, NAME, URL
from models.personal_data import CONFIGURATION, MENTIONS, NOTHING


class Transport(StrEnum):
    """The transport of an MCP server: HTTP, or stdio of a program."""

    streamable_http = "streamable-http"
    stdio = "stdio"


class IntegrationScope(StrEnum):
    """The scope of an MCP server: the workspace, or a crew."""

    workspace = "workspace"
    crew = "crew"


class CredentialPlacement(StrEnum):
    """The way a credential is sent to an MCP server. A stdio server gets it in a variable instead."""

    bearer = "bearer"
    api_key = "api_key"
    basic = "basic"


class WorkspaceIntegration(TenantTable, Versioned, Timestamps, table=True):
    """An MCP server that the agents of the workspace may call; the `*_json` columns hold the client's text."""

    __tablename__ = "workspace_mcp_servers"
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("workspace_id", "name"),
        Index("workspace_mcp_servers_list_idx", "workspace_id", "created_at", "id"),
    )
    name: str = text_field(NAME, holds=MENTIONS)
    display_name: str = text_field(LINE, holds=MENTIONS)
    transport: Transport = enum_field(Transport.streamable_http)
    endpoint: str | None = text_field(URL, default=None, holds=NOTHING)
    command: str | None = text_field(URL, default=None, holds=NOTHING)
    args_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    env_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    config_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    icon: str | None = text_field(LINE, default=None, holds=NOTHING)
    enabled: bool = True


class CrewIntegration(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """An MCP server that a crew's agents may call, instead of one of the same name of the workspace."""

    __tablename__ = "crew_integrations"
    __table_args__ = (
        tenant_key(),
        unique_live("crew_integrations", "crew_id", "name"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        belongs_to("workspace_mcp_server_id", "workspace_mcp_servers", ondelete="CASCADE"),
        Index(
            "crew_integrations_workspace_id_crew_id_created_at_idx",
            "workspace_id",
            "crew_id",
            "created_at",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("crew_integrations_workspace_mcp_server_id_idx", "workspace_mcp_server_id"),
    )
    crew_id: str
    workspace_mcp_server_id: str | None = text_field(ID, default=None, holds=NOTHING)
    name: str = text_field(NAME, holds=MENTIONS)
    display_name: str = text_field(LINE, holds=MENTIONS)
    transport: Transport = enum_field(Transport.streamable_http)
    endpoint: str | None = text_field(URL, default=None, holds=NOTHING)
    command: str | None = text_field(URL, default=None, holds=NOTHING)
    args_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    env_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    config_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    icon: str | None = text_field(LINE, default=None, holds=NOTHING)
    enabled: bool = True


class AgentIntegration(TenantTable, Versioned, table=True):
    """A binding of an agent to an MCP server, with the credential that is sent to the server.

    `mcp_server_id` is an id of the table that the scope names. The two computed columns are for the database: a binding
    is deleted with its server, however the server is deleted.
    """

    __tablename__ = "agent_mcp_bindings"
    __table_args__ = (
        UniqueConstraint("agent_id", "mcp_server_scope", "mcp_server_id"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        belongs_to("workspace_server_id", "workspace_mcp_servers", ondelete="CASCADE"),
        belongs_to("crew_server_id", "crew_integrations", ondelete="CASCADE"),
        belongs_to("credential_id", "credentials", ondelete="SET NULL (credential_id)"),
        Index("agent_mcp_bindings_list_idx", "workspace_id", "agent_id", "created_at", "id"),
        Index("agent_mcp_bindings_workspace_server_id_idx", "workspace_server_id"),
        Index("agent_mcp_bindings_crew_server_id_idx", "crew_server_id"),
        Index("agent_mcp_bindings_credential_id_idx", "credential_id"),
    )
    agent_id: str
    mcp_server_id: str = text_field(ID, holds=NOTHING)
    mcp_server_scope: IntegrationScope = enum_field(IntegrationScope)
    workspace_server_id: str | None = text_field(
        ID,
        default=None,
        sa_column_args=(Computed("CASE mcp_server_scope WHEN 'workspace' THEN mcp_server_id END", persisted=True),),
        holds=NOTHING,
    )
    crew_server_id: str | None = text_field(
        ID,
        default=None,
        sa_column_args=(Computed("CASE mcp_server_scope WHEN 'crew' THEN mcp_server_id END", persisted=True),),
        holds=NOTHING,
    )
    credential_id: str | None = text_field(ID, default=None)
    cred_type: CredentialPlacement = enum_field(CredentialPlacement.bearer)
    cred_header: str | None = text_field(LINE, default=None, holds=NOTHING)
    env_var_name: str | None = text_field(CREDENTIAL, default=None, holds=NOTHING)
    enabled: bool = True
    config_override_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    created_at: datetime = stored_at()


class ToolBinding(TenantTable, Timestamps, table=True):
    """A tool of a crew's MCP server; a tool without a row is enabled.

    `fingerprint` is of the definition from the server itself, if it was queried: an agent does not see a tool whose
    definition has changed since.
    """

    __tablename__ = "tool_bindings"
    __table_args__ = (
        UniqueConstraint("crew_integration_id", "tool_name"),
        belongs_to("crew_integration_id", "crew_integrations", ondelete="CASCADE"),
    )
    crew_integration_id: str
    tool_name: str = text_field(LINE, holds=NOTHING)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    enabled: bool = True
    fingerprint: str | None = text_field(NAME, default=None, holds=NOTHING)
