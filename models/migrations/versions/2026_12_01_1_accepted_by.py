"""An invitation names the user who accepted it."""

from models.migrations.revisions import execute

revision = "2026_12_01_1"
down_revision = "2026_12_01"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE invitations ADD accepted_by text
            CONSTRAINT invitations_accepted_by_fkey REFERENCES users ON DELETE SET NULL;
        UPDATE invitations i SET accepted_by = u.id FROM users u
        WHERE i.accepted_at IS NOT NULL AND lower(u.email) = lower(i.email);
        CREATE INDEX invitations_accepted_by_workspace_id_idx ON invitations (accepted_by, workspace_id);
    """)
