"""The archive of the embedded PostgreSQL's write-ahead log, and base backups in it. See docs/embedded-postgres.md.

One line for each history of a cluster: `<system identifier>-<timeline>-<number>` of the archive's folder.

wal/                    segments, which pg_receivewal writes as the server does; the last one is `.partial`
base/<time>             a base backup of pg_basebackup, full or incremental
base/<time>.json        written when it is whole: its parent, and from when on it can be recovered

A replication slot keeps the segments that the archive has not received.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from crewship.process.database import StartError
from crewship.process.postgres import ADMIN, ARCHIVE_SLOT, Connection, EmbeddedPostgres
from crewship.process.postgres_child import STOP_TIMEOUT, PostgresError
from crewship.process.postgres_programs import called, started
from crewship.process.private_files import make_private, write_secret
from models.connections import open_connection
from models.migrations.cluster import NOTE
from resolvers.instance.bundles import records
from resolvers.instance.bundles.files import has_room
from resolvers.instance.reminders import Reminder

log = logging.getLogger("crewship.archive")

SEGMENT: Final = 16 << 20
KEPT_BY_SERVER: Final = 10  # percent of the disk that segments may take which the archive does not receive
AGAIN: Final = 5.0  # seconds until a receiver that ended is started again
LONGEST: Final = 600.0  # seconds between two attempts at a first base backup, which begin with AGAIN
WATCHED: Final = 30.0  # seconds until what a metric shows is looked at again
FULL_EVERY: Final = 7  # base backups; those in between are incremental
UNFINISHED: Final = ".unfinished"
IDENTITY: Final = """
    SELECT system_identifier::text || '-' || timeline_id FROM pg_control_system(), pg_control_checkpoint()
"""
LOST: Final = "SELECT coalesce(bool_or(wal_status = 'lost'), true) FROM pg_replication_slots WHERE slot_name = $1"
NEW_SLOT: Final = "SELECT pg_create_physical_replication_slot($1, true)"
NO_SLOT: Final = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1"
RECEIVED: Final = """
    SELECT coalesce(bool_or(flush_lsn >= $2::text::pg_lsn), false) FROM pg_stat_replication WHERE application_name = $1
