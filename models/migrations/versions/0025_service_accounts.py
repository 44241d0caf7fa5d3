"""Service accounts; the kind of whoever is in an audit row; and what is of people alone."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

PERSON = "NOT starts_with({}, 'sa_')"
OF_PEOPLE = (
    ("users", "password", f"password_hash IS NULL OR {PERSON.format('id')}"),
    ("sessions", "people", PERSON.format("user_id")),
    ("memberships", "owner", f"role <> 'OWNER' OR {PERSON.format('user_id')}"),
    ("cli_tokens", "scopes", f"{PERSON.format('user_id')} OR tier = 'STANDARD' AND scopes <> '[]'"),
)


def upgrade() -> None:
    op.create_table(
        "service_accounts",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.String(length=10000), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=True),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("starts_with(id, 'sa_')", name=op.f("service_accounts_kind_check")),
        sa.CheckConstraint("role <> 'OWNER'", name=op.f("service_accounts_owner_check")),
        sa.CheckConstraint("role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')", name=op.f("service_accounts_role_check")),
        sa.ForeignKeyConstraint(["id"], ["users.id"], name=op.f("service_accounts_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("service_accounts_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("service_accounts_pkey")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("service_accounts_workspace_id_id_key")),
    )
    op.create_index("service_accounts_workspace_id_created_at_idx", "service_accounts", ["workspace_id", "created_at", "id"])
    op.create_index(
        "service_accounts_workspace_id_name_key", "service_accounts", ["workspace_id", "name"], unique=True, postgresql_where=sa.text("deleted_at IS NULL")
    )
    for table, name, rule in OF_PEOPLE:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_{name}_check CHECK ({rule})")
    op.execute(
        "ALTER TABLE audit_logs ADD COLUMN actor_type varchar(200) NOT NULL GENERATED ALWAYS AS"
        " (CASE WHEN user_id IS NULL THEN 'system' WHEN NOT starts_with(user_id, 'sa_') THEN 'user' ELSE 'service' END) STORED"
    )
