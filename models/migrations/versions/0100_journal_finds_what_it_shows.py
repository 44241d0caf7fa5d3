"""A search of the journal finds an entry of the audit log by its data where the caller may see them, and else by the rest."""

import importlib

from alembic import op

revision = "0100"
down_revision = "0099"
branch_labels = None
depends_on = None

OLD = """        filtered := filtered || format(' AND words @@ %L::tsquery', phrase);
        SELECT * INTO said FROM"""
NEW = """        filtered := filtered || format(' AND words @@ %L::tsquery', phrase);
        IF jsonb_typeof(asked -> 'shown') = 'array' THEN
            filtered := filtered || format(
                ' AND (kind <> ''ad'' OR EXISTS (SELECT FROM audit_logs a WHERE a.workspace_id = place AND a.created_at = at AND a.id = row_id'
                ' AND (a.entity_kind = ANY (%L::text[])'
                ' OR to_tsvector(''simple'', journal_words(concat_ws('' '', a.action, a.entity_type, a.entity_id))) @@ %L::tsquery)))',
                ARRAY(SELECT jsonb_array_elements_text(asked -> 'shown')), phrase);
        END IF;
        SELECT * INTO said FROM"""


def upgrade() -> None:
    changed = importlib.import_module("models.migrations.versions.0090_searches_as_on_the_web")._changed
    op.execute(changed("journal_where(text, jsonb)", OLD, NEW))


def downgrade() -> None:
    raise NotImplementedError
