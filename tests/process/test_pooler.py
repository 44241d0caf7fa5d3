"""A pooler shares the sessions of PostgreSQL between clients: the service keeps nothing in one, and says at its start
what the pooler lacks.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from crewship.process.database import StartError, wait_for_database
from crewship.process.pooler import check_pooler, probe
from crewship.process.postgres import APPLICATION, Connection
from tests.process.poolers import FOLLOWS, PROGRAM, ROLE, following, gives, pooler, release
from tests.process.ports import reached  # noqa: F401
from tests.world import Person, World, world_on

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(PROGRAM is None, reason="NOT INSTALLED, NOTHING IS PROVED: pgbouncer"),
]
IGNORED = "extra_float_digits,plan_cache_mode,application_name,statement_timeout"
SIGHT = "SELECT current_setting('crewship.workspaces', true), current_setting('crewship.principal', true)"


@pytest.fixture
def pooled(postgres: Connection, reached: int, database: Any) -> Any:  # noqa: F811
    """Makes a pooler in front of the test's database."""

    @contextmanager
    def made(**settings: str) -> Iterator[str]:
        with pooler(postgres, reached, database.name, **settings) as address:
            yield address

    return made


@pytest.mark.parametrize("ignored", ["extra_float_digits", IGNORED])
async def test_without_an_address_of_postgresql_itself_the_service_does_not_start(pooled: Any, ignored: str) -> None:
    with (
        pooled(ignore_startup_parameters=ignored) as address,
        pytest.raises(StartError, match="CREWSHIP_DATABASE_DIRECT_URL"),
    ):
        await wait_for_database(address, wait=5)


async def test_sessions_that_are_shared_are_seen_where_settings_hold(
    pooled: Any, postgres: Connection, database: Any
) -> None:
    """As they do where the role has them, or the pooler restores them."""
    await gives(postgres, database.name, plan_cache_mode="force_generic_plan")
    with (
        pooled(ignore_startup_parameters=IGNORED) as address,
        pytest.raises(StartError, match="is a pooler in transaction mode"),
    ):
        await wait_for_database(address, wait=5)


async def test_without_one_it_starts(database: Any) -> None:
    await wait_for_database(database.url, wait=5)
    await wait_for_database(database.owner_url, wait=5)


async def test_it_says_what_the_pooler_lacks(pooled: Any, database: Any) -> None:
    with pooled(pool_mode="transaction") as address:
        found = await probe(address, database.url)
        assert found.kind == "transaction mode"
        said = [sentence for sentence in found.lacks if "max_prepared_statements = 600" in sentence]
        assert len(said) == (release() < FOLLOWS)
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert any(f"ALTER ROLE {APPLICATION} SET {name} = '30s'" in sentence for sentence in found.lacks)
        for name in ("plan_cache_mode", "jit", "random_page_cost"):
            assert any(f"SET {name} =" in sentence for sentence in found.advice)
        with pytest.raises(StartError, match="statement_timeout"):
            await check_pooler(address, database.url)


@following
async def test_it_says_that_prepared_statements_are_not_followed(pooled: Any, database: Any) -> None:
    with pooled(max_prepared_statements="0") as address:
        found = await probe(address, database.url)
    assert [sentence for sentence in found.lacks if "max_prepared_statements" in sentence]


@following
@pytest.mark.parametrize("size", ["1", "20"])
async def test_a_pooler_with_all_of_it_lacks_nothing(
    pooled: Any, postgres: Connection, database: Any, size: str
) -> None:
    await gives(postgres, database.name, **ROLE)
    with pooled(max_prepared_statements="600", default_pool_size=size) as address:
        found = await probe(address, database.url)
        assert (found.kind, found.lacks, found.advice) == ("transaction mode", (), ())
        await check_pooler(address, database.url)


async def test_session_mode_is_said_as_such(pooled: Any, postgres: Connection, database: Any) -> None:
    await gives(postgres, database.name, **ROLE)
    with pooled(pool_mode="session", max_client_conn="20") as address:
        found = await probe(address, database.url)
    assert (found.kind, found.lacks) == ("session mode", ())
    assert [sentence for sentence in found.advice if "saves no connection; set pool_mode = transaction" in sentence]


async def test_postgresql_itself_is_no_pooler(postgres: Connection, database: Any) -> None:
    await gives(postgres, database.name, **ROLE)
    found = await probe(database.url, database.url)
    assert (found.kind, found.lacks, len(found.advice)) == ("none", (), 1)


async def test_another_database_is_refused(pooled: Any, database: Any, empty_database: Any) -> None:
    with pooled() as address:
        found = await probe(address, empty_database.url)
    assert [sentence for sentence in found.lacks if "leads to another database" in sentence]


async def test_a_pooler_that_is_not_there_is_a_sentence(database: Any) -> None:
    with pytest.raises(StartError, match=r"refuses a connection .*correct DATABASE_URL") as refused:
        await check_pooler(f"postgresql://{APPLICATION}:hunter2@127.0.0.1:9/x", database.url)
    assert "hunter2" not in str(refused.value)


@following
async def test_clients_that_share_one_session_never_see_each_others_rows(
    pooled: Any, database: Any, tmp_path: Path
) -> None:
    """The two tenants and a stranger to both use the one session in turns; so do commands, reads and replays."""
    with pooled(max_prepared_statements="100", default_pool_size="1") as address:
        own = {"database_url": SecretStr(address), "database_direct_url": SecretStr(database.url), "pool_size": 4}
        async with world_on(database, tmp_path, **own) as world:
            raw = await asyncpg.connect(address, statement_cache_size=0)
            ended = asyncio.Event()

            async def strange() -> int:
                looks = 0
                while not ended.is_set():
                    async with raw.transaction():
                        sight = [text or "" for text in await raw.fetchrow(SIGHT)]
                        assert sight == ["", ""], "a session has kept the scope of a client"
                        assert await raw.fetchval("SELECT count(*) FROM labels") == 0
                    looks += 1
                    await asyncio.sleep(0)
                return looks

            stranger = asyncio.create_task(strange())
            await asyncio.gather(
                *(tenant(world, world.owner, world.workspace.id, n) for n in range(3)),
                *(tenant(world, world.outsider, world.other.id, n) for n in range(3)),
            )
            ended.set()
            assert await stranger > 5
            await raw.close()
            rows = await world.database.fetch("SELECT workspace_id, count(*) FROM labels GROUP BY 1")
            assert dict(map(tuple, rows)) == {world.workspace.id: 30, world.other.id: 30}


async def tenant(world: World, person: Person, place: str, number: int) -> None:
    """Ten labels of its own, and looks at what is there."""
    async with world.client(person) as http:
        for n in range(10):
            name, query = f"{person.name}-{number}-{n}", {"workspace_id": place}
            key = {"idempotency-key": secrets.token_hex(8)}
            for again in (False, True):
                made = await http.post(
                    "/api/v1/labels", params=query, json={"name": name, "color": "#ffffff"}, headers=key
                )
                assert made.status_code == 201, made.text
                assert ("idempotent-replayed" in made.headers) is again
            listed = await http.get("/api/v1/labels", params=query)
            assert {label["name"].split("-")[0] for label in listed.json()} == {person.name}
            document = "query($ws: ID!) { labels(workspaceId: $ws) { id name } }"
            answer = await http.post("/graphql", json={"query": document, "variables": {"ws": place}})
            assert {label["name"].split("-")[0] for label in answer.json()["data"]["labels"]} == {person.name}
