"""Metrics of the instance, which the database has."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import asyncpg
from prometheus_client import CollectorRegistry, Gauge
from sqlmodel import col

from models import migrations
from models.kernel import InstanceFact
from resolvers.instance.bundles import records
from resolvers.kernel import AcrossWorkspaces, Refusal, across_workspaces, instance
from resolvers.kernel.store.database import database

PATIENCE: Final = 3.0  # seconds, for answers about a database that may not give any
TROUBLE: Final = (Refusal, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
MIGRATION: Final = "Day of the last migration of the database, and its place in the day: YYYYMMDDnn"


async def of_database(read: Callable[[], Awaitable[Mapping[str, str]]]) -> CollectorRegistry:
    """Without samples where the database does not answer: none says more than a wrong one. `read` returns the facts of
    `records.NAMES`.
    """
    asked = CollectorRegistry()
    try:
        async with asyncio.timeout(PATIENCE):
            async with database.lease() as conn:
                revision = await migrations.revision(conn)
            facts = dict(await read())
            if instance.settings.wal_archive is None:  # a copy of a database has the fact of the former server
                facts.pop(records.ARCHIVE, None)
            records.show(facts, asked)
    except TROUBLE:
        return CollectorRegistry()
    if revision is not None:
        Gauge("crewshipd_db_migration_version", MIGRATION, registry=asked).set(migrations.number(revision))
    return asked


async def read_facts() -> dict[str, str]:
    """Outside of an operation."""
    return await across_workspaces(_facts)


async def _facts(rows: AcrossWorkspaces) -> dict[str, str]:
    named = col(InstanceFact.name).in_(records.NAMES)
    found = await rows.everywhere.select(InstanceFact, named, columns=("name", "value"))
    return {fact["name"]: fact["value"] for fact in found}
