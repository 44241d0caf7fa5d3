"""The journal in the order in which entries appear."""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

PLACE = """
CREATE FUNCTION journal_place(xid bigint, id text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lpad(xid::text, 19, '0') || id
$$
"""
AS_SEEN = """
CREATE FUNCTION journal_as_seen(place text, asked jsonb, behind text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    parts record;
BEGIN
    IF behind !~ '^[0-9]{19}' THEN
        RETURN;
    END IF;
    SELECT * INTO parts FROM journal_where(place, asked);
    RETURN QUERY EXECUTE format(
        'SELECT * FROM journal WHERE %s%s AND (xid, id) > (%s, %L) AND xid < %s ORDER BY xid, id LIMIT %s',
        parts.held, coalesce(parts.sought, parts.filtered), coalesce(left(behind, 19)::bigint, 0), coalesce(substr(behind, 20), ''),
        pg_snapshot_xmin(pg_current_snapshot()), most
    );
END
$$
"""
NEWS = """
CREATE FUNCTION journal_news(since bigint, asked text[], OUT horizon bigint, OUT places text[]) LANGUAGE sql STABLE AS $$
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, array_agg(p) FROM unnest(asked) p
    WHERE EXISTS (SELECT FROM journal WHERE place = p AND xid >= since)
$$
"""


def upgrade() -> None:
    op.execute("CREATE INDEX journal_seen_idx ON journal (place, xid, id)")
    op.drop_index("journal_xid_idx", "journal")
    op.execute("DROP FUNCTION journal_news(bigint)")
    for statement in (PLACE, AS_SEEN, NEWS):
        op.execute(statement)
