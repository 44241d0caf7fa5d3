"""Labels that a workspace puts on its issues."""

from sqlalchemy import UniqueConstraint

from models.base import TenantTable, Timestamps, Versioned, tenant_key, text_field
from models.bounds import LABEL, NAME
from models.personal_data import MENTIONS, NOTHING


class Label(TenantTable, Versioned, Timestamps, table=True):
    """The name is unique in the workspace, letter case included; any text is a color."""

    __tablename__ = "labels"
    __table_args__ = (tenant_key(), UniqueConstraint("workspace_id", "name"))
    name: str = text_field(LABEL, holds=MENTIONS)
    color: str = text_field(NAME, holds=NOTHING)
    label_group: str | None = text_field(NAME, default=None, holds=NOTHING)
