"""A line of the journal about the audit log reads as a sentence, is found by it, and says by itself who finds it by its data."""

import importlib

from alembic import op

revision = "0102"
down_revision = "0101"
branch_labels = None
depends_on = None

SAID = r"""
CREATE FUNCTION audit_said(action text, entity_type text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT upper(left(said, 1)) || substr(said, 2) FROM (
        SELECT CASE WHEN strpos(action, '.') > 0 THEN translate(action, '._', '  ') ELSE
            lower(translate(regexp_replace(entity_type, '([a-z])([A-Z])', '\1 \2', 'g'), '_', ' ')) || ' '
                || CASE action WHEN 'create' THEN 'created' WHEN 'update' THEN 'updated' WHEN 'delete' THEN 'deleted' ELSE action END
        END AS said
    ) line
$$
"""
"""`crew.policy_set` is "Crew policy set", and `create` of an AGENT "Agent created"."""
NAME = """
CREATE FUNCTION audit_name(data jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(coalesce(
        nullif(data ->> 'name', ''), nullif(data ->> 'title', ''), nullif(data ->> 'identifier', ''), nullif(data ->> 'slug', ''),
        nullif(data ->> 'key', '')
    ), 240)
$$
"""
"""By what people know the row."""
WORDS = """array_to_tsvector(ARRAY['w:' || a.workspace_id])
            || to_tsvector('simple', journal_words(concat_ws(' ', a.action, a.entity_type, a.entity_id, journal_words(a.data)))),"""
WEIGHED = """array_to_tsvector(array_remove(ARRAY['w:' || a.workspace_id, 'e:' || a.entity_kind], NULL))
            || setweight(to_tsvector('simple', journal_words(audit_said(a.action, a.entity_type))), 'A')
            || to_tsvector('simple', journal_words(coalesce(audit_name(a.data), '')))
            || setweight(to_tsvector('simple', journal_words(
                concat_ws(' ', CASE WHEN strpos(a.action, '.') = 0 THEN a.action END, a.entity_type, a.entity_id))), 'A')
            || to_tsvector('simple', journal_words(coalesce(journal_words(a.data), ''))),"""
"""Summary and payload, of which the words that every member may read weigh A; and the kind of the row, as a word that no text has."""
LOOKED_UP = """ARRAY(SELECT jsonb_array_elements_text(asked -> 'shown')), phrase);"""
SHOWN = """            filtered := filtered || format(
                ' AND (kind <> ''ad'' OR EXISTS ("""
TOLD = """            filtered := filtered || format(
                ' AND (kind <> ''ad'' OR words @@ %L::tsquery OR NOT words @@ %L::tsquery AND EXISTS ("""
WEIGHTS = r"""(
                    SELECT coalesce(string_agg(quote_literal('e:' || kind), ' | ')::tsquery || told, told)
                    FROM (SELECT regexp_replace(phrase::text, '''((?:[^'']|'''')*)''', '''\1''\:A', 'g')::tsquery AS told) weighed
                    LEFT JOIN jsonb_array_elements_text(asked -> 'shown') kind ON true GROUP BY told
                ), '''e:'':*', ARRAY(SELECT jsonb_array_elements_text(asked -> 'shown')), phrase);"""
"""A line that knows its kind is looked up nowhere. Those of before, which do not, are judged by their rows."""


def upgrade() -> None:
    changed = importlib.import_module("models.migrations.versions.0090_searches_as_on_the_web")._changed
    op.execute(SAID)
    op.execute(NAME)
    op.execute(changed("journal_lines(audit_logs)", WORDS, WEIGHED))
    op.execute(changed("journal_where(text, jsonb)", SHOWN, TOLD))
    op.execute(changed("journal_where(text, jsonb)", LOOKED_UP, WEIGHTS))


def downgrade() -> None:
    raise NotImplementedError
