"""Workspaces, their members and invitations."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    SoftDelete,
    Table,
    TenantTable,
    Timestamps,
    Versioned,
    enum_field,
    json_field,
    stored_at,
    text_field,
    time_field,
)
from models.bounds import EMAIL, LINE, NAME, NOTES, URL
from models.people.auth import of_person
from models.personal_data import HIDDEN, MENTIONS, NOTHING


class Role(StrEnum):
    """The role of a member in a workspace, in descending order of rank."""

    OWNER = "OWNER"
    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    MEMBER = "MEMBER"
    VIEWER = "VIEWER"


class Capability(StrEnum):
    """Capabilities of a member beyond the role."""

    chat = "chat"
    credential_create = "credential.create"
    credential_rotate = "credential.rotate"
    credentials_reveal = "credentials:reveal"
    issue_create = "issue.create"
    memory_write = "memory.write"
    page_create = "page.create"
    routine_create = "routine.create"
    routine_run = "routine.run"
    skill_create = "skill.create"


class Workspace(Table, Timestamps, SoftDelete, Versioned, table=True):
    """The tenant. Its slug is unique on the whole instance, deleted workspaces included."""

    __tablename__ = "workspaces"
    name: str = text_field(LINE * 2, holds=MENTIONS)
    slug: str = text_field(NAME, unique=True, holds=NOTHING)
    logo_url: str | None = text_field(URL, default=None, holds=NOTHING)
    preferred_language: str | None = text_field(LINE, default=None, holds=NOTHING)
    # a release without the column runs beside this one
    allow_privileged_credentials: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    # a release without the column runs beside this one
    reveals_credentials: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class Membership(TenantTable, Timestamps, table=True):
    """A user in a workspace. `capabilities` is null while the default of the role holds.

    `seen_at`: when the user last said to have seen what is new.

    `accepted_at`: when the person agreed to it, by founding the workspace, by an invitation, by a provider, by a
    first command there, or by saying so. Until then the workspace has no rights over the person: see ADR 118.
    """

    __kinds__: ClassVar = frozenset({"workspace_member"})
    __bookkeeping__: ClassVar = frozenset({"seen_at"})
    __tablename__ = "memberships"
    __table_args__ = (
        UniqueConstraint("user_id", "workspace_id"),
        CheckConstraint(f"role <> 'OWNER' OR {of_person('user_id')}", name="owner"),
        Index("memberships_workspace_id_created_at_idx", "workspace_id", "created_at"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    role: Role = enum_field(Role)
    capabilities: list[str] | None = json_field(NOTES, default=None, holds=NOTHING)
    accepted_at: datetime | None = time_field(default=None)
    seen_at: datetime | None = time_field(default=None)


class Invitation(TenantTable, table=True):
    """An offer of membership that waits for a person; `token` is handed over by hand. `accepted_by` is the user who
    accepted it, who may have left the workspace since.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        Index("invitations_workspace_id_created_at_idx", "workspace_id", "created_at"),
        Index(
            "invitations_email_in_lower_case_idx", text("lower(email)"), postgresql_where=text("accepted_at IS NULL")
        ),
        Index("invitations_accepted_by_workspace_id_idx", "accepted_by", "workspace_id"),
    )
    email: str = text_field(EMAIL, holds=MENTIONS)
    role: Role = enum_field(Role)
    invited_by: str = Field(foreign_key="users.id", ondelete="CASCADE")
    token: str = text_field(LINE, unique=True, holds=HIDDEN)
    expires_at: datetime = time_field()
    accepted_at: datetime | None = time_field(default=None)
    accepted_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    created_at: datetime = stored_at()
