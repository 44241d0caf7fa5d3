"""Credentials given to agents."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint

from models.base import TenantTable, belongs_to, now, time_field


class AgentCredential(TenantTable, table=True):
    """A credential in an agent's environment. Several under one `env_var_name` are a pool; the lowest `priority` is taken first."""

    __tablename__ = "agent_credentials"
    __table_args__ = (
        UniqueConstraint("agent_id", "credential_id"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("agent_credentials_credential_id_idx", "credential_id"),
    )
    agent_id: str
    credential_id: str
    env_var_name: str
    priority: int = 0
    created_at: datetime = time_field(default_factory=now)
