"""Texts of issues that are written from now on have grams without the case of any letter."""

from models.migrations import sql
from models.migrations.revisions import execute

revision = "2026_12_02_92"
down_revision = "2026_12_02_91"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute(sql.PREPARE)
    execute(sql.text_of("issue_texts"))
