"""Credentials of a workspace, and which agents they are given to."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import Computed, Index, UniqueConstraint, text
from sqlmodel import Field

from models.actors import ActorType
from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    json_field,
    secret_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
    unique_live,
)
from models.bounds import CREDENTIAL, DESCRIPTION, EMAIL, ERROR, HOSTS, ID, LINE, NOTES, PROMPT, URL
from models.expiry import ByIndex, Kept
from models.machines import Machine
from models.personal_data import AUTHOR, MENTIONS, NOTHING, WORDS, holding
from models.retention import RetentionKind
from models.sealed import Sealed


class CredentialType(StrEnum):
    """The type of a credential, which determines the programs that can use it."""

    AI_CLI_TOKEN = "AI_CLI_TOKEN"
    API_KEY = "API_KEY"
    CLI_TOKEN = "CLI_TOKEN"
    SECRET = "SECRET"
    OAUTH2 = "OAUTH2"
    USERPASS = "USERPASS"
    SSH_KEY = "SSH_KEY"
    CERTIFICATE = "CERTIFICATE"
    GENERIC_SECRET = "GENERIC_SECRET"
    ENDPOINT_URL = "ENDPOINT_URL"


class CredentialStatus(StrEnum):
    """The state of a credential. Agents get only ACTIVE credentials."""

    ACTIVE = "ACTIVE"
    PENDING = "PENDING"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    RATE_LIMITED = "RATE_LIMITED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    ERROR = "ERROR"
    REJECTED = "REJECTED"


class Sensitivity(StrEnum):
    """The sensitivity of a credential, ascending. The value of a SEALED credential is never revealed."""

    STANDARD = "STANDARD"
    RESTRICTED = "RESTRICTED"
    SEALED = "SEALED"


class CredentialScope(StrEnum):
    """Who sees a credential: every member of the workspace, or members of its crews. The set is open."""

    WORKSPACE = "WORKSPACE"
    CREW = "CREW"


class CredentialEventType(StrEnum):
    """The kinds of entries in a credential's timeline."""

    USE = "USE"
    ROTATE = "ROTATE"
    TEST = "TEST"
    REVOKE = "REVOKE"
    DETECTED = "DETECTED"
    CREATED = "CREATED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    REVEAL = "REVEAL"
    LEASED = "LEASED"


RECENCY = "(timestamp '2000-01-01' - (created_at AT TIME ZONE 'UTC' - timestamp '2000-01-01')) AT TIME ZONE 'UTC'"


