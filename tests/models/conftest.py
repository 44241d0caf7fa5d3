"""Two workspaces in one database, with a row in every table that belongs to a workspace."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import pytest
from sqlmodel import SQLModel

from models.people.workspaces import Workspace
from tests.conftest import Database
from tests.models.rows import Connection, insert, of, workspace_rows


@dataclass(frozen=True)
class Seeded:
    """`admin` is a connection past row-level security; `url` is the application's."""

    admin: Connection
    url: str = field(repr=False)
    ours: list[SQLModel]
    theirs: list[SQLModel]

    @property
    def our_id(self) -> str:
        return str(of(self.ours, Workspace).id)

    @property
    def their_id(self) -> str:
        return str(of(self.theirs, Workspace).id)


@pytest.fixture(scope="module")
async def seeded(module_database: Database) -> AsyncIterator[Seeded]:
    admin = await asyncpg.connect(module_database.server.dsn("postgres", module_database.name))
    try:
        ours, theirs = workspace_rows("ours"), workspace_rows("theirs")
        await insert(admin, *ours, *theirs)
        yield Seeded(admin, module_database.url, ours, theirs)
    finally:
        await admin.close()


@contextlib.asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """One case of many in a transaction: what it did, and what was refused, is gone for the next."""
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        yield
    finally:
        await savepoint.rollback()


@pytest.fixture
async def admin(seeded: Seeded) -> AsyncIterator[Connection]:
    """Past row-level security, in a transaction that leaves nothing behind."""
    transaction = seeded.admin.transaction()
    await transaction.start()
    try:
        yield seeded.admin
    finally:
        await transaction.rollback()


@pytest.fixture
async def application(seeded: Seeded) -> AsyncIterator[Connection]:
    """The application's role, for nobody yet, in a transaction that leaves nothing behind."""
    connection = await asyncpg.connect(seeded.url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()
