"""Notifications: they tell a person what others did, over all the person's workspaces."""

from datetime import datetime
from typing import Final

from sqlalchemy import Index, text
from sqlmodel import Field

from models.actors import ActorType
from models.base import Table, enum_field, stored_at, text_field, time_field
from models.bounds import ID, LINE, NAME
from models.personal_data import BY, MENTIONS, NOTHING, WORDS

TITLE: Final = LINE * 3


class Notification(Table, table=True):
    """It belongs to one person, whichever workspace a call names, and goes with that person and with the workspace it
    came from.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        Index("notifications_user_id_idx", "user_id", "created_at", "id"),
        Index("notifications_unread_idx", "user_id", "created_at", "id", postgresql_where=text("read_at IS NULL")),
        Index("notifications_from_workspace_id_idx", "from_workspace_id"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    from_workspace_id: str = Field(foreign_key="workspaces.id", ondelete="CASCADE")
    actor_type: ActorType = enum_field(ActorType)
    actor_id: str = text_field(ID, holds=BY)
    actor_name: str | None = text_field(LINE, default=None, holds=WORDS)
    action: str = text_field(NAME, holds=NOTHING)
    entity_type: str = text_field(NAME, holds=NOTHING)
    entity_id: str | None = text_field(ID, default=None, holds=NOTHING)
    entity_title: str | None = text_field(TITLE, default=None, holds=MENTIONS)
    read_at: datetime | None = time_field(default=None)
    created_at: datetime = stored_at()
