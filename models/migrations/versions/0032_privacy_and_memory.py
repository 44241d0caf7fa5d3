"""Peer cards with consent and audit, versions and configuration of memories, and receipts of what was done with data of a person."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def gdpr_actions() -> None:
    op.create_table(
        "gdpr_actions",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("actor_user_id", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=10000), nullable=True),
        sa.Column("scope", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("error", sa.String(length=10000), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archive_bytes", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "action IN ('export', 'delete', 'archive', 'erase')", name=op.f("gdpr_actions_action_check")
        ),
        sa.CheckConstraint("status IN ('in_progress', 'completed', 'failed')", name=op.f("gdpr_actions_status_check")),
        sa.CheckConstraint("pg_column_size(scope) <= 262144", name=op.f("gdpr_actions_size_check")),
        sa.ForeignKeyConstraint(
            ["actor_user_id"], ["users.id"], name=op.f("gdpr_actions_actor_user_id_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("gdpr_actions_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("gdpr_actions_pkey")),
    )
    op.create_index("gdpr_actions_actor_user_id_idx", "gdpr_actions", ["actor_user_id"], unique=False)
    op.create_index("gdpr_actions_expires_at_idx", "gdpr_actions", ["expires_at"], unique=False)
    op.create_index(
        "gdpr_actions_workspace_id_created_at_idx", "gdpr_actions", ["workspace_id", "created_at", "id"], unique=False
    )


def memory_configs() -> None:
    op.create_table(
        "memory_configs",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("pg_column_size(document) <= 65536", name=op.f("memory_configs_size_check")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("memory_configs_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("memory_configs_pkey")),
    )


def memory_versions() -> None:
    op.create_table(
        "memory_versions",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("path", sa.String(length=600), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=200), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("written_by", sa.String(length=200), nullable=False),
        sa.Column("parent_sha", sa.String(length=200), nullable=True),
        sa.Column("payload_ref", sa.String(length=200), nullable=False),
        sa.Column(
            "agent_slug",
            sa.String(length=600),
            sa.Computed(
                "CASE WHEN starts_with(path, 'agent:') THEN split_part(substr(path, 7), '/', 1) ELSE '' END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "tier IN ('agent', 'crew', 'workspace', 'pins', 'learned', 'persona')",
            name=op.f("memory_versions_tier_check"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("memory_versions_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("memory_versions_pkey")),
    )
    op.create_index(
        "memory_versions_agent_idx",
        "memory_versions",
        ["workspace_id", "agent_slug", sa.literal_column("written_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "memory_versions_list_idx",
        "memory_versions",
        ["workspace_id", sa.literal_column("written_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index("memory_versions_path_idx", "memory_versions", ["workspace_id", "path", "written_at"], unique=False)
    op.create_index("memory_versions_sha256_idx", "memory_versions", ["workspace_id", "sha256"], unique=False)
    op.create_index(
        "memory_versions_tier_idx",
        "memory_versions",
        ["workspace_id", "tier", sa.literal_column("written_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index("memory_versions_written_at_idx", "memory_versions", ["written_at"], unique=False)
    op.create_index("memory_versions_written_by_idx", "memory_versions", ["workspace_id", "written_by"], unique=False)


def peer_card_audit() -> None:
    op.create_table(
        "peer_card_audit",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("actor_user_id", sa.Text(), nullable=True),
        sa.Column("actor_kind", sa.String(length=200), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_user_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.String(length=200), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "action IN ('read', 'write', 'delete', 'opt_in', 'opt_out')", name=op.f("peer_card_audit_action_check")
        ),
        sa.CheckConstraint("pg_column_size(details) <= 262144", name=op.f("peer_card_audit_size_check")),
        sa.ForeignKeyConstraint(
            ["actor_user_id"], ["users.id"], name=op.f("peer_card_audit_actor_user_id_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["target_user_id"], ["users.id"], name=op.f("peer_card_audit_target_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("peer_card_audit_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("peer_card_audit_pkey")),
    )
    op.create_index("peer_card_audit_actor_user_id_idx", "peer_card_audit", ["actor_user_id"], unique=False)
    op.create_index(
        "peer_card_audit_target_user_id_idx", "peer_card_audit", ["target_user_id", "created_at"], unique=False
    )
    op.create_index(
        "peer_card_audit_workspace_id_created_at_idx", "peer_card_audit", ["workspace_id", "created_at"], unique=False
    )


def peer_consents() -> None:
    op.create_table(
        "peer_consents",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("opted_out", sa.Boolean(), nullable=False),
        sa.Column("opted_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("peer_consents_user_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("peer_consents_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name=op.f("peer_consents_pkey")),
    )
    op.create_index("peer_consents_user_id_idx", "peer_consents", ["user_id"], unique=False)


def peer_cards() -> None:
    op.create_table(
        "peer_cards",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("user_slug", sa.String(length=100), nullable=False),
        sa.Column("path", sa.String(length=600), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("content", sa.String(length=10000), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("peer_cards_user_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "agent_id"],
            ["agents.workspace_id", "agents.id"],
            name=op.f("peer_cards_workspace_id_agent_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("peer_cards_workspace_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("peer_cards_pkey")),
        sa.UniqueConstraint(
            "workspace_id", "user_id", "agent_id", name=op.f("peer_cards_workspace_id_user_id_agent_id_key")
        ),
    )
    op.create_index("peer_cards_agent_id_idx", "peer_cards", ["workspace_id", "agent_id"], unique=False)
    op.create_index("peer_cards_user_id_idx", "peer_cards", ["user_id"], unique=False)


def upgrade() -> None:
    gdpr_actions()
    memory_configs()
    memory_versions()
    peer_card_audit()
    peer_consents()
    peer_cards()
