"""Every column of every table is data of a person, a reference to one, or neither: by declaration."""

import asyncpg
import pytest
from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Float, Integer
from sqlalchemy import Table as SQLTable

from models.base import CHOICES, TenantTable, table_of, text_field
from models.bounds import NAME
from models.migrations.tables import metadata
from models.personal_data import author_of, held_in
from models.resources.credentials import Credential
from tests.conftest import Database
from tests.every import for_every

pytestmark = pytest.mark.anyio
TABLES = sorted(metadata().tables.values(), key=lambda table: table.name)
PLAIN = (BigInteger, Boolean, Date, DateTime, Float, Integer)


def says_itself(column: "Column[object]") -> bool:
    """Whether its type, or what it refers to, tells what a column holds."""
    told = bool(column.foreign_keys) or CHOICES in column.info or isinstance(column.type, PLAIN)
    return told or column.name in ("id", "workspace_id")


@for_every(TABLES, ids=lambda table: table.name)
def test_every_other_column_says_what_it_holds(table: SQLTable) -> None:
    held = [name for names in held_in(table) for name in names]
    assert {column.name for column in table.columns if not says_itself(column)} <= set(held)
    assert len(held) == len(set(held)), f"{table.name}: a column is one thing"


def test_a_column_that_says_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match=r"notes_of_a_test\.name does not say what it holds of a person"):

        class Note(TenantTable, table=True):
            __tablename__ = "notes_of_a_test"
            name: str = text_field(NAME)


def test_secrets_are_held_back_by_their_type_alone() -> None:
    held = held_in(table_of(Credential))
    assert {"value", "refresh_token", "oauth_client_secret"} == set(held.hidden)
    assert author_of(table_of(Credential)) == "created_by_actor_id"
    assert "created_by_actor_id" in held.by


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
    assert {row[0] for row in found} - {"alembic_version"} == {table.name for table in TABLES}
