"""Connections over TCP end soon after their peer has vanished: what their sockets are set to."""

import socket
from typing import Any

import psycopg
import pytest

from crewship.process.postgres import APPLICATION, Connection
from crewship.process.wakeups import PostgresWakeups
from resolvers.kernel.store.connection import connect
from runtime.engine.dbos_tables import url_of
from tests.process.ports import reached  # noqa: F401

pytestmark = pytest.mark.anyio
SET = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


@pytest.fixture
def far(database: Any, postgres: Connection, reached: int) -> str:  # noqa: F811
    login = f"{APPLICATION}:{postgres.passwords[APPLICATION]}"
    return f"postgresql://{login}@127.0.0.1:{reached}/{database.name}?sslmode=disable"


def found(opened: socket.socket) -> dict[str, int]:
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    return {name: opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in SET}


async def test_connections_of_requests_notice(far: str) -> None:
    conn = await connect(far)
    assert found(conn._transport.get_extra_info("socket")) == SET
    await conn.close()


async def test_connections_of_wake_ups_notice(far: str) -> None:
    conn = await PostgresWakeups(far)._connection(far)
    assert found(conn._transport.get_extra_info("socket")) == SET
    await conn.close()


async def test_connections_of_the_engine_notice(far: str) -> None:
    with psycopg.connect(url_of(far)) as conn, socket.socket(fileno=conn.fileno()) as opened:
        assert found(opened) == SET
        opened.detach()


async def test_what_the_operator_says_of_the_engine_holds(far: str) -> None:
    with psycopg.connect(url_of(f"{far}&keepalives_idle=40")) as conn, socket.socket(fileno=conn.fileno()) as opened:
        assert found(opened) == SET | {"TCP_KEEPIDLE": 40}
        opened.detach()


async def test_a_unix_socket_is_left_alone(database: Any) -> None:
    conn = await connect(database.url)
    assert await conn.fetchval("SELECT 1") == 1
    await conn.close()
