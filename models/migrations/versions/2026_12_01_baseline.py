"""The tables of the first release."""

from pathlib import Path

from models.migrations import sql
from models.migrations.revisions import execute

revision = "2026_12_01"
down_revision = None
branch_labels = None
depends_on = None

NEEDED = ("partitions", "journal_terms")
"""Functions that make partitions, and those that an index is an expression of."""
TABLES = Path(__file__).parents[1] / "baseline"
SUBJECTS = """
    people workspaces instance events audit crews skills credentials integrations chats missions issues runs costs inbox
    memory webhooks journal
"""
"""In the order of their references."""


def upgrade() -> None:
    execute(sql.PREPARE)
    for subject in NEEDED:
        execute(sql.text_of(subject))
    for subject in SUBJECTS.split():
        execute((TABLES / f"{subject}.sql").read_text())
