"""Which credential fills which variable, and further fields of a credential."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, UniqueConstraint

from models.base import (
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    secret_field,
    stored_at,
    text_field,
)
from models.bounds import CREDENTIAL, NAME, SECRET
from models.personal_data import MENTIONS, NOTHING
from models.sealed import Sealed


class BindingScope(StrEnum):
    """Which agents a binding applies to: all agents of the workspace, the agents of a crew, or one agent."""

    WORKSPACE = "WORKSPACE"
    CREW = "CREW"
    AGENT = "AGENT"


class CredentialBinding(TenantTable, table=True):
    """A credential in a slot: the variable, in canonical form, of all agents in the scope. One slot of one scope has
    one credential.
    """

    __tablename__ = "credential_bindings"
    __table_args__ = (
        UniqueConstraint(
            "workspace_id",
            "scope",
            "crew_id",
            "agent_id",
            "slot",
            name="credential_bindings_of_slot_key",
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint("(scope = 'CREW') = (crew_id IS NOT NULL)", name="to_crew"),
        CheckConstraint("(scope = 'AGENT') = (agent_id IS NOT NULL)", name="to_agent"),
        belongs_to("credential_id", "credentials", ondelete="CASCADE"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("credential_bindings_list_idx", "workspace_id", "slot", "scope", "created_at", "id"),
        Index("credential_bindings_credential_id_idx", "workspace_id", "credential_id"),
        Index("credential_bindings_crew_id_idx", "workspace_id", "crew_id"),
        Index("credential_bindings_agent_id_idx", "workspace_id", "agent_id"),
    )
    credential_id: str
    scope: BindingScope = enum_field(BindingScope)
    crew_id: str | None = None
    agent_id: str | None = None
    slot: str = text_field(CREDENTIAL, holds=NOTHING)
    created_at: datetime = stored_at("clock_timestamp()")


class CredentialField(TenantTable, Timestamps, table=True):
    """A further value of a credential, such as a user name or an account number. A secret one is sealed, and `value`
    is null.
    """

    __tablename__ = "credential_fields"
    __table_args__ = (
        UniqueConstraint("workspace_id", "credential_id", "key"),
        CheckConstraint("is_secret = (value IS NULL) AND is_secret = (sealed IS NOT NULL)", name="value_or_seal"),
        belongs_to("credential_id", "credentials", ondelete="CASCADE"),
    )
    credential_id: str
    key: str = text_field(NAME, holds=NOTHING)
    is_secret: bool = True
    ordinal: int = 0
    value: str | None = text_field(SECRET, default=None, holds=MENTIONS)
    sealed: Sealed | None = secret_field(SECRET, default=None)
