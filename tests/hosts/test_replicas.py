"""A streaming replica answers lists and searches, and nobody can tell: it is late, stops, and is killed meanwhile."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from crewship.cli.doctor import connections_of
from crewship.cli.replica_check import check_replicas
from crewship.process.postgres import APPLICATION
from models.people.workspaces import Role
from models.work.labels import Label
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.store.database import database
from resolvers.kernel.store.replicas import Replica, Replicas
from tests.generation.estate import Estate, estate_on
from tests.generation.inputs import valid
from tests.generation.registry import operations, surfaces_of
from tests.hosts.cluster import Node, Pair, replicated
from tests.live.graphql import CREWS, talking
from tests.world import Person, World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PATIENCE = 30.0
LABELS = "query($ws: ID) { labels(workspaceId: $ws) { name } }"
CREATE = (
    'mutation($ws: ID, $name: String!) { createLabel(input: {name: $name, color: "x"}, workspaceId: $ws) { name } }'
)
LOAD = 3.0  # seconds


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


@pytest.fixture(scope="module")
async def pair(anyio_backend: str) -> AsyncIterator[Pair]:
    async with replicated() as made:
        yield made


@pytest.fixture(scope="module")
async def side(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Side]:
    async with side_on(pair, tmp_path_factory.mktemp("data")) as made:
        yield made


async def sent_to(pair: Pair, text: str) -> int:
    """The sessions of the service at the replica whose last statement has this text."""
    admin = await pair.admin(pair.replica)
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crewship' AND query LIKE $1"
    found = await admin.fetchval(sql, f"%{text}%")
    await admin.close()
    return int(found)


async def test_lists_and_searches_are_read_on_the_replica(side: Side) -> None:
    await side.on_the_replica()
    assert await sent_to(side.pair, "credential_id") > 0
    before = side.counted()
    for path in ("/api/v1/labels", "/api/v1/journal", "/api/v1/issues?search=nothing", "/api/v1/crews"):
        assert (await side.world.rest(side.world.viewer, "GET", path)).status_code == 200, path
    assert await side.names_by_graphql(side.world.viewer) == await side.names(side.world.viewer)
    assert (side.counted() - before)["replica"] >= 4
    before = side.counted()
    assert (await side.world.rest(side.world.viewer, "GET", "/api/v1/labels/unknown")).status_code == 404
    assert side.counted() == before, "a single row is read on the primary"


async def test_own_writes_are_seen_while_the_replay_stands(side: Side) -> None:
    await side.on_the_replica()
    async with side.paused():
        before = side.counted()
        made = await side.world.rest(side.world.manager, "POST", "/api/v1/labels", {"name": "by rest", "color": "x"})
        assert made.status_code == 201
        assert "by rest" in await side.names(side.world.manager)
        assert "by rest" in await side.names_by_graphql(side.world.viewer), "nor does another person read late"
        written = await side.world.graphql(side.world.manager, CREATE, {"name": "by graphql"})
        assert "errors" not in written, written
        assert "by graphql" in await side.names_by_graphql(side.world.manager)
        assert "by graphql" in await side.names(side.world.manager)
        since = side.counted() - before
        assert since["behind"] >= 1
        assert since["replica"] == 0
        assert side.replica.behind > 0
        (check,) = await check_replicas(side.pair.replica.dsn(APPLICATION), await _primary(side.pair))
        assert "bytes of the log behind" in check.found
    await side.on_the_replica()
    assert {"by rest", "by graphql"} <= set(await side.names(side.world.viewer))
    assert side.replica.behind == 0


async def _primary(pair: Pair) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(pair.primary.dsn(APPLICATION))


async def test_a_removed_member_reads_nothing_while_the_replay_stands(side: Side) -> None:
    leaver = await side.world.person("leaver", Role.MEMBER)
    await side.on_the_replica()
    await side.names(leaver)
    async with side.paused():
        path = f"/api/v1/workspaces/{side.world.workspace.id}/members/{leaver.membership_id}"
        removed = await side.world.rest(side.world.owner, "DELETE", path)
        assert removed.status_code in (200, 204), removed.text
        answer = await side.world.rest(leaver, "GET", "/api/v1/labels")
        assert answer.status_code in (403, 404), answer.text


async def test_a_subscriber_reads_the_row_of_an_event(side: Side) -> None:
    """With the replay as fast as it is, and while it stands."""
    world, query = side.world, "query($ws: ID) { crews(workspaceId: $ws) { name } }"
    async with talking(world, world.viewer) as talk:
        await talk.listen("crews", CREWS, ws=world.workspace.id)
        for n in range(20):
            async with side.paused() if n % 5 == 4 else contextlib.nullcontext():
                body = {"name": f"Heard {n}", "slug": f"heard-{n}"}
                made = asyncio.create_task(world.rest(world.owner, "POST", "/api/v1/crews", body))
                while (heard := await talk.next("crews"))["workspaceEvents"].get("name") != f"Heard {n}":
                    assert heard["workspaceEvents"]["__typename"] != "StreamReset"
                found = await world.graphql(world.viewer, query)
                assert f"Heard {n}" in [crew["name"] for crew in found["data"]["crews"]]
                assert (await made).status_code == 201
    assert side.counted()["replica"] > 0


async def test_row_level_security_holds_on_the_replica(side: Side) -> None:
    mine, others = Label(workspace_id=side.world.workspace.id, name="mine", color="x"), "theirs"
    await side.world.add(mine, Label(workspace_id=side.world.other.id, name=others, color="x"))
    await side.on_the_replica()
    assert others not in await side.names(side.world.owner)
    before = side.counted()
    outsider = await side.world.rest(side.world.outsider, "GET", "/api/v1/labels", workspace=side.world.other.id)
    assert [label["name"] for label in outsider.json()] == [others]
    refused = await side.world.rest(side.world.outsider, "GET", "/api/v1/labels")
    assert refused.status_code in (403, 404)
    assert (side.counted() - before)["replica"] >= 1
    conn = await side.replica.pool.take()
    try:
        assert await conn.fetch("SELECT name FROM labels") == []
        found = await conn.within(side.world.other.id, "SELECT name FROM labels")
        assert [row["name"] for row in found] == [others]
        assert await conn.fetchval("SHOW default_transaction_read_only") == "on"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await conn.execute("DELETE FROM labels")
    finally:
        side.replica.pool.give(conn)


async def test_a_cancelled_read_is_repeated_on_the_primary(side: Side) -> None:
    """As where the replay needs what the read holds."""
    await side.on_the_replica()
    admin = await side.pair.admin(side.pair.replica)
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crewship'"
    stop = asyncio.Event()

    async def reading() -> int:
        count = 0
        while not stop.is_set():
            await side.names(side.world.viewer)
            count += 1
        return count

    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(reading()) for _ in range(4)]
        for _ in range(20):
            await admin.execute(ending)
            await asyncio.sleep(0.05)
        stop.set()
    await admin.close()
    assert all(reader.result() > 0 for reader in readers)
    await side.on_the_replica()


async def test_a_server_that_is_no_replica_of_the_role_answers_nothing(pair: Pair, tmp_path: Path) -> None:
    """The primary itself; and the replica by another role, for which row-level security may not hold."""
    wrong = [pair.primary.dsn(APPLICATION), pair.replica.dsn("postgres")]
    for address, said in zip(wrong, ["it is no replica", "its role is postgres"], strict=True):
        async with world_on(pair, tmp_path, database_replica_url=SecretStr(address)) as world:
            for _ in range(20):
                assert (await world.rest(world.viewer, "GET", "/api/v1/labels")).status_code == 200
                await asyncio.sleep(0.01)
            assert database.replicas is not None
            assert database.replicas.outcomes["other_history"] >= 1
            assert database.replicas.outcomes["replica"] == 0
            await _clear(world)
        (check,) = await check_replicas(address, await _primary(pair))
        assert (check.ok, said in check.found) == (False, True), check


async def _clear(world: World) -> None:
    await world.database.execute("DELETE FROM users WHERE email LIKE '%@example.com'")
    await world.database.execute("DELETE FROM workspaces")


async def test_every_list_can_be_read_on_a_replica(tmp_path: Path) -> None:
    """No statement of a list writes, locks, or reads a table that replicas do not have."""
    async with replicated() as pair:
        server = SimpleNamespace(dsn=lambda role, name: pair.primary.dsn(role))
        place = SimpleNamespace(url=pair.url, owner_url=pair.owner_url, name=pair.name, server=server)
        address = SecretStr(pair.replica.dsn(APPLICATION))
        options: dict[str, Any] = {"row_level_security": True, "allow_signup": True, "database_replica_url": address}
        async with estate_on(place, tmp_path, **options) as estate:
            assert database.replicas is not None
            outcomes, never = database.replicas.outcomes, []
            for op in operations():
                if isinstance(op, Query) and op.on_replicas and surfaces_of(op) and not await _reads(estate, op):
                    never.append(op.name)
        assert never == []
        assert outcomes["failed"] == 0, outcomes


async def _reads(estate: Estate, op: Any) -> bool:
    """Whether the replica answers it, sooner or later; what is refused is not read."""
    assert database.replicas is not None
    outcomes = database.replicas.outcomes
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = outcomes["replica"]
        for surface in surfaces_of(op):
            outcome = await estate.call(surface, op, valid(op, estate), estate.caller(op))
            if outcome.code is not None:
                return True
        if outcomes["replica"] > before:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_followed_lists_stay_on_the_primary() -> None:
    followed = [op for op in operations() if isinstance(op, Query) and op.followed]
    assert len(followed) >= 3
    assert not any(op.on_replicas for op in followed)


def _signal(node: Node, number: signal.Signals) -> None:
    """To all of its processes: one that has stopped takes connections, and answers nothing."""
    assert node.process is not None
    for each in psutil.Process(node.process.pid).children():
        each.send_signal(number)
    node.process.send_signal(number)


@pytest.mark.parametrize("ways", ["killed", "frozen"])
async def test_a_replica_is_lost_under_load(tmp_path: Path, ways: str) -> None:
    async with replicated() as pair, side_on(pair, tmp_path) as side:
        await side.on_the_replica()
        stop, slowest, answered = asyncio.Event(), 0.0, 0

        async def reading(person: Person) -> None:
            nonlocal slowest, answered
            async with side.world.client(person) as client:
                while not stop.is_set():
                    began = time.monotonic()
                    answer = await client.get("/api/v1/labels", params={"workspace_id": side.world.workspace.id})
                    assert answer.status_code == 200, answer.text
                    slowest, answered = max(slowest, time.monotonic() - began), answered + 1

        async def writing() -> None:
            number = 0
            while not stop.is_set():
                body = {"name": f"label {number}", "color": "x"}
                made = await side.world.rest(side.world.manager, "POST", "/api/v1/labels", body)
                assert made.status_code == 201
                assert f"label {number}" in await side.names(side.world.manager)
                number += 1

        people = [side.world.viewer, side.world.member, side.world.admin, side.world.owner]
        async with asyncio.TaskGroup() as tasks:
            for person in people:
                tasks.create_task(reading(person))
            tasks.create_task(writing())
            await asyncio.sleep(LOAD)
            by_replica, before = side.replicas.outcomes["replica"], answered
            if ways == "killed":
                await asyncio.to_thread(side.pair.replica.kill)
            else:
                _signal(side.pair.replica, signal.SIGSTOP)
            await asyncio.sleep(LOAD)
            lost = answered
            assert not side.replica.ready
            if ways == "killed":
                await asyncio.to_thread(side.pair.replica.start)
            else:
                _signal(side.pair.replica, signal.SIGCONT)
            stop.set()
        print(
            f"{before} reads before, {by_replica} of them on the replica, {lost - before} after slowest {slowest:.2f} s"
        )
        assert by_replica > 0
        assert lost - before > 20
        await side.on_the_replica()


async def test_connections_are_counted(side: Side) -> None:
    settings = side.world.settings
    alone = settings.model_copy(update={"database_replica_url": None})
    assert connections_of(settings) == connections_of(alone) + 1
