"""Room for what is put together: the slug of an agent of its own and its crew's, a variable of the name of a credential.

A column that has longer texts than its bound is text, and stays it.
"""

from alembic import op
from sqlalchemy import text

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None

WIDER = (("crews", "name", 100, 200), ("agents", "slug", 100, 400), ("agent_credentials", "env_var_name", 200, 255))
TYPE = text(
    "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
    " WHERE attrelid = CAST(CAST(:table AS text) AS regclass) AND attname = :column"
)


def upgrade() -> None:
    for table, column, before, after in WIDER:
        known = op.get_bind().execute(TYPE, {"table": table, "column": column}).scalar_one()
        if known == f"character varying({before})":
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar({after})")
