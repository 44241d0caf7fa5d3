"""MCP servers of crews, and which of their tools are switched on."""

from enum import StrEnum

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlmodel import Field

from models.base import SoftDelete, TenantTable, Timestamps, Versioned, belongs_to, one_of, tenant_key, unique_live


class Transport(StrEnum):
    streamable_http = "streamable-http"
    stdio = "stdio"


class CrewIntegration(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """An MCP server that a crew's agents may call; the `*_json` columns hold the client's text."""

    __tablename__ = "crew_integrations"
    __table_args__ = (
        tenant_key(),
        unique_live("crew_integrations", "crew_id", "name"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        one_of("transport", Transport),
        Index("crew_integrations_workspace_id_crew_id_created_at_idx", "workspace_id", "crew_id", "created_at", postgresql_where=text("deleted_at IS NULL")),
    )
    crew_id: str
    workspace_mcp_server_id: str | None = None
    name: str
    display_name: str
    transport: Transport = Field(default=Transport.streamable_http, sa_type=Text)
    endpoint: str | None = None
    command: str | None = None
    args_json: str | None = None
    env_json: str | None = None
    config_json: str | None = None
    icon: str | None = None
    enabled: bool = True


class ToolBinding(TenantTable, Timestamps, table=True):
    """A tool of a crew's MCP server; a tool without a row counts as switched on."""

    __tablename__ = "tool_bindings"
    __table_args__ = (UniqueConstraint("crew_integration_id", "tool_name"), belongs_to("crew_integration_id", "crew_integrations", ondelete="CASCADE"))
    crew_integration_id: str
    tool_name: str
    description: str | None = None
    enabled: bool = True
