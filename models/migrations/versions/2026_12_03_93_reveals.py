"""Workspaces whose members may reveal values of credentials, and how sensitive a credential is."""

from models.migrations.revisions import execute

revision = "2026_12_03_93"
down_revision = "2026_12_03_92"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE workspaces ADD reveals_credentials boolean NOT NULL DEFAULT false;
        ALTER TABLE credentials
            ADD sensitivity text NOT NULL DEFAULT 'STANDARD',
            ADD CONSTRAINT credentials_sensitivity_check
                CHECK (sensitivity IN ('STANDARD', 'RESTRICTED', 'SEALED')) NOT VALID;
    """)