"""
SIZE: Final = "SELECT sum(pg_database_size(oid))::bigint FROM pg_database"


@dataclass(frozen=True)
class Base:
    """A base backup. `at`: the database can be recovered to any moment from then on. `start`: where its log begins."""

    path: Path
    at: datetime
    parent: str | None
    start: str
    end: str
    size: int

    @classmethod
    def read(cls, note: Path) -> "Base":
        kept = json.loads(note.read_text())
        return cls(**kept | {"path": note.with_suffix(""), "at": datetime.fromisoformat(kept["at"])})

    def note(self) -> None:
        kept = asdict(self) | {"at": self.at.isoformat()}
        del kept["path"]
        write_secret(self.path.with_name(f"{self.path.name}.json"), json.dumps(kept, indent=1))


@dataclass(frozen=True)
class Line:
    """One history of a cluster."""

    path: Path

    @property
    def wal(self) -> Path:
        return self.path / "wal"

    @property
    def identity(self) -> str:
        return self.path.name.rpartition("-")[0]

    @property
    def timeline(self) -> int:
        return int(self.path.name.split("-")[1])

    def bases(self) -> list[Base]:
        """The whole ones, the oldest first."""
        notes = (self.path / "base").glob("[0-9]*.json")
        return sorted(map(Base.read, notes), key=lambda base: (base.at, base.path))

    def chain(self, base: Base) -> list[Base]:
        """A full base backup, and the incremental ones up to `base`. Raises StartError."""
        named = {each.path.name: each for each in self.bases()}
        chain = [base]
        while (parent := chain[0].parent) is not None:
            if parent not in named:
                raise StartError(f"the base backup {chain[0].path} needs {parent}, which is missing")
            chain.insert(0, named[parent])
        return chain

    def received(self) -> datetime | None:
        """When the archive received something last."""
        times = [path.stat().st_mtime for path in self.wal.iterdir()] if self.wal.exists() else []
        return datetime.fromtimestamp(max(times), UTC) if times else None


def lines(folder: Path) -> list[Line]:
    """The lines of an archive, in the order in which they began."""
    found = [path for path in folder.glob("[0-9]*-[0-9]*-[0-9]*") if path.is_dir()]
    # an identifier of a cluster begins with the time at which the cluster was made
    return [Line(path) for path in sorted(found, key=lambda path: [int(part) for part in path.name.split("-")])]


def options(data_dir: Path) -> dict[str, str]:
    """Settings of a server whose log is archived."""
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    kept = shutil.disk_usage(existing).total * KEPT_BY_SERVER // 100 >> 20
    return {"summarize_wal": "on", "max_slot_wal_keep_size": f"{kept}MB"}


async def _asked(connection: Connection, statement: str, *values: Any) -> Any:
    admin = await open_connection(connection.dsn(ADMIN, "postgres"))
    try:
        return await admin.fetchval(statement, *values)
    finally:
        await admin.close()


def begin(folder: Path, connection: Connection) -> Line:
    """The line of this cluster. A new one begins if there is none yet, or if segments were lost for the present one."""
    identity = asyncio.run(_asked(connection, IDENTITY))
    own = [line for line in lines(folder) if line.identity == identity]
    if own and not asyncio.run(_asked(connection, LOST, ARCHIVE_SLOT)):
        return _made(own[-1])
    if own:
        log.warning("segments are missing in %s, so a new base backup is made", own[-1].path)
    asyncio.run(_asked(connection, NO_SLOT, ARCHIVE_SLOT))
    asyncio.run(_asked(connection, NEW_SLOT, ARCHIVE_SLOT))
    number = 1 + max((int(line.path.name.rpartition("-")[2]) for line in own), default=0)
    return _made(Line(folder / f"{identity}-{number}"))


def _made(line: Line) -> Line:
    for directory in (line.path, line.wal, line.path / "base"):
        make_private(directory)
    return line


class Archiver:
    """Receives the log of a running server into an archive, in a thread that starts the receiver again if it ends."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        make_private(folder)
        self._folder, self._connection, self._line = folder, connection, begin(folder, connection)
        self._stopping = threading.Event()
        self._failing: str | None = None
        self._nothing, self._no_base = Reminder(), Reminder()
        self._noted: dict[str, str | None] | None = None
        self._thread = threading.Thread(target=self._keep_receiving, name="wal-archive", daemon=True)
        self._thread.start()

    def stopping(self) -> None:
        """The server is about to end, which ends the receiver as soon as that has everything."""
        self._stopping.set()

    def join(self) -> None:
        """Waits for the receiver, but not for a file system that hangs."""
        self._thread.join(STOP_TIMEOUT)

    def _keep_receiving(self) -> None:
        began = True
        while not self._stopping.is_set():
            try:
                if not began:  # segments may be lost by now
                    self._line = begin(self._folder, self._connection)
                reason, began = self._receive(), False
            except (PostgresError, asyncpg.PostgresError, OSError, RuntimeError) as error:
                reason, began = str(error), False  # also where this process may start no other
            if not self._stopping.is_set():
                if self._nothing.is_due():
                    log.error("the archive receives nothing; it is tried again: %s", reason)
                self._failing = reason
                self._note()
                self._stopping.wait(AGAIN)

    def _receive(self) -> str:
        """Returns the output of a receiver that ended."""
        _drop_cut(self._line)
        with tempfile.TemporaryFile() as said:
            where = ("--directory", self._line.wal, "--slot", ARCHIVE_SLOT, "--synchronous", "--no-loop")
            process = started("pg_receivewal", *where, connection=self._connection, output=said)
            self._attend(process)
            said.seek(0)
            return said.read()[-500:].decode(errors="replace").strip()

    def _attend(self, receiver: "subprocess.Popen[bytes]") -> None:
        """Returns when the receiver has ended. Meanwhile makes the first base backup, after growing pauses until one
        succeeds.
        """
        pause = AGAIN
        while True:
            self._note()
            wait = WATCHED
            if not self._line.bases() and not self._stopping.is_set() and not self._first_backup():
                wait, pause = pause, min(2 * pause, LONGEST)
            self._note()
            try:
                receiver.wait(wait)
            except subprocess.TimeoutExpired:
                self._failing = None  # it has received for a while
            else:
                return

    def _note(self) -> None:
        """Stores what the metrics show. Before the first migration there is no table for it."""
        bases = self._line.bases()
        found = {"base": bases[-1].at.isoformat() if bases else None, "failing": self._failing}
        if found == self._noted:
            return
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            asyncio.run(_noted(self._connection, found))
            self._noted = found

    def _first_backup(self) -> bool:
        """Returns false if it failed."""
        try:
            base = asyncio.run(backup(self._line, self._connection, full=True))
        except (PostgresError, StartError, OSError, RuntimeError, asyncpg.PostgresError) as error:
            if not self._stopping.is_set() and self._no_base.is_due():
                log.error("the first base backup of the archive failed; it is tried again: %s", error)
            return False
        log.info("the first base backup of the archive is %s (%d MB)", base.path, base.size >> 20)
        return True


