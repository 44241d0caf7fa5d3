"""A world on a primary and its replica, from which it reads."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from crewship.process.postgres import APPLICATION
from resolvers.kernel.store.database import database
from resolvers.kernel.store.replicas import Replica, Replicas
from tests.hosts.cluster import Pair
from tests.world import Person, World, world_on

PATIENCE = 30.0  # seconds
LABELS = "query($ws: ID) { labels(workspaceId: $ws) { name } }"


@dataclass
class Side:
    """A world with a replica."""

    pair: Pair
    world: World

    @property
    def replicas(self) -> Replicas:
        assert database.replicas is not None
        return database.replicas

    @property
    def replica(self) -> Replica:
        return self.replicas.each[0]

    def counted(self) -> Counter[str]:
        return Counter(self.replicas.outcomes)

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """The replica receives, and replays nothing."""
        admin = await self.pair.admin(self.pair.replica)
        await admin.execute("SELECT pg_wal_replay_pause()")
        async with asyncio.timeout(PATIENCE):
            while await admin.fetchval("SELECT pg_get_wal_replay_pause_state()") != "paused":
                await asyncio.sleep(0.01)
        try:
            yield
        finally:
            await admin.execute("SELECT pg_wal_replay_resume()")
            await admin.close()

    async def names(self, person: Person) -> list[str]:
        answer = await self.world.rest(person, "GET", "/api/v1/labels")
        assert answer.status_code == 200, answer.text
        return [label["name"] for label in answer.json()]

    async def names_by_graphql(self, person: Person) -> list[str]:
        answer = await self.world.graphql(person, LABELS)
        assert "errors" not in answer, answer
        return [label["name"] for label in answer["data"]["labels"]]

    async def on_the_replica(self) -> None:
        """Returns when the replica answers a list."""
        async with asyncio.timeout(PATIENCE):
            before = self.replicas.outcomes["replica"]
            while self.replicas.outcomes["replica"] == before:
                await self.names(self.world.viewer)
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def side_on(pair: Pair, directory: Path) -> AsyncIterator[Side]:
    address = SecretStr(pair.replica.dsn(APPLICATION))
    async with world_on(pair, directory, database_replica_url=address) as world:
        yield Side(pair, world)


@contextlib.asynccontextmanager
async def primary_of(pair: Pair) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(pair.primary.dsn(APPLICATION))
    try:
        yield connection
    finally:
        await connection.close()
