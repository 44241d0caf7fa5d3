"""Credentials that are the address of a server of models."""

from models.migrations.revisions import execute

revision = "2026_12_05_20"
down_revision = "2026_12_05_10"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE credentials
            ADD endpoint_url varchar(2048),
            DROP CONSTRAINT credentials_type_check,
            ADD CONSTRAINT credentials_type_check CHECK (type IN ('AI_CLI_TOKEN', 'API_KEY', 'CLI_TOKEN', 'SECRET',
                'OAUTH2', 'USERPASS', 'SSH_KEY', 'CERTIFICATE', 'GENERIC_SECRET', 'ENDPOINT_URL')) NOT VALID;
    """)
