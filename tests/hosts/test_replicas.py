"""A streaming replica answers lists and searches, and nobody can tell: it is late, stops, and is killed meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from crewship.cli.doctor import connections_of
from crewship.cli.replica_check import check_replicas
from crewship.process.postgres import APPLICATION
from models.people.workspaces import Role
from models.work.labels import Label
from tests.hosts.cluster import Pair, replicated
from tests.hosts.sides import Side, primary_of, side_on
from tests.live.graphql import CREWS, talking

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CREATE = (
    'mutation($ws: ID, $name: String!) { createLabel(input: {name: $name, color: "x"}, workspaceId: $ws) { name } }'
)


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
    assert (await side.world.rest(side.world.viewer, "GET", "/api/v1/crews/cunknown")).status_code == 404
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
        await side.world.add(Label(workspace_id=side.world.workspace.id, name="by another host", color="x"))
        assert "by another host" in await side.names(side.world.manager)
        since = side.counted() - before
        assert since["behind"] >= 1
        assert since["replica"] == 0
        assert side.replica.behind > 0
        async with primary_of(side.pair) as primary:
            (check,) = await check_replicas(side.pair.replica.dsn(APPLICATION), primary)
        assert "bytes of the log behind" in check.found
    await side.on_the_replica()
    assert {"by rest", "by graphql"} <= set(await side.names(side.world.viewer))
    assert side.replica.behind == 0


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
    world, query = side.world, "query($ws: ID) { crews(workspaceId: $ws, first: 50) { nodes { name } } }"
    async with talking(world, world.viewer) as talk:
        await talk.listen("crews", CREWS, ws=world.workspace.id)
        for n in range(20):
            async with side.paused() if n % 5 == 4 else contextlib.nullcontext():
                body = {"name": f"Heard {n}", "slug": f"heard-{n}"}
                made = asyncio.create_task(world.rest(world.owner, "POST", "/api/v1/crews", body))
                while (heard := await talk.next("crews"))["workspaceEvents"].get("name") != f"Heard {n}":
                    assert heard["workspaceEvents"]["__typename"] != "StreamReset"
                found = await world.graphql(world.viewer, query)
                assert f"Heard {n}" in [crew["name"] for crew in found["data"]["crews"]["nodes"]]
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


async def test_connections_are_counted(side: Side) -> None:
    settings = side.world.settings
    alone = settings.model_copy(update={"database_replica_url": None})
    assert connections_of(settings) == connections_of(alone) + 1
