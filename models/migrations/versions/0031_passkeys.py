"""Passkeys, the challenges of their ceremonies, and whether a user requires one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "passkeys",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", postgresql.JSONB(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("NOT starts_with(user_id, 'sa_')", name=op.f("passkeys_people_check")),
        sa.CheckConstraint(
            "octet_length(credential_id) <= 1023 AND octet_length(public_key) <= 2048 AND pg_column_size(transports) <= 1024", name=op.f("passkeys_size_check")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("passkeys_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("passkeys_pkey")),
        sa.UniqueConstraint("credential_id", name=op.f("passkeys_credential_id_key")),
    )
    op.create_index("passkeys_user_id_idx", "passkeys", ["user_id"])
    op.create_table(
        "passkey_challenges",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("browser", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("challenge", sa.String(length=200), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("purpose IN ('register', 'sign_in')", name=op.f("passkey_challenges_purpose_check")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("passkey_challenges_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("passkey_challenges_pkey")),
        sa.UniqueConstraint("browser", "purpose", name=op.f("passkey_challenges_browser_purpose_key")),
    )
    op.create_index("passkey_challenges_expires_at_idx", "passkey_challenges", ["expires_at"])
    op.create_index("passkey_challenges_user_id_idx", "passkey_challenges", ["user_id"])
    op.add_column("users", sa.Column("passkey_required", sa.Boolean(), server_default=sa.text("false"), nullable=False))
