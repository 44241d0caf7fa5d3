"""Service accounts: non-human actors of a workspace."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index

from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    enum_field,
    new_id,
    tenant_key,
    text_field,
    time_field,
    unique_live,
)
from models.bounds import DESCRIPTION, ID, NAME
from models.people.auth import SERVICE_ACCOUNT
from models.people.workspaces import Role
from models.personal_data import AUTHOR, MENTIONS


def service_account_id() -> str:
    return SERVICE_ACCOUNT + new_id()[1:]


class ServiceAccount(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """It is a user of the same id, and while it is active it has a membership of its role: the gate knows no
    difference.
    """

    __tablename__ = "service_accounts"
    __table_args__ = (
        tenant_key(),
        unique_live("service_accounts", "workspace_id", "name"),
        Index("service_accounts_workspace_id_created_at_idx", "workspace_id", "created_at", "id"),
        ForeignKeyConstraint(["id"], ["users.id"], ondelete="CASCADE"),
        CheckConstraint("role <> 'OWNER'", name="owner"),
        CheckConstraint(f"starts_with(id, '{SERVICE_ACCOUNT}')", name="kind"),
    )
    id: str = text_field(ID, default_factory=service_account_id, primary_key=True)
    name: str = text_field(NAME, holds=MENTIONS)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    role: Role = enum_field(Role)
    created_by: str | None = text_field(ID, default=None, holds=AUTHOR)
    deactivated_at: datetime | None = time_field(default=None)
