"""Reads on replicas, without one: who is asked, in which order, and what becomes of failures."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from models.address import Address
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.store.replicas import Rounds, addresses, of_replica
from tests.world import world_on

pytestmark = pytest.mark.anyio


async def test_an_answer_is_to_a_question_that_was_sent_after_one_came() -> None:
    sent = list[asyncio.Future[int]]()

    async def ask() -> int:
        sent.append(asyncio.get_running_loop().create_future())
        return await sent[-1]

    rounds = Rounds(ask)
    first = asyncio.create_task(rounds.answer())
    while not sent:
        await asyncio.sleep(0)
    later = [asyncio.create_task(rounds.answer()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert len(sent) == 1, "one question at a time"
    sent[0].set_result(1)
    assert await first == 1
    await asyncio.sleep(0.01)
    assert [task.done() for task in later] == [False] * 3, "the first answer may be older than they are"
    sent[1].set_result(2)
    assert await asyncio.gather(*later) == [2, 2, 2]
    assert len(sent) == 2


async def test_one_who_asks_may_leave_and_a_failure_reaches_all() -> None:
    async def ask() -> int:
        await asyncio.sleep(0.01)
        raise ValueError("no")

    rounds = Rounds(ask)
    asking = [asyncio.create_task(rounds.answer()) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert list(map(type, found)) == [asyncio.CancelledError, ValueError, ValueError]


def test_each_host_of_an_address_is_a_replica() -> None:
    found = addresses("postgresql://u:p%40@a:1,b:2/d?sslmode=require&target_session_attrs=any")
    assert [one.asyncpg for one in found] == [
        Address.read(f"postgresql://u:p%40@{host}/d?sslmode=require").asyncpg for host in ("a:1", "b:2")
    ]


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (asyncpg.SerializationError("conflict with recovery"), True),
        (asyncpg.AdminShutdownError("ends"), True),
        (asyncpg.QueryCanceledError("five seconds"), True),
        (asyncpg.FeatureNotSupportedError("an unlogged table"), True),
        (asyncpg.ReadOnlySQLTransactionError("writes"), True),
        (asyncpg.InterfaceError("closed"), True),
        (ConnectionResetError(), True),
        (asyncpg.DataError("a value"), False),
        (asyncpg.UndefinedTableError("a fault of ours"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_the_primary_may_answer_is_asked_there(error: Exception, repeated: bool) -> None:
    assert of_replica(error) is repeated


def test_followed_lists_stay_on_the_primary() -> None:
    """They ask which transactions run, which a replica does not know."""
    followed = [op for op in OPERATIONS.values() if isinstance(op, Query) and op.followed]
    assert len(followed) >= 3
    assert not any(op.on_replicas for op in followed)
    lists = [op for op in OPERATIONS.values() if isinstance(op, Query) and op.on_replicas]
    assert {"labels.list", "journal.list", "conversations.search"} <= {op.name for op in lists}


async def test_the_primary_is_no_replica_of_itself(database: Any, tmp_path: Path) -> None:
    store = sys.modules["resolvers.kernel.store.database"].database
    async with world_on(database, tmp_path, database_replica_url=SecretStr(database.url)) as world:
        for _ in range(20):
            assert (await world.rest(world.viewer, "GET", "/api/v1/labels")).status_code == 200
            await asyncio.sleep(0.01)
        assert store.replicas.outcomes["other_history"] >= 1
        assert store.replicas.outcomes["left_out"] >= 20
        assert "replica" not in store.replicas.outcomes
        answer = await world.rest(None, "GET", "/metrics", workspace=None)
        assert "crewship_replica_ready" in answer.text
        assert 'crewship_replica_reads_total{outcome="left_out"}' in answer.text


async def test_without_the_setting_there_is_no_replica(database: Any, tmp_path: Path) -> None:
    store = sys.modules["resolvers.kernel.store.database"].database
    async with world_on(database, tmp_path) as world:
        assert (await world.rest(world.viewer, "GET", "/api/v1/labels")).status_code == 200
        assert store.replicas is None
        assert store.reads(True) is store.pool
        answer = await world.rest(None, "GET", "/metrics", workspace=None)
        assert "crewship_replica" not in answer.text
