"""Prices that workspaces set for models."""

from models.migrations.revisions import execute

revision = "2026_12_01_15"
down_revision = "2026_12_01_14"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE model_prices (
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            id varchar(200) NOT NULL PRIMARY KEY,
            model varchar(200) NOT NULL,
            since date NOT NULL,
            input_micros bigint NOT NULL,
            output_micros bigint NOT NULL,
            cached_input_micros bigint,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT model_prices_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            CONSTRAINT model_prices_amounts_check
                CHECK (least(input_micros, output_micros, cached_input_micros) >= 0),
            UNIQUE (workspace_id, model, since)
        );
    """)
