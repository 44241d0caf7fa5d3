"""The audit log says by whom and how rows were changed, and is sealed: in its order, by a chain of hashes for each workspace."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

ACTORS = "'user', 'token', 'service', 'agent', 'system'"


CHANGE_LIST = """
    CREATE FUNCTION change_list(changes jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT jsonb_agg(jsonb_build_object('field', key) || value ORDER BY key COLLATE "C") FROM jsonb_each(changes)
    $$
"""


def upgrade() -> None:
    op.execute(CHANGE_LIST)
    op.execute("ALTER TABLE audit_logs ALTER COLUMN actor_type DROP EXPRESSION, ALTER COLUMN actor_type TYPE text")
    op.execute(
        f"""
        ALTER TABLE audit_logs
            ADD CONSTRAINT audit_logs_actor_type_check CHECK (actor_type IN ({ACTORS})),
            ADD COLUMN actor_id varchar(200),
            ADD COLUMN changes jsonb,
            ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            ADD COLUMN seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY
        """
    )
    op.execute("UPDATE audit_logs SET actor_id = user_id WHERE user_id IS NOT NULL")
    op.execute("ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_size_check")
    op.execute("ALTER TABLE audit_logs ADD CONSTRAINT audit_logs_size_check CHECK (GREATEST(pg_column_size(data), pg_column_size(changes)) <= 262144)")
    op.execute("CREATE INDEX audit_logs_seq_idx ON audit_logs (seq)")
    op.execute(
        """
        CREATE TABLE audit_seals (
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            number bigint NOT NULL,
            first_seq bigint NOT NULL,
            last_seq bigint NOT NULL,
            rows integer NOT NULL,
            first_at timestamptz NOT NULL,
            last_at timestamptz NOT NULL,
            digests bytea,
            hash bytea NOT NULL,
            signature bytea NOT NULL,
            sealed_at timestamptz NOT NULL DEFAULT now(),
            dropped_at timestamptz,
            dropped_signature bytea,
            CONSTRAINT audit_seals_pkey PRIMARY KEY (workspace_id, number),
            CONSTRAINT audit_seals_size_check CHECK (
                octet_length(digests) <= 65536 AND GREATEST(octet_length(hash), octet_length(signature), octet_length(dropped_signature)) <= 200
            )
        )
        """
    )
    op.execute("CREATE INDEX audit_seals_last_at_idx ON audit_seals (last_at) WHERE dropped_at IS NULL")
