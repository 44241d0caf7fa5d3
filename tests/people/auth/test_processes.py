"""The first user, asked for of several servers on one database at once."""

import asyncio
import contextlib
import os
from collections import Counter
from pathlib import Path

import asyncpg
import httpx2
import pytest

from tests.conftest import Database
from tests.people.auth.browsers import set_cookies
from tests.process.commands import environment, serving

pytestmark = pytest.mark.anyio

SERVERS, CALLS = 4, 30


@pytest.mark.slow
async def test_of_thirty_first_users_on_four_servers_exactly_one_is_made(database: Database, tmp_path: Path) -> None:
    shared = {
        "DATABASE_URL": database.url,
        "CREWSHIP_MIGRATION_DATABASE_URL": database.owner_url,
        "NEXTAUTH_SECRET": "a secret of tests, long enough to be one",
        "ENCRYPTION_KEY": "ab" * 32,
        "CREWSHIP_ADMIN_TOKEN_HMAC_KEY": "cd" * 32,
        "CREWSHIP_RATELIMIT_DISABLED": "true",
    }
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(serving(env=environment(tmp_path / str(number), **shared))) for number in range(SERVERS)
        ]
        links = [server.process.stdout.readline() for server in servers if server.process.stdout is not None]
        assert len({link.partition("#")[2] for link in links}) == 1
        assert len({server.process.pid for server in servers} | {os.getpid()}) == SERVERS + 1

        async def call(client: httpx2.AsyncClient, number: int) -> httpx2.Response:
            body = {"full_name": f"User {number}", "email": f"u{number}@example.com", "password": "correct horse"}
            return await client.post(f"http://127.0.0.1:{servers[number % SERVERS].port}/api/v1/bootstrap", json=body)

        async with httpx2.AsyncClient(timeout=60, verify=False) as client:
            answers = await asyncio.gather(*[call(client, number) for number in range(CALLS)])
    assert Counter(answer.status_code for answer in answers) == {201: 1, 410: CALLS - 1}
    (winner,) = [answer for answer in answers if answer.status_code == 201]
    assert [bool(set_cookies(answer)) for answer in answers].count(True) == 1
    connection = await asyncpg.connect(database.owner_url)
    try:
        await connection.execute("SELECT set_config('crewship.workspaces', '*', false)")
        for table in ("users", "workspaces", "cli_tokens", "sessions"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 1
        assert [tuple(row) for row in await connection.fetch("SELECT user_id, role FROM memberships")] == [
            (winner.json()["user_id"], "OWNER")
        ]
    finally:
        await connection.close()
