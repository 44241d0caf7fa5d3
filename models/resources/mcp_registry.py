"""The mirror of a registry of MCP servers: what anybody may look up, the same for all workspaces."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Computed, Index, Integer
from sqlmodel import Field

from models.base import Row, enum_field, free_id, text_field, time_field
from models.bounds import CONFIG, DESCRIPTION, LINE, URL
from models.personal_data import NOTHING


class TrustTier(StrEnum):
    """The trust in a server: chosen on this server, never taken from the registry."""

    anthropic = "anthropic"
    crewship = "crewship"
    community = "community"


class McpRegistryServer(Row, table=True):
    """A server as the registry describes it. Its name there is its id, and missing values are empty.

    `place` is 0 for a featured one: all keys of the list have one direction, so an index serves it.
    """

    __tablename__ = "mcp_registry_servers"
    __table_args__ = (Index("mcp_registry_servers_list_idx", "place", "name", "id"),)
    id: str = free_id(str, LINE)
    name: str = text_field(LINE, holds=NOTHING)
    display_name: str = text_field(LINE, holds=NOTHING)
    description: str = text_field(DESCRIPTION, default="", holds=NOTHING)
    icon: str = text_field(URL, default="", holds=NOTHING)
    transport: str = text_field(LINE, default="", holds=NOTHING)
    homepage_url: str = text_field(URL, default="", holds=NOTHING)
    source_url: str = text_field(URL, default="", holds=NOTHING)
    package_name: str = text_field(LINE, default="", holds=NOTHING)
    package_registry: str = text_field(LINE, default="", holds=NOTHING)
    command: str = text_field(LINE, default="", holds=NOTHING)
    endpoint: str = text_field(URL, default="", holds=NOTHING)
    auth_type: str = text_field(LINE, default="", holds=NOTHING)
    env_vars_json: str = text_field(CONFIG, default="[]", holds=NOTHING)
    category: str = text_field(LINE, default="", holds=NOTHING)
    is_verified: bool = False
    trust_tier: TrustTier = enum_field(TrustTier.community)
    is_featured: bool = False
    synced_at: datetime = time_field()
    place: int = Field(
        default=None,
        nullable=False,
        sa_type=Integer,
        sa_column_args=(Computed("CASE WHEN is_featured THEN 0 ELSE 1 END", persisted=True),),
    )
