"""Triage rules: the changes of issues whose title matches."""

from enum import StrEnum
from typing import ClassVar, Final

from sqlalchemy import Index, text

from models.base import TenantTable, Timestamps, Versioned, belongs_to, enum_field, text_field
from models.bounds import LABEL, LINE, PROMPT
from models.personal_data import MENTIONS, NOTHING

LONGEST_PATTERN: Final = 1000


class MatchType(StrEnum):
    """The comparison of a triage rule's pattern with the title."""

    contains = "contains"
    regex = "regex"
    exact = "exact"


class TriageRule(TenantTable, Versioned, Timestamps, table=True):
    """`position` orders the rules of a workspace, of which the first one that matches holds; several may share one.
    `on_create`: the rule is applied to new issues, too.
    """

    __tablename__ = "triage_rules"
    __bookkeeping__: ClassVar = frozenset({"match_count"})
    __table_args__ = (
        belongs_to("crew_id", "crews", ondelete="SET NULL (crew_id)"),
        belongs_to("assignee_id", "agents", ondelete="SET NULL (assignee_id)"),
        belongs_to("project_id", "projects", ondelete="SET NULL (project_id)"),
        Index("triage_rules_position_idx", "workspace_id", "position", "created_at", "id"),
        Index("triage_rules_on_create_idx", "workspace_id", "position", postgresql_where=text("on_create AND enabled")),
        Index("triage_rules_crew_id_idx", "workspace_id", "crew_id"),
        Index("triage_rules_assignee_id_idx", "workspace_id", "assignee_id"),
        Index("triage_rules_project_id_idx", "workspace_id", "project_id"),
    )
    name: str = text_field(LABEL, holds=MENTIONS)
    pattern: str = text_field(LONGEST_PATTERN, holds=MENTIONS)
    match_type: MatchType = enum_field(MatchType)
    crew_id: str | None = None
    assignee_id: str | None = None
    priority: str | None = text_field(LINE, default=None, holds=NOTHING)
    project_id: str | None = None
    labels_json: str | None = text_field(PROMPT, default=None, holds=NOTHING)
    position: int
    enabled: bool = True
    on_create: bool = False
    match_count: int = 0
