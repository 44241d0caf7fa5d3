"""Issues and projects: what a mission has that is one, what hangs on it, and what groups it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ACTIONS = "'status_changed', 'assignee_changed', 'priority_changed', 'review_approved', 'review_changes_requested', 'task_completed', 'task_failed'"
CHOICES = {
    "created_by_type": ("user", "agent", "system"),
    "authored_via": ("agent_tool_call", "user_api", "imported", "seed", "routine", "recurring"),
}


def projects() -> None:
    op.create_table(
        "projects",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=600), nullable=False),
        sa.Column("slug", sa.String(length=600), nullable=False),
        sa.Column("description", sa.String(length=10000), nullable=True),
        sa.Column("icon", sa.String(length=200), nullable=True),
        sa.Column("color", sa.String(length=200), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("health", sa.Text(), nullable=False),
        sa.Column("lead_type", sa.String(length=200), nullable=True),
        sa.Column("lead_id", sa.String(length=200), nullable=True),
        sa.Column("start_date", sa.String(length=100), nullable=True),
        sa.Column("target_date", sa.String(length=100), nullable=True),
        sa.CheckConstraint("health IN ('on_track', 'at_risk', 'off_track')", name=op.f("projects_health_check")),
        sa.CheckConstraint("priority IN ('none', 'low', 'medium', 'high', 'urgent')", name=op.f("projects_priority_check")),
        sa.CheckConstraint("status IN ('backlog', 'planned', 'in_progress', 'paused', 'completed', 'cancelled')", name=op.f("projects_status_check")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("projects_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("projects_pkey")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("projects_workspace_id_id_key")),
        sa.UniqueConstraint("workspace_id", "slug", name=op.f("projects_workspace_id_slug_key")),
    )
    op.create_index("projects_workspace_id_name_id_idx", "projects", ["workspace_id", "name", "id"], unique=False)
    op.create_table(
        "milestones",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.String(length=600), nullable=False),
        sa.Column("description", sa.String(length=10000), nullable=True),
        sa.Column("target_date", sa.String(length=100), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'completed', 'cancelled')", name=op.f("milestones_status_check")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "project_id"], ["projects.workspace_id", "projects.id"], name=op.f("milestones_workspace_id_project_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("milestones_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("milestones_pkey")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("milestones_workspace_id_id_key")),
    )
    op.create_index("milestones_project_idx", "milestones", ["workspace_id", "project_id", "position", "created_at", "id"], unique=False)


def activity_and_comments() -> None:
    op.create_table(
        "issue_activity",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("mission_id", sa.Text(), nullable=False),
        sa.Column("actor_type", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.String(length=200), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("details", sa.String(length=1000), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint(
            f"action IN ({ACTIONS})",
            name=op.f("issue_activity_action_check"),
        ),
        sa.CheckConstraint("actor_type IN ('user', 'agent', 'system')", name=op.f("issue_activity_actor_type_check")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "mission_id"],
            ["missions.workspace_id", "missions.id"],
            name=op.f("issue_activity_workspace_id_mission_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("issue_activity_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("issue_activity_pkey")),
    )
    op.create_index("issue_activity_mission_id_idx", "issue_activity", ["workspace_id", "mission_id", "created_at", "id"], unique=False)
    op.create_table(
        "issue_comments",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("mission_id", sa.Text(), nullable=False),
        sa.Column("author_type", sa.Text(), nullable=False),
        sa.Column("author_id", sa.String(length=200), nullable=False),
        sa.Column("body", sa.String(length=128000), nullable=False),
        sa.CheckConstraint("author_type IN ('user', 'agent', 'system')", name=op.f("issue_comments_author_type_check")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "mission_id"],
            ["missions.workspace_id", "missions.id"],
            name=op.f("issue_comments_workspace_id_mission_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("issue_comments_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("issue_comments_pkey")),
    )
    op.create_index("issue_comments_mission_id_idx", "issue_comments", ["workspace_id", "mission_id", "created_at", "id"], unique=False)


def labels_and_relations() -> None:
    op.create_table(
        "issue_labels",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("mission_id", sa.Text(), nullable=False),
        sa.Column("label_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "label_id"], ["labels.workspace_id", "labels.id"], name=op.f("issue_labels_workspace_id_label_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "mission_id"], ["missions.workspace_id", "missions.id"], name=op.f("issue_labels_workspace_id_mission_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("issue_labels_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workspace_id", "mission_id", "label_id", name=op.f("issue_labels_pkey")),
    )
    op.create_index("issue_labels_label_id_idx", "issue_labels", ["workspace_id", "label_id", "mission_id"], unique=False)
    op.create_table(
        "issue_relations",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("relation_type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("relation_type IN ('blocks', 'blocked_by', 'relates_to', 'duplicate_of')", name=op.f("issue_relations_relation_type_check")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "source_id"],
            ["missions.workspace_id", "missions.id"],
            name=op.f("issue_relations_workspace_id_source_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "target_id"],
            ["missions.workspace_id", "missions.id"],
            name=op.f("issue_relations_workspace_id_target_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("issue_relations_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("issue_relations_pkey")),
        sa.UniqueConstraint(
            "workspace_id", "source_id", "target_id", "relation_type", name=op.f("issue_relations_workspace_id_source_id_target_id_relation_type_key")
        ),
    )
    op.create_index("issue_relations_target_id_idx", "issue_relations", ["workspace_id", "target_id"], unique=False)


def columns_of_missions() -> None:
    op.add_column("missions", sa.Column("number", sa.Integer(), nullable=True))
    op.add_column("missions", sa.Column("identifier", sa.String(length=400), nullable=True))
    op.add_column("missions", sa.Column("project_id", sa.Text(), nullable=True))
    op.add_column("missions", sa.Column("milestone_id", sa.Text(), nullable=True))
    op.add_column("missions", sa.Column("parent_issue_id", sa.Text(), nullable=True))
    op.add_column("missions", sa.Column("priority", sa.String(length=200), nullable=False, server_default="none"))
    op.add_column("missions", sa.Column("assignee_type", sa.String(length=200), nullable=True))
    op.add_column("missions", sa.Column("assignee_id", sa.String(length=200), nullable=True))
    op.add_column("missions", sa.Column("due_date", sa.String(length=100), nullable=True))
    op.add_column("missions", sa.Column("estimate", sa.Integer(), nullable=True))
    op.add_column("missions", sa.Column("sort_order", sa.Float(), nullable=False, server_default="0"))
    op.add_column("missions", sa.Column("routine_inputs", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("missions", sa.Column("created_by_type", sa.Text(), nullable=True))
    op.add_column("missions", sa.Column("created_by_id", sa.String(length=200), nullable=True))
    op.add_column("missions", sa.Column("authored_via", sa.Text(), nullable=True))


def indexes_of_missions() -> None:
    op.create_index(
        "missions_assignee_id_idx",
        "missions",
        ["workspace_id", "assignee_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("assignee_id IS NOT NULL"),
    )
    op.create_index("missions_by_created_at_idx", "missions", ["workspace_id", "mission_type", "created_at", "id"], unique=False)
    op.create_index("missions_by_priority_idx", "missions", ["workspace_id", "mission_type", "priority", "id"], unique=False)
    op.create_index("missions_by_sort_order_idx", "missions", ["workspace_id", "mission_type", "sort_order", "id"], unique=False)
    op.create_index("missions_by_status_idx", "missions", ["workspace_id", "mission_type", "status", "created_at", "id"], unique=False)
    op.create_index("missions_by_updated_at_idx", "missions", ["workspace_id", "mission_type", "updated_at", "id"], unique=False)
    op.create_index(
        "missions_milestone_id_idx",
        "missions",
        ["workspace_id", "milestone_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("milestone_id IS NOT NULL"),
    )
    op.create_index(
        "missions_parent_issue_id_idx",
        "missions",
        ["workspace_id", "parent_issue_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("parent_issue_id IS NOT NULL"),
    )
    op.create_index(
        "missions_project_id_idx",
        "missions",
        ["workspace_id", "project_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("project_id IS NOT NULL"),
    )


def keys_of_missions() -> None:
    op.create_unique_constraint(op.f("missions_workspace_id_identifier_key"), "missions", ["workspace_id", "identifier"])
    op.create_foreign_key(
        op.f("missions_workspace_id_parent_issue_id_fkey"),
        "missions",
        "missions",
        ["workspace_id", "parent_issue_id"],
        ["workspace_id", "id"],
        ondelete="SET NULL (parent_issue_id)",
    )
    op.create_foreign_key(
        op.f("missions_workspace_id_milestone_id_fkey"),
        "missions",
        "milestones",
        ["workspace_id", "milestone_id"],
        ["workspace_id", "id"],
        ondelete="SET NULL (milestone_id)",
    )
    op.create_foreign_key(
        op.f("missions_workspace_id_project_id_fkey"),
        "missions",
        "projects",
        ["workspace_id", "project_id"],
        ["workspace_id", "id"],
        ondelete="SET NULL (project_id)",
    )


def checks_of_missions() -> None:
    for column in ("priority", "sort_order"):
        op.alter_column("missions", column, server_default=None)
    for column in ("created_by_type", "authored_via"):
        values = ", ".join(f"'{value}'" for value in CHOICES[column])
        op.create_check_constraint(op.f(f"missions_{column}_check"), "missions", f"{column} IN ({values})")
    issue = "mission_type <> 'issue' OR (number IS NOT NULL AND identifier IS NOT NULL)"
    op.create_check_constraint(op.f("missions_issue_check"), "missions", issue)
    op.create_check_constraint(op.f("missions_size_check"), "missions", f"pg_column_size(routine_inputs) <= {256 << 10}")


def runs() -> None:
    op.add_column("missions", sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("runs", sa.Column("assignment_id", sa.Text(), nullable=True))
    op.create_foreign_key(
        op.f("runs_workspace_id_assignment_id_fkey"),
        "runs",
        "assignments",
        ["workspace_id", "assignment_id"],
        ["workspace_id", "id"],
        ondelete="SET NULL (assignment_id)",
    )
    where = sa.text("assignment_id IS NOT NULL")
    op.create_index("runs_assignment_id_idx", "runs", ["workspace_id", "assignment_id"], postgresql_where=where)


def upgrade() -> None:
    projects()
    activity_and_comments()
    labels_and_relations()
    columns_of_missions()
    indexes_of_missions()
    keys_of_missions()
    checks_of_missions()
    runs()
