"""A table with secrets that exists only in tests: declared, served, and gone from every list of tables afterwards."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.schema import CreateTable
from sqlmodel import SQLModel

from models.base import SoftDelete, TenantTable, Timestamps, Versioned, secret_field, table_of, tenant_key, text_field
from models.bounds import NAME, PROMPT
from models.personal_data import NOTHING
from models.sealed import Sealed
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import EVERYONE, graph
from resolvers.kernel.reader.graph import ACCESS, CONFIDENTIAL, GRAPHS
from tests.conftest import Database
from tests.world import connect_for_all


@contextlib.contextmanager
def table_of_secrets() -> Iterator[Any]:
    class Safe(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
        __tablename__ = "safes"
        __table_args__ = (tenant_key(),)
        name: str = text_field(NAME, holds=NOTHING)
        value: Sealed | None = secret_field(PROMPT, default=None)

    graph(Safe, gate=Action.READ, scope=None, visible=EVERYONE)
    before = set(OPERATIONS)
    try:
        yield Safe
    finally:
        for name in OPERATIONS.keys() - before:
            del OPERATIONS[name]
        for declared in (ACCESS, GRAPHS, CONFIDENTIAL):
            declared.pop(Safe, None)  # type: ignore[attr-defined]
        SQLModel.metadata.remove(table_of(Safe))
        type.__delattr__(Safe, "__table__")  # for those who walk the classes of tables


@contextlib.asynccontextmanager
async def stored(database: Database, model: Any) -> AsyncIterator[Any]:
    """With the table in a database: a connection of its owner, past row-level security."""
    owner = await connect_for_all(database.owner_url)
    table = table_of(model)
    await owner.execute(str(CreateTable(table).compile(dialect=dialect())))
    await owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table.name} TO crewship_app")
    try:
        yield owner
    finally:
        await owner.close()
