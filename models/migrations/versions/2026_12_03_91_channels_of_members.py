"""Notification channels of members and of services, agents that may send to them, and providers that a workspace has
switched off.
"""

from models.migrations.revisions import execute

revision = "2026_12_03_91"
down_revision = "2026_12_03_12"
branch_labels = None
depends_on = None

PROVIDERS = (
    "'discord', 'slack', 'telegram', 'ntfy', 'gotify', 'pushover', 'mattermost', 'matrix', 'teams', 'googlechat',"
    " 'opsgenie'"
)
AGENTS = """
    CREATE TABLE notification_channel_agents (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT notification_channel_agents_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        channel_id varchar(200) NOT NULL,
        agent_id text NOT NULL,
        granted_by text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT notification_channel_agents_pair_key UNIQUE (workspace_id, channel_id, agent_id),
        FOREIGN KEY (granted_by) REFERENCES users ON DELETE SET NULL,
        FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
    );
    CREATE INDEX notification_channel_agents_agent_id_idx ON notification_channel_agents (workspace_id, agent_id);
    CREATE INDEX notification_channel_agents_granted_by_idx ON notification_channel_agents (granted_by);
"""


def upgrade() -> None:
    execute(f"""
        ALTER TABLE notification_channels
            ADD provider text CONSTRAINT notification_channels_provider_check CHECK (provider IN ({PROVIDERS})),
            ADD scope text NOT NULL DEFAULT 'workspace'
                CONSTRAINT notification_channels_scope_check CHECK (scope IN ('workspace', 'user')),
            ADD owner_user_id text,
            ADD categories jsonb,
            ADD min_priority text NOT NULL DEFAULT 'low' CONSTRAINT notification_channels_min_priority_check
                CHECK (min_priority IN ('urgent', 'high', 'medium', 'low')),
            DROP CONSTRAINT notification_channels_type_check,
            DROP CONSTRAINT notification_channels_size_check,
            ADD CONSTRAINT notification_channels_type_check
                CHECK (type IN ('email', 'webhook', 'shoutrrr')) NOT VALID,
            ADD CONSTRAINT notification_channels_size_check CHECK (octet_length(secret) <= 8320
                AND GREATEST(pg_column_size(events), pg_column_size(categories)) <= 1024) NOT VALID,
            ADD CONSTRAINT notification_channels_owner_user_id_fkey
                FOREIGN KEY (owner_user_id) REFERENCES users ON DELETE CASCADE NOT VALID,
            ADD CONSTRAINT notification_channels_owner_user_id_workspace_id_fkey
                FOREIGN KEY (owner_user_id, workspace_id) REFERENCES memberships (user_id, workspace_id)
                ON DELETE CASCADE NOT VALID;
        CREATE TABLE notification_provider_switches (
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            workspace_id text NOT NULL,
            id varchar(200) NOT NULL PRIMARY KEY
                CONSTRAINT notification_provider_switches_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            provider text NOT NULL
                CONSTRAINT notification_provider_switches_provider_check CHECK (provider IN ({PROVIDERS})),
            enabled boolean NOT NULL,
            UNIQUE (workspace_id, provider),
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
        );
    """)
    execute(AGENTS)
