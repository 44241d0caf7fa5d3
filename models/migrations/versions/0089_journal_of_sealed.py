"""Lines of the audit log are written when its rows are sealed; until then, the journal reads the rows themselves."""

import importlib

from alembic import op

revision = "0089"
down_revision = "0088"
branch_labels = None
depends_on = None

SEALED = "audit_sealed"
LINES = r"""
CREATE OR REPLACE FUNCTION journal_lines(a audit_logs) RETURNS SETOF journal LANGUAGE sql STABLE AS $$
    SELECT a.workspace_id, a.created_at,
        'j' || lpad(to_hex((extract(epoch FROM a.created_at) * 1000000)::bigint), 14, '0') || 'ad'
            || CASE WHEN a.id ~ '^[A-Za-z0-9_-]{1,44}$' THEN a.id ELSE md5(a.id) END,
        'ad', a.id, CASE
            WHEN a.action ~* '(delete|remove|revoke)' THEN 'audit.entity_deleted'
            WHEN a.action ~* '(restore|unlock)' THEN 'audit.entity_restored'
            WHEN a.action ~* '(create|invite)' THEN 'audit.entity_created'
            ELSE 'audit.entity_updated'
        END,
        'notice', 'normal', CASE WHEN a.actor_type IN ('user', 'token') THEN 'user' WHEN a.actor_type = 'agent' THEN 'agent' ELSE 'system' END,
        CASE WHEN a.user_id IS NULL AND a.action = 'agent.expired' THEN 'ephemeral-expiry' ELSE coalesce(a.actor_id, a.user_id) END,
        CASE a.entity_kind WHEN 'crew' THEN a.entity_id WHEN 'agent' THEN (SELECT agents.crew_id FROM agents WHERE agents.id = a.entity_id) END,
        CASE a.entity_kind WHEN 'agent' THEN a.entity_id END, NULL::text, NULL::text,
        array_to_tsvector(ARRAY['w:' || a.workspace_id])
            || to_tsvector('simple', journal_words(concat_ws(' ', a.action, a.entity_type, a.entity_id, journal_words(a.data)))),
        a.xid::text::bigint
$$
"""
"""One SELECT without a function that is VOLATILE, so that it becomes a part of the statement: of what is filtered out or behind the page, no words are made."""
OF_SEALED = """
CREATE FUNCTION journal_of_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.name, 0));
    INSERT INTO journal SELECT line.* FROM audit_logs a CROSS JOIN LATERAL journal_lines(a) line
        WHERE a.seq > coalesce(OLD.value, '0')::bigint AND a.seq <= NEW.value::bigint ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""
FORGET = """
CREATE OR REPLACE FUNCTION journal_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_NARGS > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(TG_ARGV[0], 0));
    END IF;
    DELETE FROM journal USING journal_lines(OLD) l WHERE journal.place = l.place AND journal.at = l.at AND journal.id = l.id;
    RETURN NULL;
END
$$
"""
CORRECT = """
CREATE OR REPLACE FUNCTION journal_correct() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_NARGS > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(TG_ARGV[0], 0));
    END IF;
    UPDATE journal SET words = l.words, actor_id = l.actor_id FROM journal_lines(NEW) l
    WHERE journal.place = l.place AND journal.at = l.at AND journal.id = l.id;
    RETURN NULL;
