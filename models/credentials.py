"""Credentials of a workspace, and which agents they are given to."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, UniqueConstraint

from models.actors import ActorType
from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    secret_field,
    stored_at,
    tenant_key,
    text_field,
    unique_live,
)
from models.bounds import CREDENTIAL, ID, LINE, PROMPT
from models.sealed import Sealed


class CredentialType(StrEnum):
    """What a credential is, and so which programs can use it."""

    AI_CLI_TOKEN = "AI_CLI_TOKEN"
    API_KEY = "API_KEY"
    CLI_TOKEN = "CLI_TOKEN"
    SECRET = "SECRET"
    OAUTH2 = "OAUTH2"
    USERPASS = "USERPASS"
    SSH_KEY = "SSH_KEY"
    CERTIFICATE = "CERTIFICATE"
    GENERIC_SECRET = "GENERIC_SECRET"


class CredentialStatus(StrEnum):
    """Whether a credential is given to agents: only an ACTIVE one is."""

    ACTIVE = "ACTIVE"
    PENDING = "PENDING"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    RATE_LIMITED = "RATE_LIMITED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    ERROR = "ERROR"
    REJECTED = "REJECTED"


class CredentialScope(StrEnum):
    """Who sees a credential: every member of the workspace, or those of its crews. The set is open."""

    WORKSPACE = "WORKSPACE"
    CREW = "CREW"


class Credential(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """A secret that agents work with. Its value is sealed for this row; nothing shows it."""

    __tablename__ = "credentials"
    __table_args__ = (tenant_key(), unique_live("credentials", "workspace_id", "name"))
    name: str = text_field(CREDENTIAL)
    type: CredentialType = enum_field(CredentialType)
    provider: str = text_field(LINE, default="NONE")
    status: CredentialStatus = enum_field(CredentialStatus.ACTIVE)
    scope: str = text_field(LINE, default=CredentialScope.WORKSPACE.value)
    value: Sealed = secret_field(PROMPT)
    created_by_actor_type: ActorType | None = enum_field(ActorType, default=None)
    created_by_actor_id: str | None = text_field(ID, default=None)


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
    env_var_name: str = text_field(CREDENTIAL)
    priority: int = 0
    created_at: datetime = stored_at()
