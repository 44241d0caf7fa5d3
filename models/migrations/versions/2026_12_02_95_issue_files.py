"""Files of issues, pull requests that are linked to them, and the actions of a timeline that name both."""

from models.migrations.revisions import execute

revision = "2026_12_02_95"
down_revision = "2026_12_02_94"
branch_labels = None
depends_on = None


LINKS = """
    CREATE TABLE issue_code_links (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT issue_code_links_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        mission_id text NOT NULL,
        provider text NOT NULL
            CONSTRAINT issue_code_links_provider_check CHECK (provider IN ('GITHUB', 'GITLAB')),
        host varchar(400) NOT NULL,
        owner varchar(1000) NOT NULL,
        repo varchar(200) NOT NULL,
        number integer NOT NULL,
        kind text NOT NULL CONSTRAINT issue_code_links_kind_check CHECK (kind IN ('pull_request')),
        url varchar(2048) NOT NULL,
        title varchar(600),
        state text
            CONSTRAINT issue_code_links_state_check CHECK (state IN ('OPEN', 'DRAFT', 'MERGED', 'CLOSED')),
        author varchar(200),
        source_branch varchar(400),
        target_branch varchar(400),
        remote_created_at varchar(200),
        remote_updated_at varchar(200),
        remote_merged_at varchar(200),
        remote_closed_at varchar(200),
        credential_id text,
        last_synced_at timestamptz,
        last_sync_error varchar(400),
        CONSTRAINT issue_code_links_of_issue_key
            UNIQUE (workspace_id, mission_id, provider, host, owner, repo, number),
        FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
    );
    CREATE INDEX issue_code_links_list_idx ON issue_code_links (workspace_id, mission_id, created_at, id);
    CREATE INDEX issue_code_links_credential_id_idx ON issue_code_links (workspace_id, credential_id);
"""


def upgrade() -> None:
    execute("""
        CREATE TABLE issue_attachments (
            workspace_id text NOT NULL,
            id varchar(200) NOT NULL PRIMARY KEY
                CONSTRAINT issue_attachments_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            mission_id text NOT NULL,
            filename varchar(255) NOT NULL,
            content_type varchar(200) NOT NULL,
            size_bytes bigint NOT NULL,
            sha256 varchar(200) NOT NULL,
            uploaded_by_user_id text,
            uploaded_by_agent_id text,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT issue_attachments_of_issue_key UNIQUE (workspace_id, mission_id, sha256, filename),
            FOREIGN KEY (uploaded_by_user_id) REFERENCES users ON DELETE SET NULL,
            FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, uploaded_by_agent_id) REFERENCES agents (workspace_id, id),
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
        );
        CREATE INDEX issue_attachments_list_idx ON issue_attachments (workspace_id, mission_id, created_at, id);
        CREATE INDEX issue_attachments_sha256_idx ON issue_attachments (workspace_id, sha256);
        CREATE INDEX issue_attachments_agent_id_idx ON issue_attachments (workspace_id, uploaded_by_agent_id);
        CREATE INDEX issue_attachments_uploaded_by_idx ON issue_attachments (uploaded_by_user_id, workspace_id);
        ALTER TABLE issue_activity
            DROP CONSTRAINT issue_activity_action_check,
            ADD CONSTRAINT issue_activity_action_check CHECK (action IN ('status_changed', 'assignee_changed',
                'priority_changed', 'review_approved', 'review_changes_requested', 'task_completed', 'task_failed',
                'attachment_added', 'attachment_removed', 'code_link_added', 'code_link_removed')) NOT VALID;
    """)
    execute(LINKS)
