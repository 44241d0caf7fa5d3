"""The hash of a file that is attached to a chat."""

from models.migrations.revisions import execute

revision = "2026_12_05_31"
down_revision = "2026_12_05_30"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE chat_attachments ADD COLUMN sha256 varchar(200)")
