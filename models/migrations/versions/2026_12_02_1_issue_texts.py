"""Grams of the texts of issues and of their comments, for an index."""

from models.migrations import sql
from models.migrations.revisions import execute

revision = "2026_12_02_1"
down_revision = "2026_12_01_23"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE issue_texts (
            place varchar(200) NOT NULL,
            mission_id varchar(200) NOT NULL,
            comment_id varchar(200) NOT NULL,
            grams bigint[] NOT NULL,
            PRIMARY KEY (place, mission_id, comment_id)
        );
    """)
    # the triggers are there before the rows are copied: what is written meanwhile is not missing
    execute(sql.PREPARE)
    execute(sql.text_of("issue_texts"))
