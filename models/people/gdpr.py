"""Receipts of actions on a person's data."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from models.base import TenantRow, enum_field, json_field, stored_at, text_field, time_field
from models.bounds import DESCRIPTION, ERROR, ID, NOTES
from models.machines import Machine
from models.personal_data import NOTHING


class GdprActionType(StrEnum):
    """`export` and `delete` cover agents' data about a person; `archive` and `erase` all data of the person."""

    export = "export"
    delete = "delete"
    archive = "archive"
    erase = "erase"


class GdprStatus(StrEnum):
    """The progress of the request."""

    in_progress = "in_progress"
    completed = "completed"
    failed = "failed"


def new_action_id() -> str:
    """`ga_` and 32 hexadecimal digits (contract: admin.GdprExport)."""
    return f"ga_{secrets.token_hex(16)}"


class GdprAction(TenantRow, table=True):
    """The actor is forgotten with the account; the subject's id stays, and then identifies no one.

    `scope` counts rows by table. An archive has a size, and exists until it expires.
    """

    __tablename__ = "gdpr_actions"
    __table_args__ = (
        Index("gdpr_actions_workspace_id_created_at_idx", "workspace_id", "created_at", "id"),
        Index("gdpr_actions_actor_user_id_idx", "actor_user_id"),
        Index("gdpr_actions_expires_at_idx", "expires_at"),
    )
    id: str = text_field(ID, default_factory=new_action_id, primary_key=True)
    action: GdprActionType = enum_field(GdprActionType)
    status: GdprStatus = enum_field(GdprStatus.in_progress)
    actor_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    subject_id: str = text_field(ID, holds=NOTHING)
    reason: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    scope: dict[str, Any] = json_field(NOTES, default_factory=dict, holds=NOTHING)
    error: str | None = text_field(ERROR, default=None, holds=NOTHING)
    created_at: datetime = stored_at()
    completed_at: datetime | None = time_field(default=None)
    archive_bytes: int | None = Field(default=None, sa_type=BigInteger)
    expires_at: datetime | None = time_field(default=None)


ENDED = frozenset({GdprStatus.completed, GdprStatus.failed})
GDPR_STATES = Machine(
    GdprAction,
    "status",
    {
        GdprStatus.in_progress: ENDED,
        GdprStatus.completed: frozenset(),
        GdprStatus.failed: frozenset(),
    },
    stamps={"completed_at": ENDED},
)
