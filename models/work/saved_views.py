"""Saved views: a user's filters and layout of issues."""

from enum import StrEnum
from typing import ClassVar

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import TenantTable, Timestamps, Versioned, enum_field, text_field
from models.bounds import LABEL, PROMPT
from models.personal_data import NOTHING


class ViewType(StrEnum):
    """The layout of a saved view."""

    board = "board"
    list = "list"


class SavedView(TenantTable, Versioned, Timestamps, table=True):
    """Filters and order are the client's texts, unchanged. A view belongs to its owner, and is deleted with the
    account.
    """

    __private__: ClassVar = True
    __tablename__ = "saved_views"
    __table_args__ = (
        Index("saved_views_workspace_id_is_default_idx", "workspace_id", text("is_default DESC"), "name", "id"),
        Index("saved_views_user_id_idx", "user_id"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = text_field(LABEL, holds=NOTHING)
    filters_json: str = text_field(PROMPT, holds=NOTHING)
    sort_json: str | None = text_field(PROMPT, default=None, holds=NOTHING)
    view_type: ViewType = enum_field(ViewType.list)
    is_default: bool = False
    shared: bool = False
