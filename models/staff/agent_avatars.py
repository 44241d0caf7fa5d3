"""Stored pictures of agents."""

from datetime import datetime
from typing import Final

from sqlmodel import Field

from models.base import TenantRow, belongs_to, stored_at, tenant_id, text_field
from models.personal_data import MENTIONS

LARGEST: Final = 64 << 10
"""Bytes of UTF-8 (contract: agents.avatar_store), and so characters, too."""


class AgentAvatar(TenantRow, table=True):
    """The picture of an agent, an SVG that `resolvers/rules/svg.py` has accepted. `agents.avatar_digest` is of it."""

    __tablename__ = "agent_avatars"
    __table_args__ = (belongs_to("agent_id", "agents", ondelete="CASCADE"),)
    agent_id: str = Field(primary_key=True)
    workspace_id: str = tenant_id()
    svg: str = text_field(LARGEST, holds=MENTIONS)
    created_at: datetime = stored_at()