END
$$
"""
"""Who changes a row while lines are written waits for these, and is waited for: otherwise a line could keep the words that were just erased."""
TRIGGERS = (
    "DROP TRIGGER journal_of_new ON audit_logs",
    "DROP FUNCTION journal_of_audit()",
    "DROP TRIGGER journal_of_gone ON audit_logs",
    "DROP TRIGGER journal_of_corrected ON audit_logs",
    f"CREATE TRIGGER journal_of_gone AFTER DELETE ON audit_logs FOR EACH ROW EXECUTE FUNCTION journal_forget('{SEALED}')",
    "CREATE TRIGGER journal_of_corrected AFTER UPDATE OF data, user_id, actor_id ON audit_logs FOR EACH ROW"
    " WHEN (OLD.data IS DISTINCT FROM NEW.data OR OLD.user_id IS DISTINCT FROM NEW.user_id"
    f" OR OLD.actor_id IS DISTINCT FROM NEW.actor_id) EXECUTE FUNCTION journal_correct('{SEALED}')",
    "CREATE TRIGGER journal_of_sealed AFTER INSERT OR UPDATE ON instance_facts FOR EACH ROW"
    f" WHEN (NEW.name = '{SEALED}') EXECUTE FUNCTION journal_of_sealed()",
)
NOT_SEALED = f"(SELECT coalesce((SELECT value::bigint FROM instance_facts WHERE name = '{SEALED}'), 0))"
WRITTEN_TOO_EARLY = f"""
DELETE FROM journal USING audit_logs a
WHERE a.seq > {NOT_SEALED} AND journal.place = a.workspace_id AND journal.at = a.created_at AND journal.kind = 'ad' AND journal.row_id = a.id
"""
PENDING = f"""
CREATE FUNCTION journal_pending(place text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format(
        '(SELECT line.* FROM audit_logs a CROSS JOIN LATERAL journal_lines(a) line WHERE a.workspace_id = %L AND a.seq > %s) journal',
        place, {NOT_SEALED}
    )
$$
"""
"""Lines as they will be, to be read from."""
PAGE = """
CREATE FUNCTION journal_page(place text, asked jsonb, before_at timestamptz, before_id text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    parts record;
    wanted text;
    pending journal[];
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    wanted := parts.held || parts.filtered;
    IF before_at IS NOT NULL THEN
        wanted := wanted || format(' AND (at, id) < (%L::timestamptz, %L::text)', before_at, before_id);
    END IF;
    IF asked ->> 'xid' IS NOT NULL THEN
        wanted := wanted || format(' AND xid >= %s', (asked ->> 'xid')::bigint);
    END IF;
    EXECUTE format('SELECT array_agg(ROW (line.*)::journal) FROM (SELECT * FROM %s WHERE %s ORDER BY at DESC, id DESC LIMIT %s) line',
        journal_pending(place), wanted, most) INTO pending;
    IF pending IS NULL THEN
        RETURN QUERY SELECT * FROM journal_page_written(place, asked, before_at, before_id, most);
        RETURN;
    END IF;
    RETURN QUERY WITH written AS MATERIALIZED (SELECT * FROM journal_page_written(place, asked, before_at, before_id, most))
        SELECT line.* FROM (
            SELECT * FROM written UNION ALL SELECT * FROM unnest(pending) later
            WHERE NOT EXISTS (SELECT FROM written WHERE written.kind = '' AND (written.at, written.id) > (later.at, later.id))
        ) line ORDER BY line.at DESC, line.id DESC LIMIT most;
END
$$
"""
"""What is pending, merged with what is written; behind a mark, up to which written lines were looked at, another page begins."""
COUNT = """
CREATE FUNCTION journal_count(place text, asked jsonb) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    parts record;
    pending bigint;
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    EXECUTE format('SELECT count(*) FROM %s WHERE %s%s', journal_pending(place), parts.held, parts.filtered) INTO pending;
    RETURN pending + journal_count_written(place, asked);
END
$$
"""
NAMED = f"""
CREATE OR REPLACE FUNCTION journal_named(place text, named text) RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 1 AS $$
DECLARE
    told_at timestamptz;
BEGIN
    IF named ~ '^j[0-9a-f]{{14}}' AND coalesce(current_setting('crewship.workspaces', true), '') IN ('', '*', place) THEN
        told_at := timestamptz 'epoch' + ('x' || substr(named, 2, 14))::bit(56)::bigint * interval '1 microsecond';
        RETURN QUERY SELECT * FROM journal WHERE journal.place = journal_named.place AND journal.id = named AND journal.at = told_at;
        RETURN QUERY SELECT line.* FROM audit_logs a CROSS JOIN LATERAL journal_lines(a) line
            WHERE a.workspace_id = journal_named.place AND a.created_at = told_at AND line.id = named AND a.seq > {NOT_SEALED};
    END IF;
END
$$
"""
AS_SEEN = """
CREATE OR REPLACE FUNCTION journal_as_seen(place text, asked jsonb, behind text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    parts record;
    wanted text;
BEGIN
    IF behind !~ '^[0-9]{19}' THEN
        RETURN;
    END IF;
    SELECT * INTO parts FROM journal_where(place, asked);
    wanted := format('%s%s AND (xid, id) > (%s, %L) AND xid < %s ORDER BY xid, id LIMIT %s',
        parts.held, parts.filtered, coalesce(left(behind, 19)::bigint, 0), coalesce(substr(behind, 20), ''),
        pg_snapshot_xmin(pg_current_snapshot()), most);
    RETURN QUERY EXECUTE format('(SELECT * FROM journal WHERE %s) UNION ALL (SELECT * FROM %s WHERE %s) ORDER BY xid, id LIMIT %s',
        wanted, journal_pending(place), wanted, most);
END
$$
"""
NEWS = f"""
CREATE OR REPLACE FUNCTION journal_news(since bigint, asked text[], OUT horizon bigint, OUT places text[]) LANGUAGE sql STABLE AS $$
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, array_agg(p) FROM unnest(asked) p
    WHERE EXISTS (SELECT FROM journal WHERE place = p AND xid >= since)
        OR EXISTS (SELECT FROM audit_logs WHERE workspace_id = p AND seq > {NOT_SEALED} AND xid >= since::text::xid8)
$$
"""


def upgrade() -> None:
    """In one transaction, in which nothing is sealed: a line is either written or pending."""
    op.execute("LOCK TABLE instance_facts IN SHARE ROW EXCLUSIVE MODE")
    op.execute("LOCK TABLE audit_logs IN SHARE ROW EXCLUSIVE MODE")
    op.execute(WRITTEN_TOO_EARLY)
    for statement in (LINES, OF_SEALED, FORGET, CORRECT, *TRIGGERS, PENDING):
        op.execute(statement)
    written = importlib.import_module("models.migrations.versions.0079_journal_terms").PAGE
    op.execute("DROP FUNCTION journal_page(text, jsonb, timestamptz, text, integer)")
    op.execute(written.replace("journal_page", "journal_page_written"))
    op.execute("ALTER FUNCTION journal_count RENAME TO journal_count_written")
    for statement in (PAGE, COUNT, NAMED, AS_SEEN, NEWS):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
