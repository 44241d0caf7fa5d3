"""Peer cards and models of people: agents' notes about people, the people's consent, and the log of readers."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from models.base import (
    TenantRow,
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    json_field,
    stored_at,
    tenant_id,
    text_field,
    time_field,
)
from models.bounds import DESCRIPTION, LINE, NAME, NOTES
from models.personal_data import NOTHING

MODEL = 1_500
"""The model of a user; in bytes of UTF-8 (contract: privacy), and so in characters, too."""


class PeerAuditAction(StrEnum):
    """Actions on peer cards."""

    read = "read"
    write = "write"
    delete = "delete"
    opt_in = "opt_in"
    opt_out = "opt_out"


class PeerCard(TenantTable, Timestamps, table=True):
    """The notes of one agent about one user. `user_slug` is its name for the user, `path` the logical place."""

    __tablename__ = "peer_cards"
    __table_args__ = (
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "user_id", "agent_id"),
        Index("peer_cards_agent_id_idx", "workspace_id", "agent_id"),
        Index("peer_cards_user_id_idx", "user_id"),
    )
    agent_id: str
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    user_slug: str = text_field(NAME, holds=NOTHING)
    path: str = text_field(LINE * 3, holds=NOTHING)
    bytes: int
    content: str = text_field(DESCRIPTION, holds=NOTHING)


class UserModel(TenantTable, Timestamps, table=True):
    """The facts that the agents of a workspace know of one user: a list of `- key: value`. An agent that remembers gets
    it with each run for the user.
    """

    __tablename__ = "user_models"
    __table_args__ = (
        UniqueConstraint("workspace_id", "user_id"),
        Index("user_models_user_id_idx", "user_id"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    user_slug: str = text_field(NAME, holds=NOTHING)
    bytes: int
    content: str = text_field(MODEL, holds=NOTHING)


class PeerConsent(TenantRow, table=True):
    """The consent of a user to peer cards by agents of a workspace; without a row they may keep cards."""

    __tablename__ = "peer_consents"
    __table_args__ = (Index("peer_consents_user_id_idx", "user_id"),)
    workspace_id: str = tenant_id()
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", primary_key=True)
    opted_out: bool
    opted_out_at: datetime | None = time_field(default=None)


class PeerCardAudit(TenantTable, table=True):
    """Separate from the audit log, because it is about the user and is deleted with the user."""

    __tablename__ = "peer_card_audit"
    __table_args__ = (
        Index("peer_card_audit_target_user_id_idx", "target_user_id", "created_at"),
        Index("peer_card_audit_workspace_id_created_at_idx", "workspace_id", "created_at"),
        Index("peer_card_audit_actor_user_id_idx", "actor_user_id"),
    )
    actor_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    actor_kind: str = text_field(LINE, holds=NOTHING)
    action: PeerAuditAction = enum_field(PeerAuditAction)
    target_user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    agent_id: str | None = text_field(LINE, default=None, holds=NOTHING)
    details: dict[str, Any] | None = json_field(NOTES, default=None, holds=NOTHING)
    created_at: datetime = stored_at()