class Credential(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """A secret for agents. Its values are sealed for this row; one operation shows them.

    A credential without a value, such as an empty slot, is given to no agent, regardless of its status. `hosts` are the
    hosts of a SECRET, chosen with its value; an empty list restricts nothing. `token_expires_at` is the client's text;
    `oauth_expires_at` is the expiry of a token from OAuth. `oauth_names_issuer`: the authorization server names itself
    in each answer (RFC 9207). `recency` falls as `created_at` rises: all keys of the list have one direction, so that a
    deep page costs as much as the first.
    """

    __tablename__ = "credentials"
    __table_args__ = (
        tenant_key(),
        unique_live("credentials", "workspace_id", "name"),
        Index(
            "credentials_list_idx",
            "workspace_id",
            "type",
            "recency",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "credentials_status_list_idx",
            "workspace_id",
            "status",
            "type",
            "recency",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "credentials_newest_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "credentials_expired_idx",
            "workspace_id",
            "updated_at",
            "id",
            postgresql_where=text("status = 'EXPIRED' AND deleted_at IS NULL"),
        ),
        Index(
            "credentials_oauth_expires_at_idx",
            "oauth_expires_at",
            postgresql_where=text("status = 'ACTIVE' AND oauth_expires_at IS NOT NULL AND deleted_at IS NULL"),
        ),
    )
    __bookkeeping__: ClassVar = frozenset({"last_checked_at", "last_used_at", "last_used_ips"})
    name: str = text_field(CREDENTIAL, holds=MENTIONS)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    type: CredentialType = enum_field(CredentialType)
    provider: str = text_field(LINE, default="NONE", holds=NOTHING)
    status: CredentialStatus = enum_field(CredentialStatus.ACTIVE)
    scope: str = text_field(LINE, default=CredentialScope.WORKSPACE.value, holds=NOTHING)
    value: Sealed | None = secret_field(PROMPT, default=None)
    refresh_token: Sealed | None = secret_field(PROMPT, default=None)
    # the base address in a value of type ENDPOINT_URL, never its key or headers
    endpoint_url: str | None = text_field(URL, default=None, holds=NOTHING)
    account_label: str | None = text_field(LINE, default=None, holds=MENTIONS)
    account_email: str | None = text_field(EMAIL, default=None, holds=MENTIONS)
    username: str | None = text_field(EMAIL, default=None, holds=MENTIONS)
    token_expires_at: str | None = text_field(LINE, default=None, holds=NOTHING)
    security_level: int = 1
    # a release without the column runs beside this one
    sensitivity: Sensitivity = enum_field(Sensitivity.STANDARD, sa_column_kwargs={"server_default": text("'STANDARD'")})
    # a release without the column runs beside this one
    on_runners: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    tags: list[str] = json_field(NOTES, default_factory=list, holds=MENTIONS)
    last_checked_at: datetime | None = time_field(default=None)
    last_error: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    last_used_at: datetime | None = time_field(default=None)
    last_used_ips: list[str] = json_field(NOTES, default_factory=list, holds=NOTHING)
    oauth_client_id: str | None = text_field(URL, default=None, holds=NOTHING)
    oauth_client_secret: Sealed | None = secret_field(PROMPT, default=None)
    oauth_auth_url: str | None = text_field(URL, default=None, holds=NOTHING)
    oauth_token_url: str | None = text_field(URL, default=None, holds=NOTHING)
    oauth_scopes: str | None = text_field(URL, default=None, holds=NOTHING)
    oauth_issuer: str | None = text_field(URL, default=None, holds=NOTHING)
    oauth_names_issuer: bool = False
    oauth_resource: str | None = text_field(URL, default=None, holds=NOTHING)
    oauth_expires_at: datetime | None = time_field(default=None)
    # where the value is kept, if not here: `value` is then what opens it there
    secret_ref: str | None = text_field(URL, default=None, holds=NOTHING)
    # a release without the column runs beside this one
    hosts: list[str] = json_field(
        HOSTS, default_factory=list, sa_column_kwargs={"server_default": text("'[]'")}, holds=NOTHING
    )
    provisioned_for_service: str | None = text_field(LINE, default=None, holds=NOTHING)
    created_by_actor_type: ActorType | None = enum_field(ActorType, default=None)
    created_by_actor_id: str | None = text_field(ID, default=None, holds=AUTHOR)
    recency: datetime = time_field(default=None, nullable=False, sa_column_args=(Computed(RECENCY, persisted=True),))


class CredentialCrew(TenantTable, table=True):
    """A crew whose members see a credential; `position` is the place among the crews of the credential."""

    __tablename__ = "credential_crews"
    __table_args__ = (
        UniqueConstraint("credential_id", "crew_id"),
        belongs_to("credential_id", "credentials", ondelete="CASCADE"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        Index("credential_crews_crew_id_idx", "crew_id"),
    )
    credential_id: str
    crew_id: str
    position: int = 0


OLDEST = """
    SELECT id, occurred_at AS at FROM credential_events
    WHERE workspace_id = $1 AND occurred_at < $2 AND ($3::timestamptz IS NULL OR occurred_at >= $3)
    ORDER BY occurred_at, id LIMIT $4
"""
GONE = "gone AS (DELETE FROM credential_events e USING old WHERE e.id = old.id AND e.workspace_id = $1 RETURNING 1)"


class CredentialEvent(TenantTable, table=True):
    """One line of the timeline of a credential, which only grows."""

    __tablename__ = "credential_events"
    __kept__: ClassVar = Kept(RetentionKind.credential_events, removal=ByIndex(OLDEST, GONE))
    __table_args__ = (
        belongs_to("credential_id", "credentials", ondelete="CASCADE"),
        Index("credential_events_user_id_idx", "user_id"),
        Index("credential_events_kept_idx", "workspace_id", "occurred_at", "id"),
        Index("credential_events_list_idx", "workspace_id", "credential_id", "occurred_at", "id"),
    )
    credential_id: str
    event_type: CredentialEventType = enum_field(CredentialEventType)
    user_id: str | None = Field(
        default=None, foreign_key="users.id", ondelete="SET NULL", sa_column_kwargs=holding(AUTHOR)
    )
    agent_id: str | None = text_field(ID, default=None, holds=NOTHING)
    ip_address: str | None = text_field(LINE, default=None, holds=WORDS)
    details: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    occurred_at: datetime = stored_at("clock_timestamp()")


class LeaseSource(StrEnum):
    """The reason for a lease: an assignment for a time, a decision of the keeper, or an answered question."""

    manual = "manual"
    keeper_allow = "keeper_allow"
    escalation_approve = "escalation_approve"


class AgentCredential(TenantTable, table=True):
    """A credential in an agent's environment. Those with one `env_var_name` are a pool, the lowest `priority` first.

    A lease is an assignment that ends at `expires_at`; the row stays.
    """

    __tablename__ = "agent_credentials"
    __table_args__ = (
        UniqueConstraint("agent_id", "credential_id"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        belongs_to("credential_id", "credentials", ondelete="CASCADE"),
        Index("agent_credentials_credential_id_idx", "credential_id"),
    )
    agent_id: str
    credential_id: str
    env_var_name: str = text_field(CREDENTIAL, holds=NOTHING)
    priority: int = 0
    created_at: datetime = stored_at()
    expires_at: datetime | None = time_field(default=None)
    lease_source: LeaseSource | None = enum_field(LeaseSource, default=None)
    lease_issued_at: datetime | None = time_field(default=None)


class RotationStatus(StrEnum):
    """The state of a rotation: the previous value is valid only while it is ACTIVE."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class CredentialRotation(TenantTable, table=True):
    """A value that was replaced, and stays good until `expires_at`. Where it ends, so does the sealed value."""

    __tablename__ = "credential_rotations"
    __table_args__ = (
        belongs_to("credential_id", "credentials", ondelete="CASCADE"),
        Index("credential_rotations_list_idx", "workspace_id", "credential_id", "rotated_at", "id"),
        Index("credential_rotations_rotated_by_idx", "rotated_by"),
        Index("credential_rotations_due_idx", "expires_at", postgresql_where=text("status = 'ACTIVE'")),
    )
    credential_id: str
    grace_seconds: int
    rotated_at: datetime = stored_at("clock_timestamp()")
    expires_at: datetime = time_field()
    rotated_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    status: RotationStatus = enum_field(RotationStatus.ACTIVE)
    old_value: Sealed | None = secret_field(PROMPT, default=None)


ROTATION_STATES = Machine(
    CredentialRotation,
    "status",
    {
        RotationStatus.ACTIVE: frozenset({RotationStatus.EXPIRED, RotationStatus.CANCELLED}),
        RotationStatus.EXPIRED: frozenset(),
        RotationStatus.CANCELLED: frozenset(),
    },
)
