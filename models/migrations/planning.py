"""Plans of upgrades: they read a database and change nothing."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from models.connections import open_connection
from models.migrations import SETTINGS, known_state, sql
from models.migrations.revisions import config

TOUCHED = re.compile(
    r"\b(?:ALTER TABLE(?: IF EXISTS)?(?: ONLY)?|UPDATE|DELETE FROM"
    r"|CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?\w+ ON(?: ONLY)?) (\w+)",
    re.IGNORECASE,
)
SIZES = """
    SELECT relname, greatest(reltuples, 0)::bigint, pg_size_pretty(pg_total_relation_size(oid))
    FROM pg_class WHERE relname = ANY($1) AND relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
    ORDER BY reltuples DESC, relname
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A missing migration: its SQL, and of the tables that exist and that it changes, the name, rows and size."""

    revision: str
    title: str
    statements: str
    tables: Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The migrations and functions that a database lacks. `revision` is none for an empty database. `functions`: the
    files of functions and triggers that differ.
    """

    revision: str | None
    migrations: Sequence[Pending]
    functions: Sequence[str]


async def plan(dsn: str) -> Plan:
    """Reads a database, as its owner. Raises SchemaError if it is at an unknown revision."""
    connection = await open_connection(dsn, server_settings=SETTINGS)
    try:
        found, brought = await known_state(connection)
        pending = [
            Pending(revision, title, text, [tuple(row) for row in await connection.fetch(SIZES, TOUCHED.findall(text))])
            for revision, title, text in missing(found)
        ]
        return Plan(found, pending, sql.lacking(brought))
    finally:
        await connection.close()


def missing(found: str | None, *, transactions: bool = False) -> Sequence[tuple[str, str, str]]:
    """The revision, title and SQL of each migration after `found`, the oldest first. With `transactions`, COMMIT and
    BEGIN enclose what is executed outside of the migration's transaction.
    """
    scripts = ScriptDirectory.from_config(config())
    texts = []
    for script in reversed(list(scripts.iterate_revisions("head", found or "base"))):
        written = io.StringIO()
        context = MigrationContext.configure(
            dialect_name="postgresql",
            dialect_opts={"paramstyle": "named"},  # else each % of a statement is doubled, for parameters
            opts={"as_sql": True, "output_buffer": written, "transactional_ddl": transactions},
        )
        with Operations.context(context):
            script.module.upgrade()
        texts.append((script.revision, script.doc, written.getvalue().strip()))
    return texts
