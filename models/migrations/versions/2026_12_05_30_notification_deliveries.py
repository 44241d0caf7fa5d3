"""Choices of members for notifications, the wording of messages, and the log of their deliveries."""

from models.migrations.revisions import execute

revision = "2026_12_05_30"
down_revision = "2026_12_05_21"
branch_labels = None
depends_on = None

OF_MEMBER = """
    FOREIGN KEY (user_id, workspace_id) REFERENCES memberships (user_id, workspace_id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
"""
CHOICES = f"""
    CREATE TABLE notification_preferences (
        workspace_id text NOT NULL,
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        user_id text NOT NULL,
        channel_id varchar(200) NOT NULL,
        category varchar(200) NOT NULL,
        state text NOT NULL CHECK (state IN ('off', 'immediate')),
        CONSTRAINT notification_preferences_choice_key UNIQUE (workspace_id, user_id, channel_id, category),
        {OF_MEMBER}
    );
    CREATE INDEX notification_preferences_category_idx ON notification_preferences (workspace_id, category);
    CREATE INDEX notification_preferences_user_id_idx ON notification_preferences (user_id, workspace_id);
    CREATE TABLE notification_schedules (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        workspace_id text NOT NULL,
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        user_id text NOT NULL,
        time_zone varchar(100) NOT NULL,
        quiet_from integer,
        quiet_until integer,
        through text NOT NULL CHECK (through IN ('urgent', 'high', 'medium', 'low')),
        digest_minutes integer,
        UNIQUE (workspace_id, user_id),
        {OF_MEMBER}
    );
    CREATE INDEX notification_schedules_user_id_idx ON notification_schedules (user_id, workspace_id);
    CREATE TABLE notification_templates (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        workspace_id text NOT NULL,
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        category varchar(200) NOT NULL,
        channel_id varchar(200) NOT NULL,
        title varchar(600) NOT NULL,
        body varchar(10000) NOT NULL,
        UNIQUE (workspace_id, category, channel_id),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
    );
"""
LOG = """
    CREATE TABLE notification_deliveries (
        workspace_id text NOT NULL,
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        channel_id varchar(200) NOT NULL,
        user_id text,
        category varchar(200) NOT NULL,
        dedup_key varchar(1200) NOT NULL,
        source_kind varchar(200) NOT NULL,
        source_id varchar(800) NOT NULL,
        title varchar(600) NOT NULL,
        message jsonb NOT NULL,
        status text NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'dropped_pref', 'dropped_rate')),
        error varchar(200),
        attempts integer NOT NULL,
        held_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        sent_at timestamptz,
        UNIQUE (workspace_id, channel_id, dedup_key),
        CONSTRAINT notification_deliveries_size_check CHECK (pg_column_size(message) <= 262144),
        FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
    );
    CREATE INDEX notification_deliveries_channel_idx
        ON notification_deliveries (workspace_id, channel_id, created_at, id);
    CREATE INDEX notification_deliveries_created_at_idx ON notification_deliveries (created_at);
    CREATE INDEX notification_deliveries_held_idx ON notification_deliveries (workspace_id, channel_id, held_until)
        WHERE status = 'pending' AND held_until IS NOT NULL;
    CREATE INDEX notification_deliveries_list_idx ON notification_deliveries (workspace_id, created_at, id);
    CREATE INDEX notification_deliveries_status_idx ON notification_deliveries (workspace_id, status, created_at, id);
    CREATE INDEX notification_deliveries_user_id_idx ON notification_deliveries (user_id);
"""


def upgrade() -> None:
    execute(CHOICES)
    execute(LOG)
