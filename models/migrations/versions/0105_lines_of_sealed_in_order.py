"""Lines of the journal cost less: their terms are put together outside the statement that reads their words, and
those of sealed rows are written workspace by workspace, in the order of their time.
"""

import importlib

from alembic import op

revision = "0105"
down_revision = "0104"
branch_labels = None
depends_on = None

of_terms = importlib.import_module("models.migrations.versions.0079_journal_terms")
of_lines = importlib.import_module("models.migrations.versions.0089_journal_of_sealed")
# What stands in a statement is prepared with each call of it; an expression of PL/pgSQL, once a session.
TERMS = f"""
CREATE OR REPLACE FUNCTION journal_terms(
    place text, at timestamptz, agent text, crew text, mission text, trace text, type text, severity text, actor text, words tsvector
) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    seed bigint := hashtextextended(place, 0);
    seconds numeric := extract(epoch FROM at);
    said bigint[];
BEGIN
    SELECT each || beside INTO said FROM ({of_terms.WORDS}) terms;
    RETURN array_remove(ARRAY[{of_terms.made_of_line()}], NULL) || said;
END
$$
"""
WRITTEN = "AND a.seq <= NEW.value::bigint ON CONFLICT DO NOTHING"
IN_ORDER = "AND a.seq <= NEW.value::bigint\n        ORDER BY a.workspace_id, a.created_at ON CONFLICT DO NOTHING"


def upgrade() -> None:
    op.execute(TERMS)
    op.execute(of_lines.OF_SEALED.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(WRITTEN, IN_ORDER))


def downgrade() -> None:
    raise NotImplementedError
