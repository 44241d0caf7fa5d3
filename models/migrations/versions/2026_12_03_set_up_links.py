"""Links that set the first password of an account."""

from models.migrations.revisions import execute

revision = "2026_12_03"
down_revision = "2026_12_02_99"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE password_resets ADD COLUMN set_up_in varchar(200)")
