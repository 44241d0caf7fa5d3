"""A primary and its streaming replica, as processes of their own on loopback, which tests kill and promote."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg

from crewship.process.postgres import APPLICATION, DATABASE, OWNER, EmbeddedPostgres
from crewship.process.postgres_child import User, binaries_for, popen
from models.migrations import upgrade
from runtime.engine.dbos_tables import prepare_engine
from tests.process.poolers import free_port

PATIENCE = 30.0  # seconds
REPLICA = "replica"
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "200", "timezone": "UTC"}
LOOPBACK = "127.0.0.1"


@dataclass
class Node:
    """One server of PostgreSQL. `settings`: of its command line."""

    cluster: Path
    user: User
    passwords: dict[str, str] = field(repr=False)
    port: int = field(default_factory=free_port)
    address: str = LOOPBACK
    settings: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def programs(self) -> Path:
        return binaries_for(self.user)

    def start(self) -> None:
        chosen = FAST | {"listen_addresses": self.address, "unix_socket_directories": ""} | self.settings
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        with (self.cluster.parent / f"{self.cluster.name}.log").open("ab") as log:
            self.process = popen(
                [self.programs / "postgres", "-D", self.cluster, "-p", str(self.port), *options], self.user, [], log
            )
        self._wait("pg_isready", "-h", self.address, "-p", str(self.port))

    def kill(self) -> None:
        """All of its processes at once, as where a machine loses its power."""
        assert self.process is not None
        for each in [self.process.pid, *_children(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(PATIENCE)

    def promote(self) -> None:
        """Returns at once."""
        subprocess.run(
            [self.programs / "pg_ctl", "-D", self.cluster, "-W", "promote"],
            check=True, capture_output=True, user=self.user.uid, group=self.user.gid, extra_groups=[],
        )  # fmt: skip

    def dsn(self, role: str) -> str:
        return address(self.passwords, role, self)

    def _wait(self, program: str, *arguments: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while subprocess.run([self.programs / program, *arguments], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, f"{program} finds no server"
            time.sleep(0.05)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


def address(passwords: dict[str, str], role: str, *nodes: Node) -> str:
    """It names all of the nodes, of which the one that writes is meant."""
    hosts = ",".join([f"{node.address}:{node.port}" for node in nodes])
    several = "?target_session_attrs=read-write" if len(nodes) > 1 else ""
    return f"postgresql://{role}:{quote(passwords[role], safe='')}@{hosts}/{DATABASE}{several}"


@dataclass
class Pair:
    """`primary` and `replica`; after `failover` the second one is alone. As a test's Database, at both addresses."""

    folder: Path
    primary: Node
    replica: Node
    name: str = DATABASE

    @property
    def url(self) -> str:
        return address(self.primary.passwords, APPLICATION, self.primary, self.replica)

    @property
    def owner_url(self) -> str:
        return address(self.primary.passwords, OWNER, self.primary, self.replica)

    def failover(self) -> None:
        self.primary.kill()
        self.replica.promote()

    async def hold(self) -> None:
        """From now on the replica receives nothing, as where its network is gone."""
        admin = await self.admin(self.replica)
        await admin.execute("ALTER SYSTEM SET primary_conninfo = ''")
        await admin.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(PATIENCE):
            while await admin.fetchval("SELECT count(*) FROM pg_stat_wal_receiver"):
                await asyncio.sleep(0.02)
        await admin.close()

    async def release(self) -> None:
        """Commits wait for no replica any more."""
        await _sets(self.primary, synchronous_standby_names="")

    async def checkpoint(self) -> None:
        """The control file of the promoted replica names its timeline from then on."""
        admin = await self.admin(self.replica)
        await admin.execute("CHECKPOINT")
        await admin.close()

    async def admin(self, node: Node) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(node.dsn("postgres"))


@dataclass
class Alone:
    """One server, as a test's Database."""

    node: Node
    name: str = DATABASE

    @property
    def url(self) -> str:
        return self.node.dsn(APPLICATION)

    @property
    def owner_url(self) -> str:
        return self.node.dsn(OWNER)


async def _seed(folder: Path) -> tuple[User, dict[str, str]]:
    server = EmbeddedPostgres(folder, durable=False)
    connection = server.start()
    try:
        await upgrade(connection.owner, application_role=APPLICATION)
        await prepare_engine(connection.owner, APPLICATION)
    finally:
        server.stop()
    return User.choose(server.cluster), connection.passwords


@contextlib.asynccontextmanager
async def reachable(address: str) -> AsyncIterator[Alone]:
    """A server at an address of a network, whose other hosts reach it."""
    folder = Path(tempfile.mkdtemp(prefix="crewship-alone-"))
    folder.chmod(0o755)
    node = None
    try:
        user, passwords = await _seed(folder / "seed")
        user.give(folder)
        (folder / "seed" / "pg" / "18").rename(folder / "primary")
        with (folder / "primary" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/24 scram-sha-256\n")
        node = Node(folder / "primary", user, passwords, address=address)
        node.start()
        yield Alone(node)
    finally:
        if node is not None:
            node.stop()
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def replicated(**settings: str) -> AsyncIterator[Pair]:
    """A pair, with the tables of this release. `settings`: of the primary, as `synchronous_standby_names`."""
    folder = Path(tempfile.mkdtemp(prefix="crewship-pair-"))
    folder.chmod(0o755)
    nodes: list[Node] = []
    try:
        user, passwords = await _seed(folder / "seed")
        user.give(folder)
        (folder / "seed" / "pg" / "18").rename(folder / "primary")
        primary = Node(folder / "primary", user, passwords)
        nodes.append(primary)
        primary.start()
        replica = Node(folder / REPLICA, user, passwords)
        _copy(primary, replica)
        nodes.append(replica)
        replica.start()
        await _streams(primary)
        await _sets(primary, **settings)
        yield Pair(folder, primary, replica)
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(folder)


def _copy(primary: Node, replica: Node) -> None:
    login = f"host={LOOPBACK} port={primary.port} user=postgres password={primary.passwords['postgres']}"
    command = [
        primary.programs / "pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-D", replica.cluster,
        "-d", f"{login} application_name={REPLICA}",
    ]  # fmt: skip
    user = primary.user
    subprocess.run(command, check=True, capture_output=True, user=user.uid, group=user.gid, extra_groups=[], cwd="/")


async def _streams(primary: Node) -> None:
    admin = await asyncpg.connect(primary.dsn("postgres"))
    deadline = time.monotonic() + PATIENCE
    while not await admin.fetchval("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"):
        assert time.monotonic() < deadline, "the replica does not stream"
    await admin.close()


async def _sets(node: Node, **settings: str) -> None:
    """As an operator does: it is not copied to the replica, which has its own file."""
    admin = await asyncpg.connect(node.dsn("postgres"))
    for name, value in settings.items():
        await admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
