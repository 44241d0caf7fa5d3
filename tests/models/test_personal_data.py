"""Every column of every table is data of a person, a reference to one, or neither: by declaration."""

import asyncpg
import pytest
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, Integer
from sqlalchemy import Table as SQLTable

from models.base import CHOICES
from models.migrations.tables import metadata
from models.personal_data import DECLARED, held_in
from tests.conftest import Database
from tests.every import for_every

pytestmark = pytest.mark.anyio
TABLES = sorted(metadata().tables.values(), key=lambda table: table.name)
PLAIN = (BigInteger, Boolean, DateTime, Float, Integer)
WHAT = 'models/personal_data.py: say what {} is, such as "{}": held(mentions="…", nothing="…")'


def needs_a_word(column: "Column[object]") -> bool:
    """Whether nothing but a declaration tells what it is."""
    told = bool(column.foreign_keys) or CHOICES in column.info or isinstance(column.type, PLAIN)
    return not told and column.name not in ("id", "workspace_id")


@for_every(TABLES, ids=lambda table: table.name)
def test_every_column_is_declared_once(table: SQLTable) -> None:
    declared = [name for names in DECLARED.get(table.name, ()) for name in names]
    missing = [column.name for column in table.columns if needs_a_word(column) and column.name not in declared]
    assert not missing, WHAT.format(f"{table.name}.{' and '.join(missing)}", table.name)
    assert len(declared) == len(set(declared)), f"{table.name}: a column is one thing"
    assert set(declared) <= {column.name for column in table.columns}, f"{table.name}: a column that is not there"


def test_no_table_is_declared_that_is_not_there() -> None:
    assert DECLARED.keys() - {table.name for table in TABLES} == set()


@for_every(TABLES, ids=lambda table: table.name)
def test_words_are_somebodys(table: SQLTable) -> None:
    kept = held_in(table)
    assert not kept.words or kept.by, "whose words?"


async def test_the_tables_are_those_of_the_database(module_database: Database) -> None:
    """Nothing is stored that no model declares, but for what belongs to PostgreSQL's and the engine's own."""
    owner = await asyncpg.connect(module_database.owner_url)
    try:
        found = await owner.fetch(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
    finally:
        await owner.close()
    assert {row[0] for row in found} - {"alembic_version"} == set(DECLARED)
