"""Tables that have changed are analyzed by the service, as their owner; partitions say when autovacuum analyzes them."""

import sqlalchemy as sa
from alembic import op

revision = "0104"
down_revision = "0103"
branch_labels = None
depends_on = None

# Small tables first: one that takes too long keeps none of the others waiting.
ANALYZE = """
    CREATE FUNCTION analyze_what_changed() RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER {settings} AS $$
    DECLARE
        changed text;
    BEGIN
        IF NOT pg_try_advisory_xact_lock(hashtextextended('analyze_what_changed', 0)) THEN
            RETURN NULL;
        END IF;
        SELECT format('%I.%I', n.nspname, c.relname) INTO changed
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN (current_schema(), 'dbos') AND c.relkind = 'r'
            AND pg_get_userbyid(c.relowner) = current_user
            AND pg_stat_get_mod_since_analyze(c.oid) > greatest(c.reltuples, 20)
            -- autovacuum or an index that is built has it
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_locks l
                JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database()
                WHERE l.relation = c.oid AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()
            )
        ORDER BY pg_stat_get_mod_since_analyze(c.oid) LIMIT 1;
        IF changed IS NOT NULL THEN
            EXECUTE 'ANALYZE (SKIP_LOCKED) ' || changed;
        END IF;
        RETURN changed;
    END $$
"""
BARE = """
    CREATE OR REPLACE FUNCTION bare_partition(parent text, child text) RETURNS void LANGUAGE plpgsql {settings} AS $$
    DECLARE
        reader record;
    BEGIN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS'
            ' INCLUDING STORAGE) WITH (autovacuum_analyze_threshold = 20, autovacuum_analyze_scale_factor = 0.05)',
            child, parent);
        -- what comes through the table is judged by its policies; by the name of a partition nobody reads a row
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
        FOR reader IN
            SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS name
            FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = to_regclass(quote_ident(child)) AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('REVOKE ALL ON TABLE %I FROM %s', child, reader.name);
        END LOOP;
    END $$
"""


def upgrade() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in (ANALYZE, BARE):
        op.execute(function.replace("{settings}", f"SET search_path = {schema}, pg_temp"))
    op.execute("REVOKE ALL ON FUNCTION analyze_what_changed() FROM PUBLIC")


def downgrade() -> None:
    raise NotImplementedError
