"""Feature flags with their overrides by workspace, and the settings of the instance."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SENSITIVE = (
    "starts_with(key, 'smtp.password')"
    " OR starts_with(key, 'oauth.') AND right(key, 14) = '.client_secret'"
    " OR starts_with(key, 'webhook.') AND right(key, 7) = '.secret'"
)


def flags() -> None:
    op.create_table(
        "feature_flags",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=600), nullable=False),
        sa.Column("description", sa.String(length=10000), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("percentage", sa.Integer(), nullable=False),
        sa.CheckConstraint("percentage BETWEEN 0 AND 100", name=op.f("feature_flags_percentage_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("feature_flags_pkey")),
        sa.UniqueConstraint("key", name=op.f("feature_flags_key_key")),
    )
    op.create_table(
        "feature_flag_overrides",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("flag_id", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["flag_id"], ["feature_flags.id"], name=op.f("feature_flag_overrides_flag_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("feature_flag_overrides_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workspace_id", "flag_id", name=op.f("feature_flag_overrides_pkey")),
    )
    op.create_index("feature_flag_overrides_flag_id_idx", "feature_flag_overrides", ["flag_id"])


def settings() -> None:
    op.create_table(
        "instance_settings",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=600), nullable=False),
        sa.Column("plain", sa.String(length=64000), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("substring(secret FROM 1 FOR 1) = '\\xff'::bytea", name=op.f("instance_settings_secret_check")),
        sa.CheckConstraint("octet_length(secret) <= 256128", name=op.f("instance_settings_size_check")),
        sa.CheckConstraint(
            f"CASE WHEN {SENSITIVE} THEN plain IS NULL AND secret IS NOT NULL ELSE plain IS NOT NULL AND secret IS NULL END", name=op.f("instance_settings_kept_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("instance_settings_pkey")),
        sa.UniqueConstraint("key", name=op.f("instance_settings_key_key")),
    )


def upgrade() -> None:
    flags()
    settings()
