"""Agents whose work on a mission is paused, since it got nowhere."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import TenantTable, belongs_to, stored_at, tenant_key, text_field, time_field
from models.bounds import ERROR
from models.personal_data import MENTIONS


class WorkPause(TenantTable, table=True):
    """The work of one agent on one mission, or issue, after `runs` runs without progress: until a person resumes it."""

    __tablename__ = "work_pauses"
    __table_args__ = (
        tenant_key(),
        belongs_to("agent_id", "agents"),
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        Index(
            "work_pauses_agent_id_mission_id_key",
            "workspace_id",
            "agent_id",
            "mission_id",
            unique=True,
            postgresql_where=text("resumed_at IS NULL"),
        ),
        Index("work_pauses_open_idx", "workspace_id", "created_at", "id", postgresql_where=text("resumed_at IS NULL")),
        Index("work_pauses_list_idx", "workspace_id", "created_at", "id"),
        *[
            Index(f"work_pauses_{key}_idx", "workspace_id", key, "created_at", "id")
            for key in ("agent_id", "mission_id")
        ],
    )
    agent_id: str
    mission_id: str
    runs: int
    last_error: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    created_at: datetime = stored_at()
    resumed_at: datetime | None = time_field(default=None)
    resumed_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
