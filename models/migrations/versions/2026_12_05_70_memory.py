"""Texts of memories as they are now, for the search, and rules that wait for a decision."""

from models.migrations.revisions import execute

revision = "2026_12_05_70"
down_revision = "2026_12_05_61"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE memory_texts (
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            id varchar(200) NOT NULL PRIMARY KEY,
            crew_id text NOT NULL,
            agent_id text,
            path varchar(600) NOT NULL,
            sha256 varchar(200) NOT NULL,
            content varchar(64000) NOT NULL,
            words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('simple', content)) STORED,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT memory_texts_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            CONSTRAINT memory_texts_workspace_id_path_key UNIQUE (workspace_id, path),
            FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE
        );
        CREATE INDEX memory_texts_list_idx ON memory_texts (workspace_id, updated_at DESC, id DESC);
        CREATE INDEX memory_texts_crew_id_idx ON memory_texts (workspace_id, crew_id);
        CREATE INDEX memory_texts_agent_id_idx ON memory_texts (workspace_id, agent_id);
        CREATE TABLE memory_proposals (
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            id varchar(200) NOT NULL PRIMARY KEY,
            crew_id text NOT NULL,
            status text NOT NULL,
            rules jsonb NOT NULL,
            entries_scanned integer NOT NULL,
            evidence jsonb NOT NULL,
            scores jsonb NOT NULL,
            reason varchar(10000) NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            decided_at timestamptz,
            decided_by_user_id text REFERENCES users ON DELETE SET NULL,
            CONSTRAINT memory_proposals_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            CONSTRAINT memory_proposals_status_check CHECK (status IN ('pending', 'approved', 'rejected')),
            CONSTRAINT memory_proposals_size_check CHECK (
                GREATEST(pg_column_size(rules), pg_column_size(evidence), pg_column_size(scores)) <= 262144),
            FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
        );
        CREATE INDEX memory_proposals_crew_id_idx ON memory_proposals (workspace_id, crew_id, created_at);
        CREATE INDEX memory_proposals_decided_by_user_id_idx ON memory_proposals (decided_by_user_id);
    """)
