"""A pooler that shares sessions between clients would mix tenants: the service does not start behind one."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process.database import StartError, wait_for_database
from crewship.process.postgres import APPLICATION, Connection
from tests.process.ports import reached  # noqa: F401

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="NOT INSTALLED, NOTHING IS PROVED: pgbouncer")
IGNORED = "extra_float_digits,plan_cache_mode,application_name,statement_timeout"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def pooled(postgres: Connection, reached: int, database: Any, request: Any) -> Iterator[str]:  # noqa: F811
    assert PROGRAM is not None
    mode, ignored = request.param
    folder, port, secret = (
        Path(tempfile.mkdtemp(prefix="crewship-pooler-")),
        free_port(),
        postgres.passwords[APPLICATION],
    )
    (folder / "users").write_text(f'"{APPLICATION}" "{secret}"\n')
    (folder / "settings").write_text(
        f"[databases]\n{database.name} = host=127.0.0.1 port={reached} user={APPLICATION}"
        f" password={secret}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
        f"auth_file = {folder}/users\npool_mode = {mode}\nignore_startup_parameters = {ignored}\n"
    )
    user = {}
    if os.geteuid() == 0:  # it refuses to be root, and the socket is reached by the server's own user
        owner = pwd.getpwuid(Path(str(postgres.sockets)).stat().st_uid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid}
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, folder / "settings"], stdout=log, stderr=log, **user)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"postgresql://{APPLICATION}:{secret}@127.0.0.1:{port}/{database.name}?sslmode=disable"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "pooled",
    [("transaction", "extra_float_digits"), ("transaction", IGNORED)],
    indirect=True,
    ids=["as it comes", "with ignored parameters"],
)
def test_behind_a_pooler_the_service_does_not_start(pooled: str) -> None:
    with pytest.raises(StartError, match="is a pooler in transaction mode"):
        asyncio.run(wait_for_database(pooled, wait=5))


@pytest.mark.parametrize("pooled", [("transaction", IGNORED)], indirect=True)
def test_sessions_that_are_shared_are_seen_where_settings_hold(
    pooled: str, postgres: Connection, database: Any
) -> None:
    """As they do where the role has them, or the pooler restores them."""

    async def kept() -> None:
        admin = await asyncpg.connect(postgres.dsn("postgres", "postgres"))
        await admin.execute(
            f"ALTER ROLE {APPLICATION} IN DATABASE {database.name} SET plan_cache_mode = 'force_generic_plan'"
        )
        await admin.close()

    asyncio.run(kept())
    with pytest.raises(StartError, match="is a pooler in transaction mode"):
        asyncio.run(wait_for_database(pooled, wait=5))


def test_without_one_it_starts(database: Any) -> None:
    asyncio.run(wait_for_database(database.url, wait=5))
    asyncio.run(wait_for_database(database.owner_url, wait=5))
