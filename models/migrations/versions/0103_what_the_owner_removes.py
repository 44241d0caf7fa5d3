"""Rows of the audit log go, and change, through functions of the owner alone, and nothing younger goes than was said."""

import sqlalchemy as sa
from alembic import op

revision = "0103"
down_revision = "0102"
branch_labels = None
depends_on = None

# Before which time rows of the audit log have expired, as the operator has said: they are kept for good where nothing
# was said.
EXPIRED = """
    CREATE FUNCTION audit_expired() RETURNS timestamptz LANGUAGE sql STABLE {settings} AS $$
        SELECT coalesce(
            (SELECT now() - make_interval(days => days) FROM kept_days WHERE name = 'audit_logs' AND days > 0), '-infinity'
        )
    $$
"""
# Of a seal whose rows stay in part, digests go for no more rows than have expired, and those that stay are its own.
LET_GO = """
    CREATE FUNCTION audit_let_go(
        ending timestamptz, places text[], numbers bigint[], lefts bytea[], signatures bytea[]
    ) RETURNS TABLE (place text, first_at timestamptz, last_at timestamptz)
    LANGUAGE sql SECURITY DEFINER {settings} AS $$
        WITH told AS (
            SELECT * FROM unnest(places, numbers, lefts, signatures) AS told (place, number, digests, signature)
        )
        UPDATE audit_seals AS seal SET digests = told.digests, dropped_at = now(), dropped_until = ending,
            dropped_signature = told.signature
        FROM told
        WHERE seal.workspace_id = told.place AND seal.number = told.number AND ending <= audit_expired()
            AND seal.digests IS NOT NULL AND seal.first_at < ending
            AND CASE WHEN seal.last_at < ending THEN told.digests IS NULL ELSE
                coalesce(octet_length(told.digests), 0) % 16 = 0
                AND octet_length(seal.digests) - coalesce(octet_length(told.digests), 0) <= 16 * (
                    SELECT count(*) FROM audit_logs l WHERE l.workspace_id = seal.workspace_id
                        AND l.seq BETWEEN seal.first_seq AND seal.last_seq AND l.created_at < ending
                )
                AND NOT EXISTS (
                    SELECT substr(told.digests, n, 16) FROM generate_series(1, octet_length(told.digests), 16) n
                    EXCEPT
                    SELECT substr(seal.digests, n, 16) FROM generate_series(1, octet_length(seal.digests), 16) n
                ) END
        RETURNING seal.workspace_id, seal.first_at, seal.last_at
    $$
"""
# The rows of one seal, where all of them are older than the workspace keeps, which is 90 days at least.
REMOVE = """
    CREATE FUNCTION audit_remove(of_workspace text, of_number bigint, said bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER {settings} AS $$
    DECLARE
        going record;
        removed bigint;
    BEGIN
        SELECT s.first_seq, s.last_seq, s.last_at INTO going FROM audit_seals s
        WHERE s.workspace_id = of_workspace AND s.number = of_number AND s.digests IS NOT NULL AND s.last_at < (
            SELECT date_trunc('day', now(), 'UTC') - make_interval(days => greatest(r.days, 90)) FROM retention_rules r
            WHERE r.workspace_id = of_workspace AND r.kind = 'audit' AND r.days > 0
        )
        FOR UPDATE;
        IF NOT FOUND THEN
            RETURN 0;
        END IF;
        DELETE FROM audit_logs WHERE workspace_id = of_workspace AND seq BETWEEN going.first_seq AND going.last_seq
            AND created_at <= going.last_at;
        GET DIAGNOSTICS removed = ROW_COUNT;
        UPDATE audit_seals SET digests = NULL, dropped_at = now(), dropped_until = NULL, dropped_signature = said
        WHERE workspace_id = of_workspace AND number = of_number;
        RETURN removed;
    END $$
"""
# What is put in is a digest of what there was, and one word in the place of what a person has taken out.
TAKE_OUT = """
    CREATE FUNCTION audit_take_out(of_workspace text, person text, personal jsonb, about text[], chosen text[])
    RETURNS void LANGUAGE sql SECURITY DEFINER {settings} AS $$
        UPDATE audit_logs SET salt = NULL,
            erased = coalesce(erased, sha256(convert_to(
                jsonb_build_array(salt, user_id, actor_id, data, changes, ip_address, user_agent)::text, 'UTF8'
            ))),
            user_id = nullif(user_id, person), actor_id = nullif(actor_id, person),
            ip_address = CASE WHEN person IN (user_id, actor_id) THEN NULL ELSE ip_address END,
            user_agent = CASE WHEN person IN (user_id, actor_id) THEN NULL ELSE user_agent END,
            data = without_fields(data, personal, 'erased'), changes = without_fields(changes, personal, 'erased')
        WHERE workspace_id = of_workspace AND id = ANY (chosen)
            AND (user_id = person OR actor_id = person OR entity_id = ANY (about))
    $$
"""
SIGN_ERASED = """
    CREATE FUNCTION audit_sign_erased(of_workspace text, chosen text[], signatures bytea[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER {settings} AS $$
        UPDATE audit_logs SET erased_signature = kept.signature FROM unnest(chosen, signatures) AS kept (row, signature)
        WHERE workspace_id = of_workspace AND id = kept.row AND erased IS NOT NULL
    $$
"""
BARE = """
    CREATE OR REPLACE FUNCTION bare_partition(parent text, child text) RETURNS void LANGUAGE plpgsql {settings} AS $$
    DECLARE
        reader record;
    BEGIN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS'
            ' INCLUDING STORAGE)', child, parent);
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
# Who is not of the owner's role drops what has expired: of the audit log only what is sealed and was let go, which the
# whole of it is asked for.
DROP = """
    CREATE OR REPLACE FUNCTION drop_partitions(parent text, before timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER {settings} SET timezone = 'UTC' SET lock_timeout = '200ms' AS $$
    DECLARE
        child record;
        earlier text := parent || '_earlier';
        scope text := current_setting('crewship.workspaces', true);
        allowed timestamptz := before;
        reached timestamptz;
        dropped integer := 0;
    BEGIN
        IF NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
            allowed := least(before, CASE parent WHEN 'audit_logs' THEN audit_expired() ELSE now() - interval '1 day' END);
            IF parent = 'audit_logs' THEN
                SELECT max(p.until) INTO reached FROM partitions_of(parent) p WHERE p.until <= allowed;
                PERFORM set_config('crewship.workspaces', '*', true);
                IF EXISTS (
                    SELECT FROM audit_seals WHERE digests IS NOT NULL AND first_at < reached
                        AND (dropped_until IS NULL OR dropped_until < reached)
                ) OR EXISTS (
                    SELECT FROM audit_logs WHERE created_at < reached AND seq > coalesce(
                        (SELECT value::bigint FROM instance_facts WHERE name = 'audit_sealed'), 0
                    )
                ) THEN
                    allowed := '-infinity';
                END IF;
                PERFORM set_config('crewship.workspaces', coalesce(scope, ''), true);
                reached := NULL;
            END IF;
        END IF;
        -- each takes some locks until the end of the transaction
        FOR child IN SELECT * FROM partitions_of(parent) p WHERE p.until <= allowed ORDER BY p.until LIMIT 31 LOOP
            EXECUTE format('DROP TABLE %I', child.name);
            reached := child.until;
            dropped := dropped + 1;
        END LOOP;
        IF dropped > 0 THEN
            IF to_regclass(quote_ident(earlier)) IS NULL THEN
                PERFORM bare_partition(parent, earlier);
            ELSE
                EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, earlier);
            END IF;
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                parent, earlier, reached);
        END IF;
        RETURN dropped;
    END $$
"""
NEW = (
    "audit_expired()",
    "audit_let_go(timestamptz, text[], bigint[], bytea[], bytea[])",
    "audit_remove(text, bigint, bytea)",
    "audit_take_out(text, text, jsonb, text[], text[])",
    "audit_sign_erased(text, text[], bytea[])",
)
# They looked into the schema of temporary tables first, which belongs to whoever calls.
BEFORE = ("columns_stored(text)", "partition_ends(text)", "partitions_of(text)", "keep_partitions(text, text, integer)")


def upgrade() -> None:
    op.create_table(
        "kept_days",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("kept_days_pkey")),
    )
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    settings = f"SET search_path = {schema}, pg_temp"
    for function in (EXPIRED, LET_GO, REMOVE, TAKE_OUT, SIGN_ERASED, BARE, DROP):
        op.execute(function.format(settings=settings))
    for signature in NEW:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for signature in BEFORE:
        op.execute(f"ALTER FUNCTION {signature} {settings}")


def downgrade() -> None:
    raise NotImplementedError
