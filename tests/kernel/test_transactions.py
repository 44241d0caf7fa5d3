"""A transaction that begins together with its first statement: `begin_with` of a connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from resolvers.kernel.store.connection import connect
from tests.conftest import Database

pytestmark = pytest.mark.anyio

SUM = "SELECT $1::int + $2::int AS sum, (SELECT count(*) FROM notes) AS notes"


@pytest.fixture
async def conn(database: Database) -> AsyncIterator[Any]:
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("CREATE TABLE notes (text text)")
    await owner.close()
    made = await connect(database.url)
    yield made
    await made.close()


async def notes(conn: Any) -> list[str]:
    return [row[0] for row in await conn.fetch("SELECT text FROM notes ORDER BY text")]


async def test_it_begins_a_transaction_that_can_be_committed_and_rolled_back(conn: Any) -> None:
    for round in range(4):  # the first prepares, the others travel together
        assert not conn.is_in_transaction()
        row = await conn.begin_with(SUM, round, 1)
        assert dict(row) == {"sum": round + 1, "notes": (round + 1) // 2}
        assert conn.is_in_transaction()
        await conn.execute(f"INSERT INTO notes VALUES ('{round}')")
        await conn.execute("ROLLBACK" if round % 2 else "COMMIT")
    assert await notes(conn) == ["0", "2"]


async def test_no_row_is_none(conn: Any) -> None:
    for _ in range(3):
        assert await conn.begin_with("SELECT 1 WHERE $1", False) is None
        assert conn.is_in_transaction()
        await conn.execute("COMMIT")


async def test_it_takes_no_message_of_its_own(conn: Any) -> None:
    """What is sent for BEGIN is not waited for: the statement's answer comes after one exchange."""
    await conn.begin_with(SUM, 1, 1)
    await conn.execute("ROLLBACK")
    written: list[bytes] = []
    transport = conn._transport

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(transport, name)

        def write(self, data: bytes) -> None:
            written.append(bytes(data))
            transport.write(data)

    conn._transport = Spy()
    asking = asyncio.ensure_future(conn.begin_with(SUM, 1, 1))
    await asyncio.sleep(0)  # until it waits for the first time
    assert len(written) == 1
    assert b"crewship_begin" in written[0]
    conn._transport = transport
    assert (await asking)["sum"] == 2
    assert conn.is_in_transaction()
    await conn.execute("ROLLBACK")


def fails_in_the_database(conn: Any) -> Any:
    return conn.begin_with("SELECT 1 / $1::int", 0)


def fails_before_it_is_sent(conn: Any) -> Any:
    return conn.begin_with(SUM, "one", object())


@pytest.mark.parametrize("fails", [fails_in_the_database, fails_before_it_is_sent])
async def test_a_statement_that_fails_leaves_a_transaction_to_be_rolled_back(
    conn: Any, fails: Callable[[Any], Any]
) -> None:
    await conn.begin_with(SUM, 1, 1)
    await conn.execute("ROLLBACK")
    for _ in range(3):
        with pytest.raises((asyncpg.DivisionByZeroError, asyncpg.DataError)):
            await fails(conn)
        await conn.execute("ROLLBACK")
        assert not conn.is_in_transaction()
        assert (await conn.begin_with(SUM, 2, 2))["sum"] == 4
        await conn.execute("INSERT INTO notes VALUES ('kept')")
        await conn.execute("COMMIT")
    assert await notes(conn) == ["kept"] * 3


async def test_a_changed_table_costs_one_failure_and_no_more(conn: Any, database: Database) -> None:
    await conn.begin_with("SELECT * FROM notes")
    await conn.execute("ROLLBACK")
    await conn.begin_with("SELECT * FROM notes")
    await conn.execute("ROLLBACK")
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("ALTER TABLE notes ADD COLUMN number int")
    await owner.execute("INSERT INTO notes VALUES ('a', 1)")
    await owner.close()
    with pytest.raises(asyncpg.PostgresError):
        await conn.begin_with("SELECT * FROM notes")
    await conn.execute("ROLLBACK")
    for _ in range(2):
        assert dict(await conn.begin_with("SELECT * FROM notes")) == {"text": "a", "number": 1}
        await conn.execute("ROLLBACK")


async def test_a_closed_connection_says_that_it_is(conn: Any) -> None:
    """A transport whose handle is closed fails in a way of its own, which would look like a fault of ours."""

    class Closed:
        def write(self, data: bytes) -> None:
            raise RuntimeError("the handler is closed")  # as uvloop's

    await conn.begin_with(SUM, 1, 1)
    await conn.execute("ROLLBACK")
    conn.terminate()
    conn._transport = Closed()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await conn.begin_with(SUM, 1, 1)


async def test_a_changed_table_is_read_again_outside_a_transaction(conn: Any, database: Database) -> None:
    for fetch in (conn.fetchrow, conn.fetch):
        await fetch("SELECT * FROM notes")
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("INSERT INTO notes VALUES ('a')")
    for name in ("one", "two"):
        await owner.execute(f"ALTER TABLE notes ADD COLUMN {name} int")
        row = (
            await conn.fetchrow("SELECT * FROM notes")
            if name == "one"
            else (await conn.fetch("SELECT * FROM notes"))[0]
        )
        assert name in dict(row)
    await owner.close()


async def test_a_connection_serves_one_statement_at_a_time(conn: Any) -> None:
    await conn.fetchrow("SELECT pg_sleep($1)", 0)
    asking = asyncio.ensure_future(conn.fetchrow("SELECT pg_sleep($1)", 0.2))
    await asyncio.sleep(0.05)
    with pytest.raises(asyncpg.InterfaceError, match="another operation"):
        await conn.fetchrow("SELECT pg_sleep($1)", 0)
    await asking
    assert (await conn.fetchrow("SELECT 1"))[0] == 1


async def test_a_known_statement_takes_a_timeout(conn: Any) -> None:
    await conn.fetchrow("SELECT pg_sleep($1)", 0)
    with pytest.raises(TimeoutError):
        await conn.fetchrow("SELECT pg_sleep($1)", 5, timeout=0.05)
    assert (await conn.fetchrow("SELECT 1"))[0] == 1
