"""A search as on the web that only says what must not be there is refused."""

from alembic import op

revision = "0091"
down_revision = "0090"
branch_labels = None
depends_on = None

TERMS = """
CREATE OR REPLACE FUNCTION journal_web_terms(expression text, seed bigint, asked tsquery) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    branch text;
    needed text;
    branches text[] := '{}';
BEGIN
    FOREACH branch IN ARRAY string_to_array(asked::text, ' | ') LOOP
        needed := querytree(branch::tsquery);
        IF needed IN ('', 'T') THEN
            RAISE EXCEPTION 'nothing to look for' USING ERRCODE = 'CS400';
        END IF;
        branches := branches || format('%s @> %L::bigint[]', expression,
            ARRAY(SELECT hashtextextended(word[1], seed) FROM regexp_matches(needed, '''([^'']+)''', 'g') word));
    END LOOP;
    RETURN format(' AND (%s)', array_to_string(branches, ' OR '));
END
$$
"""
"""The words that each side of an `or` cannot do without: a side that has none would read every line."""


def upgrade() -> None:
    op.execute(TERMS)


def downgrade() -> None:
    raise NotImplementedError