async def _noted(connection: Connection, found: dict[str, str | None]) -> None:
    owner = await open_connection(connection.owner)
    try:
        await owner.execute(NOTE, records.ARCHIVE, json.dumps(found))
    finally:
        await owner.close()


def _drop_cut(line: Line) -> None:
    """The receiver refuses to go on in a last segment that a full disk cut. The slot keeps the whole of it."""
    for path in line.wal.glob("*.partial"):
        if path.stat().st_size not in (0, SEGMENT):
            path.unlink()


@contextlib.contextmanager
def archiving(folder: Path | None, server: EmbeddedPostgres, connection: Connection) -> Iterator[None]:
    """Archives the log of a server that this process started, until the server ends, as the block does."""
    if folder is None:  # nothing may keep segments for an archive that is no more
        asyncio.run(_asked(connection, NO_SLOT, ARCHIVE_SLOT))
        yield
        return
    archiver = Archiver(folder, connection)
    try:
        yield
    finally:
        archiver.stopping()
        server.stop()
        archiver.join()


async def backup_running(folder: Path, connection: Connection, *, full: bool) -> Base:
    """A base backup in the present line of an archive. Raises StartError, PostgresError."""
    identity = await _asked(connection, IDENTITY)
    own = [line for line in lines(folder) if line.identity == identity]
    if not own:
        raise StartError(f"{folder} has no log of this server: start it with CREWSHIP_WAL_ARCHIVE")
    return await backup(own[-1], connection, full=full)


async def backup(line: Line, connection: Connection, *, full: bool = False) -> Base:
    """Makes a base backup of a running server, and verifies it: an incremental one if there are WAL summaries for it.

    Raises StartError, PostgresError.
    """
    with _only_one(line.path / "base"):
        return await _backup(line, connection, full=full)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(f"another process makes a base backup in {folder}") from None
        yield


async def _backup(line: Line, connection: Connection, *, full: bool) -> Base:
    folder, bases = line.path / "base", line.bases()
    whole = {base.path for base in bases}
    for left in folder.iterdir():
        if left.is_dir() and left not in whole:  # a process that failed or was killed left it
            shutil.rmtree(left)
    parent = bases[-1] if bases and not full and len(line.chain(bases[-1])) < FULL_EVERY else None
    size = await _asked(connection, SIZE)
    if not has_room(str(folder), size if parent is None else SEGMENT):
        raise StartError(f"there is too little space in {folder} for a base backup: up to {size >> 20} MB are needed")
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    making = folder / f"{name}{UNFINISHED}"
    try:
        base = await _copied(making, folder / name, parent, connection)
    except PostgresError as error:
        if parent is None:
            raise
        log.warning("no incremental base backup is possible, so a full one is made: %s", error)
        shutil.rmtree(making, ignore_errors=True)
        base = await _copied(making, folder / name, None, connection)
    await _until_received(connection, base.end)
    making.rename(base.path)
    base.note()
    return base


async def _copied(making: Path, path: Path, parent: Base | None, connection: Connection) -> Base:
    how = [] if parent is None else [f"--incremental={parent.path / 'backup_manifest'}"]
    options = ("--checkpoint=fast", "--wal-method=none", "--pgdata", making)
    await called("pg_basebackup", *how, *options, connection=connection)
    await called("pg_verifybackup", "--exit-on-error", "--quiet", "--no-parse-wal", making)
    at = await _asked(connection, "SELECT clock_timestamp()")
    return _described(making, path, parent, at)


def _described(making: Path, path: Path, parent: Base | None, at: datetime) -> Base:
    [covered] = json.loads((making / "backup_manifest").read_text())["WAL-Ranges"]
    size = sum(file.stat().st_size for file in making.rglob("*") if file.is_file())
    name = None if parent is None else parent.path.name
    return Base(path, at, name, covered["Start-LSN"], covered["End-LSN"], size)


async def _until_received(connection: Connection, lsn: str, patience: float = 60.0) -> None:
    """Without the log of its time a base backup is worth nothing."""
    deadline = time.monotonic() + patience
    while not await _asked(connection, RECEIVED, "pg_receivewal", lsn):
        if time.monotonic() > deadline:
            raise StartError("the archive does not receive the log: look for the reason in the log of the server")
        await asyncio.sleep(0.2)
