"""PgBouncer in front of a test's database."""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION, Connection
from resolvers.kernel.store.connection import SESSION

PLACES = f"/opt/pgbouncer/bin:{os.environ.get('PATH', '')}:/usr/sbin"  # scripts/pgbouncer builds it there
PROGRAM = shutil.which("pgbouncer", path=PLACES)
FOLLOWS = (1, 21)  # the first release that follows prepared statements
ROLE = {name: value for name, value in SESSION.items() if name not in ("timezone", "application_name")}
"""What the role has, where a client cannot ask for it."""


def release() -> tuple[int, ...]:
    """(0,) where there is none."""
    if PROGRAM is None:
        return (0,)
    said = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    assert found is not None, said
    return int(found[1]), int(found[2])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


following = pytest.mark.skipif(release() < FOLLOWS, reason="TOO OLD, NOTHING IS PROVED: scripts/pgbouncer")


async def gives(postgres: Connection, name: str, **settings: str) -> None:
    """Settings of the role in a database."""
    admin = await asyncpg.connect(postgres.dsn("postgres", "postgres"))
    for setting, value in settings.items():
        await admin.execute(f"ALTER ROLE {APPLICATION} IN DATABASE {name} SET {setting} = '{value}'")
    await admin.close()


@contextlib.contextmanager
def pooler(postgres: Connection, port: int, name: str, **settings: str) -> Iterator[str]:
    """The address of a database, at this port of the server, through PgBouncer with these settings."""
    assert PROGRAM is not None
    folder, own, secret = (
        Path(tempfile.mkdtemp(prefix="crewship-pooler-")),
        free_port(),
        postgres.passwords[APPLICATION],
    )
    (folder / "users").write_text(f'"{APPLICATION}" "{secret}"\n')
    chosen = {"pool_mode": "transaction"} | settings
    (folder / "settings").write_text(
        f"[databases]\n{name} = host=127.0.0.1 port={port} user={APPLICATION} password={secret}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\nauth_type = plain\n"
        f"auth_file = {folder}/users\n" + "".join([f"{key} = {value}\n" for key, value in chosen.items()])
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
                if probe.connect_ex(("127.0.0.1", own)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"postgresql://{APPLICATION}:{secret}@127.0.0.1:{own}/{name}?sslmode=disable"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)
