"""An event says who caused it, and by which mutation of a client."""

from models.migrations.revisions import execute

revision = "2026_12_01_5"
down_revision = "2026_12_01_4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE events ADD cause varchar(600)")
