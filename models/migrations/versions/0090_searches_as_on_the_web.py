"""Searches in conversations as on the web, and no longer than they may take."""

from alembic import op

revision = "0090"
down_revision = "0089"
branch_labels = None
depends_on = None

WEB = r"""
CREATE FUNCTION journal_web(said text) RETURNS tsquery LANGUAGE sql IMMUTABLE AS $$
    SELECT websearch_to_tsquery('simple', regexp_replace(translate(left(said, 60000), '/._:@#?&=%+~|', '             '), '(?<=\S)-', ' ', 'g'))
$$
"""
"""Words as `journal_words` has them; a hyphen before one is for what must not be there."""
TERMS = """
CREATE FUNCTION journal_web_terms(expression text, seed bigint, asked tsquery) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    branch text;
    needed text;
    branches text[] := '{}';
BEGIN
    FOREACH branch IN ARRAY string_to_array(asked::text, ' | ') LOOP
        needed := querytree(branch::tsquery);
        IF needed IN ('', 'T') THEN
            RETURN '';
        END IF;
        branches := branches || format('%s @> %L::bigint[]', expression,
            ARRAY(SELECT hashtextextended(word[1], seed) FROM regexp_matches(needed, '''([^'']+)''', 'g') word));
    END LOOP;
    RETURN format(' AND (%s)', array_to_string(branches, ' OR '));
END
$$
"""
"""The words that each side of an `or` cannot do without. Nothing where a side has none: only what must not be there."""
BLOCK = """
    IF asked ->> 'web' IS NOT NULL THEN
        phrase := journal_web(asked ->> 'web');
        IF numnode(phrase) = 0 THEN
            held := 'false';
            RETURN;
        END IF;
        walks := false;
        filtered := filtered || format(' AND words @@ %L::tsquery', phrase);
        terms := terms || journal_web_terms(
            'journal_terms(place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type, words)', seed, phrase
        );
    END IF;
    walks := walks OR is_marked;
"""
LINES = """
CREATE FUNCTION conversation_lines(place text, asked jsonb, most integer) RETURNS TABLE (message_id text) LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    line record;
    found integer := 0;
    ended boolean := false;
BEGIN
    FOR line IN SELECT kind, row_id FROM journal_page(place, asked, NULL, NULL, most) LOOP
        IF line.kind = '' THEN
            ended := true;
        ELSE
            found := found + 1;
            message_id := line.row_id;
            RETURN NEXT;
        END IF;
    END LOOP;
    IF ended AND found = 0 THEN
        RAISE EXCEPTION 'looked long enough' USING ERRCODE = 'CS503';
    END IF;
END
$$
"""
"""Nothing that was found is told from what was not looked for long enough: that is an error."""


def _changed(function: str, old: str, new: str) -> str:
    """A function of before, with a part of it changed."""
    return f"""
DO $do$
DECLARE
    known text := pg_get_functiondef('{function}'::regprocedure);
    changed text := replace(known, $old${old}$old$, $new${new}$new$);
BEGIN
    IF changed = known THEN
        RAISE EXCEPTION '{function} is another function';
    END IF;
    EXECUTE changed;
END
$do$
"""


WALKS = "walks := walks OR is_marked;"
PATIENCE = ("ELSE '1 day' END::interval", "ELSE coalesce(asked ->> 'patience', '1 day') END::interval")


def upgrade() -> None:
    for statement in (WEB, TERMS, LINES):
        op.execute(statement)
    op.execute(_changed("journal_where(text, jsonb)", WALKS, BLOCK))
    op.execute(_changed("journal_page_written(text, jsonb, timestamptz, text, integer)", *PATIENCE))


def downgrade() -> None:
    raise NotImplementedError
