"""Accounts at sign-in providers, and invitations found by email in any letter case."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "linked_identities",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("issuer", sa.String(length=600), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("NOT starts_with(user_id, 'sa_')", name=op.f("linked_identities_people_check")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("linked_identities_user_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("linked_identities_pkey")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("linked_identities_issuer_subject_key")),
        sa.UniqueConstraint("user_id", "issuer", name=op.f("linked_identities_user_id_issuer_key")),
    )
    op.create_table(
        "sign_in_attempts",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("state_hash", sa.String(length=200), nullable=False),
        sa.Column("browser_hash", sa.String(length=200), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("path", sa.String(length=2048), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("sign_in_attempts_pkey")),
        sa.UniqueConstraint("state_hash", name=op.f("sign_in_attempts_state_hash_key")),
    )
    op.create_index("sign_in_attempts_created_at_idx", "sign_in_attempts", ["created_at"])
    op.create_index("invitations_email_in_lower_case_idx", "invitations", [sa.text("lower(email)")], postgresql_where=sa.text("accepted_at IS NULL"))
