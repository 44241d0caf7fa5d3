"""Templates of work: patterns of tasks for missions, and the stages that issues go through."""

import secrets

from sqlalchemy import Index, UniqueConstraint, text

from models.base import TenantTable, Timestamps, Versioned, text_field
from models.bounds import CONFIG, DESCRIPTION, LABEL, LINE
from models.personal_data import MENTIONS, NOTHING


def new_pattern_id() -> str:
    """`wt_` and 16 hex digits (contract: skills, MissionTemplate.id)."""
    return "wt_" + secrets.token_hex(8)


class WorkflowTemplate(TenantTable, Versioned, Timestamps, table=True):
    """One table for both kinds. `template_json` is JSON text, in the order in which its keys were written: any value
    for a mission, a list of stages for issues.
    """

    __tablename__ = "workflow_templates"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        Index("workflow_templates_name_idx", "workspace_id", text("is_builtin DESC"), "name", "id"),
        Index("workflow_templates_created_at_idx", "workspace_id", text("is_builtin DESC"), "created_at", "name", "id"),
    )
    name: str = text_field(LABEL, holds=MENTIONS)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    template_json: str = text_field(CONFIG, holds=MENTIONS)
    icon: str | None = text_field(LINE, default=None, holds=NOTHING)
    color: str | None = text_field(LINE, default=None, holds=NOTHING)
    is_builtin: bool = False
