"""Feature flags of the instance, and what a workspace has decided for itself."""

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from models.base import Table, TenantRow, Timestamps, Versioned, tenant_id, text_field
from models.bounds import DESCRIPTION, LABEL
from models.personal_data import MENTIONS, NOTHING


class FeatureFlag(Table, Versioned, Timestamps, table=True):
    """One for all workspaces. The key is unique on the instance, letter case included."""

    __tablename__ = "feature_flags"
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("percentage BETWEEN 0 AND 100", name="percentage"),
    )
    key: str = text_field(LABEL, holds=NOTHING)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    enabled: bool = False
    percentage: int = 0


class FeatureFlagOverride(TenantRow, table=True):
    """The value of a flag in one workspace, regardless of the flag's own."""

    __tablename__ = "feature_flag_overrides"
    # the key serves the workspace, the index the deletion of a flag
    __table_args__ = (Index("feature_flag_overrides_flag_id_idx", "flag_id"),)
    workspace_id: str = tenant_id()
    flag_id: str = Field(foreign_key="feature_flags.id", ondelete="CASCADE", primary_key=True)
    enabled: bool
