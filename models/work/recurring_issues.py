"""Recurring issues: templates from which a clock makes issues."""

from datetime import datetime
from typing import ClassVar, Final

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import TenantTable, Timestamps, Versioned, belongs_to, text_field, time_field
from models.bounds import ID, LABEL, LINE, NAME, PROMPT
from models.personal_data import AUTHOR, BY, MENTIONS, NOTHING, holding

LONGEST_CRON: Final = 1000
"""The most characters of an expression. A list of every minute takes 170; a longer one is no real schedule."""


class RecurringIssue(TenantTable, Versioned, Timestamps, table=True):
    """`cron_expression` is read in `time_zone`; without one, in UTC. What is enabled and has a `next_run` is due then.

    The issues are made in the name of `created_by`.
    """

    __tablename__ = "recurring_issues"
    __bookkeeping__: ClassVar = frozenset({"next_run", "last_run", "run_count"})
    __table_args__ = (
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        belongs_to("project_id", "projects", ondelete="SET NULL (project_id)"),
        belongs_to("milestone_id", "milestones", ondelete="SET NULL (milestone_id)"),
        Index("recurring_issues_list_idx", "workspace_id", "created_at", "id"),
        Index("recurring_issues_crew_id_idx", "workspace_id", "crew_id", "created_at", "id"),
        Index("recurring_issues_project_id_idx", "workspace_id", "project_id", "created_at", "id"),
        Index("recurring_issues_milestone_id_idx", "workspace_id", "milestone_id"),
        Index("recurring_issues_created_by_idx", "created_by"),
        Index("recurring_issues_due_idx", "next_run", "id", postgresql_where=text("enabled")),
    )
    crew_id: str
    title: str = text_field(LABEL, holds=MENTIONS)
    description: str | None = text_field(PROMPT, default=None, holds=MENTIONS)
    priority: str = text_field(LINE, default="none", holds=NOTHING)
    project_id: str | None = None
    milestone_id: str | None = None
    assignee_type: str | None = text_field(LINE, default=None, holds=NOTHING)
    assignee_id: str | None = text_field(ID, default=None, holds=BY)
    labels_json: str | None = text_field(PROMPT, default=None, holds=NOTHING)
    cron_expression: str = text_field(LONGEST_CRON, holds=NOTHING)
    time_zone: str | None = text_field(NAME, default=None, holds=NOTHING)
    enabled: bool = True
    next_run: datetime | None = time_field(default=None)
    last_run: datetime | None = time_field(default=None)
    run_count: int = 0
    created_by: str | None = Field(
        default=None, foreign_key="users.id", ondelete="SET NULL", sa_column_kwargs=holding(AUTHOR)
    )
