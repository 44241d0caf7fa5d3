"""daily reviews"""

import sqlalchemy as sa
from alembic import op

revision = "0085"
down_revision = "0084"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("skills", sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("crews", sa.Column("memory_reviewed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "journal_entries_skill_idx",
        "journal_entries",
        ["workspace_id", sa.text("(payload ->> 'skill_id')"), "created_at"],
        unique=False,
        postgresql_where=sa.text("entry_type = 'skill.invoked'"),
    )
