"""Models of users: what the agents of a workspace know of a person."""

from models.migrations.revisions import execute

revision = "2026_12_02_97"
down_revision = "2026_12_02_96"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE user_models (
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            workspace_id text NOT NULL,
            id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT user_models_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            user_id text NOT NULL,
            user_slug varchar(100) NOT NULL,
            bytes integer NOT NULL,
            content varchar(1500) NOT NULL,
            UNIQUE (workspace_id, user_id),
            FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
        );
        CREATE INDEX user_models_user_id_idx ON user_models (user_id);
    """)
