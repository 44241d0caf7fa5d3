"""MCP servers of crews, and which of their tools are switched on."""

from enum import StrEnum

from sqlalchemy import Index, UniqueConstraint, text

from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    tenant_key,
    text_field,
    unique_live,
)
from models.bounds import CONFIG, DESCRIPTION, ID, LINE, NAME, URL


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
        Index(
            "crew_integrations_workspace_id_crew_id_created_at_idx",
            "workspace_id",
            "crew_id",
            "created_at",
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )
    crew_id: str
    workspace_mcp_server_id: str | None = text_field(ID, default=None)
    name: str = text_field(NAME)
    display_name: str = text_field(LINE)
    transport: Transport = enum_field(Transport.streamable_http)
    endpoint: str | None = text_field(URL, default=None)
    command: str | None = text_field(URL, default=None)
    args_json: str | None = text_field(CONFIG, default=None)
    env_json: str | None = text_field(CONFIG, default=None)
    config_json: str | None = text_field(CONFIG, default=None)
    icon: str | None = text_field(LINE, default=None)
    enabled: bool = True


class ToolBinding(TenantTable, Timestamps, table=True):
    """A tool of a crew's MCP server; a tool without a row counts as switched on."""

    __tablename__ = "tool_bindings"
    __table_args__ = (
        UniqueConstraint("crew_integration_id", "tool_name"),
        belongs_to("crew_integration_id", "crew_integrations", ondelete="CASCADE"),
    )
    crew_integration_id: str
    tool_name: str = text_field(LINE)
    description: str | None = text_field(DESCRIPTION, default=None)
    enabled: bool = True
