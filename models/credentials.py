"""Credentials given to agents."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint

from models.base import TenantTable, belongs_to, stored_at, text_field
from models.bounds import ID, LINE


class AgentCredential(TenantTable, table=True):
    """A credential in an agent's environment. Those of one `env_var_name` are a pool, the lowest `priority` first."""

    __tablename__ = "agent_credentials"
    __table_args__ = (
        UniqueConstraint("agent_id", "credential_id"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("agent_credentials_credential_id_idx", "credential_id"),
    )
    agent_id: str
    credential_id: str = text_field(ID)
    env_var_name: str = text_field(LINE)
    priority: int = 0
    created_at: datetime = stored_at()
