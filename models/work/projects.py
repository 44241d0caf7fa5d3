"""Projects, which group issues over crews, and their milestones."""

from enum import StrEnum

from sqlalchemy import Index, UniqueConstraint

from models.base import TenantTable, Timestamps, Versioned, belongs_to, enum_field, tenant_key, text_field
from models.bounds import DESCRIPTION, ID, LABEL, LINE, NAME
from models.personal_data import BY, MENTIONS, NOTHING


class ProjectStatus(StrEnum):
    """The status of a project."""

    backlog = "backlog"
    planned = "planned"
    in_progress = "in_progress"
    paused = "paused"
    completed = "completed"
    cancelled = "cancelled"


class ProjectPriority(StrEnum):
    """The priority of a project, in ascending order."""

    none = "none"
    low = "low"
    medium = "medium"
    high = "high"
    urgent = "urgent"


class ProjectHealth(StrEnum):
    """The health of a project."""

    on_track = "on_track"
    at_risk = "at_risk"
    off_track = "off_track"


class MilestoneStatus(StrEnum):
    """The status of a milestone."""

    active = "active"
    completed = "completed"
    cancelled = "cancelled"


class Project(TenantTable, Versioned, Timestamps, table=True):
    """The slug is made of the name, and unique in the workspace. The lead is an agent, a user, or any text; dates are
    texts as they were sent.
    """

    __tablename__ = "projects"
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("workspace_id", "slug"),
        Index("projects_workspace_id_name_id_idx", "workspace_id", "name", "id"),
    )
    name: str = text_field(LABEL, holds=MENTIONS)
    slug: str = text_field(LABEL, holds=NOTHING)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    icon: str | None = text_field(LINE, default=None, holds=NOTHING)
    color: str = text_field(LINE, default="blue", holds=NOTHING)
    status: ProjectStatus = enum_field(ProjectStatus.backlog)
    priority: ProjectPriority = enum_field(ProjectPriority.none)
    health: ProjectHealth = enum_field(ProjectHealth.on_track)
    lead_type: str | None = text_field(LINE, default=None, holds=NOTHING)
    lead_id: str | None = text_field(ID, default=None, holds=BY)
    start_date: str | None = text_field(NAME, default=None, holds=NOTHING)
    target_date: str | None = text_field(NAME, default=None, holds=NOTHING)


class Milestone(TenantTable, Versioned, Timestamps, table=True):
    """A stage of a project; `position` orders the project's milestones, and several may have the same."""

    __tablename__ = "milestones"
    __table_args__ = (
        tenant_key(),
        belongs_to("project_id", "projects", ondelete="CASCADE"),
        Index("milestones_project_idx", "workspace_id", "project_id", "position", "created_at", "id"),
    )
    project_id: str
    name: str = text_field(LABEL, holds=MENTIONS)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    target_date: str | None = text_field(NAME, default=None, holds=NOTHING)
    status: MilestoneStatus = enum_field(MilestoneStatus.active)
    position: int = 0
