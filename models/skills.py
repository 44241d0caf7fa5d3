"""Skills given to agents."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint

from models.base import TenantTable, belongs_to, stored_at, text_field
from models.bounds import CONFIG, ID


class AgentSkill(TenantTable, table=True):
    """A skill on an agent; `config` is the client's JSON text. The catalog is the instance's, not the workspace's."""

    __tablename__ = "agent_skills"
    __table_args__ = (
        UniqueConstraint("agent_id", "skill_id"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("agent_skills_skill_id_idx", "skill_id"),
    )
    agent_id: str
    skill_id: str = text_field(ID)
    enabled: bool = True
    config: str | None = text_field(CONFIG, default=None)
    created_at: datetime = stored_at()
