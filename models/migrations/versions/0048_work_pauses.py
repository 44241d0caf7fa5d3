"""Agents whose work on a mission is paused, since it got nowhere."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "work_pauses",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("mission_id", sa.Text(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=10000), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resumed_by_user_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["resumed_by_user_id"], ["users.id"], name=op.f("work_pauses_resumed_by_user_id_fkey"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["workspace_id", "agent_id"], ["agents.workspace_id", "agents.id"], name=op.f("work_pauses_workspace_id_agent_id_fkey")),
        sa.ForeignKeyConstraint(["workspace_id", "mission_id"], ["missions.workspace_id", "missions.id"], name=op.f("work_pauses_workspace_id_mission_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("work_pauses_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("work_pauses_pkey")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("work_pauses_workspace_id_id_key")),
    )
    op.create_index("work_pauses_agent_id_mission_id_key", "work_pauses", ["workspace_id", "agent_id", "mission_id"], unique=True, postgresql_where=sa.text("resumed_at IS NULL"))
    op.create_index("work_pauses_list_idx", "work_pauses", ["workspace_id", "created_at", "id"])
    for key in ("agent_id", "mission_id"):
        op.create_index(f"work_pauses_{key}_idx", "work_pauses", ["workspace_id", key, "created_at", "id"])
