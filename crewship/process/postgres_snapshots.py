"""Snapshots of the embedded database: one before each migration, and the way back to it. See docs/operations.md.

`pg/snapshots/<time>` of the data directory has the layout of a data directory: a cluster that pg_basebackup copied, or
one that was replaced, and `snapshot.json`.
"""

import asyncio
import json
import logging
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crewship.process import moves
from crewship.process.database import UNUSED_SNAPSHOT, Access, StartError
from crewship.process.postgres import ADMIN, Connection, EmbeddedPostgres
from crewship.process.postgres_child import PostgresError, User
from crewship.process.postgres_programs import called
from crewship.process.postgres_recovery import recover, timelines
from crewship.process.private_files import make_private, write_secret
from crewship.process.wal_archive import SIZE, lines
from models import migrations
from models.connections import open_connection
from models.migrations.cluster import KNOWN
from resolvers.instance.bundles.files import has_room
from resolvers.instance.bundles.records import REHEARSED

log = logging.getLogger("crewship.snapshots")

FOLDER: Final = UNUSED_SNAPSHOT.parent
NOTE: Final = "snapshot.json"
REPLACED: Final = "replaced.json"  # on its way to be the note of a cluster that is replaced
UNFINISHED: Final = ".unfinished-"
ROOM: Final = 64 << 20  # bytes beyond the database: write-ahead log of the time that the copy takes
NO_ROOM: Final = (
    "there is too little space in {} for a snapshot of the database before its migration: {} MB are needed;"
    " free them, or run `crewship migrate --no-snapshot` after a backup"
)
NONE: Final = "there is no snapshot in {}: one is made before each migration of the embedded database"
DAMAGED: Final = "the snapshot {} is damaged, and nothing was changed ({})"


@dataclass(frozen=True)
class Snapshot:
    """`major`: the major version of PostgreSQL that reads it. `whole`: pg_basebackup made it, and its manifest holds;
    otherwise it is a cluster that was replaced.
    """

    path: Path
    at: str
    major: str
    revision: str
    release: str
    size: int
    whole: bool

    @property
    def cluster(self) -> Path:
        return EmbeddedPostgres(self.path).kept / self.major

    def noted(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if name != "path"}, indent=1)

    def note(self) -> None:
        write_secret(self.path / NOTE, self.noted())


def found(data_dir: Path) -> list[Snapshot]:
    """The snapshots of a data directory, the newest first."""
    read = []
    for path in sorted((data_dir / FOLDER).glob("[0-9]*"), reverse=True):
        try:
            read.append(Snapshot(path=path, **json.loads((path / NOTE).read_text())))
        except (OSError, ValueError, TypeError):
            continue  # what a killed process left of one that it removed
    return [snapshot for snapshot in read if snapshot.cluster.exists()]


async def take(data_dir: Path, access: Access, revision: str) -> None:
    """Copies the running cluster, and removes earlier snapshots. Raises StartError, PostgresError."""
    folder = data_dir / FOLDER
    if (data_dir / UNUSED_SNAPSHOT).exists() and not access.joined and found(data_dir):
        return
    connection = EmbeddedPostgres(data_dir).join()
    size, release = await _described(connection)
    for directory in (folder.parent, folder):
        make_private(directory)
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    if not has_room(str(folder), size + ROOM):
        raise StartError(NO_ROOM.format(folder, (size + ROOM) >> 20))
    began, needed = time.monotonic(), {snapshot.path for snapshot in of_other_majors(data_dir)}
    earlier = [path for path in folder.glob("[0-9]*") if path not in needed]
    making = folder / f"{UNFINISHED}{_now()}"
    make_private(making)
    target = EmbeddedPostgres(making).cluster
    try:
        make_private(target.parent)
        await called(
            "pg_basebackup", "--pgdata", target, "--checkpoint=fast", "--wal-method=stream", connection=connection
        )
        at = datetime.now(UTC).isoformat(timespec="seconds")
        Snapshot(making, at, EmbeddedPostgres.major, revision, release, size, whole=True).note()
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    made = _free_name(folder)
    making.rename(made)
    (data_dir / UNUSED_SNAPSHOT).touch(mode=0o600)
    for path in earlier:
        shutil.rmtree(path)
    taken = time.monotonic() - began
    log.info("a snapshot of the database before its migration is in %s (%d MB, %.1f s)", made, size >> 20, taken)


async def _described(connection: Connection) -> tuple[int, str]:
    """The size of all databases, and the release that migrated ours last."""
    admin = await open_connection(connection.dsn(ADMIN))
    try:
        size: int = await admin.fetchval(SIZE)
        return size, await admin.fetchval(KNOWN, migrations.RELEASE) or ""
    finally:
        await admin.close()


def replacing(server: EmbeddedPostgres, present: Path, by: Path) -> list[tuple[Path, Path]]:
    """The moves by which another cluster comes in the place of the present one, which becomes a snapshot."""
    if not present.exists():
        return [(by, server.kept / by.name)]
    replaced = Snapshot(
        path=_free_name(server.data_dir / FOLDER),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        major=present.name,
        revision="",
        release="",
        size=sum(path.stat().st_size for path in present.rglob("*") if path.is_file()),
        whole=False,
    )
    make_private(replaced.path.parent)
    note = server.kept / REPLACED
    write_secret(note, replaced.noted())
    aside = EmbeddedPostgres(replaced.path).kept / present.name
    return [(present, aside), (note, replaced.path / NOTE), (by, server.kept / by.name)]


def drop_replaced(data_dir: Path) -> None:
    """Removes replaced clusters of this major version, except the newest."""
    needed = of_other_majors(data_dir)
    for snapshot in [each for each in found(data_dir) if not each.whole and each not in needed][1:]:
        shutil.rmtree(snapshot.path)


def of_other_majors(data_dir: Path) -> list[Snapshot]:
    """Clusters that an upgrade of PostgreSQL replaced."""
    return [snapshot for snapshot in found(data_dir) if snapshot.major != EmbeddedPostgres.major]


async def drop_proved(data_dir: Path, access: Access) -> None:
    """Removes clusters that an upgrade of PostgreSQL replaced, if a backup of after it was rehearsed."""
    if not (former := of_other_majors(data_dir)):
        return
    owner = await open_connection(access.owner)
    try:
        noted = await owner.fetchval(KNOWN, REHEARSED)
    finally:
        await owner.close()
    tried = json.loads(noted) if noted else {}
    proved = datetime.fromisoformat(tried["created_at"]) if tried.get("ok") else None
    for snapshot in former:
        if proved is not None and proved > datetime.fromisoformat(snapshot.at):
            shutil.rmtree(snapshot.path)
            log.info("the data of PostgreSQL %s is removed: a later backup was rehearsed", snapshot.major)


def revert(data_dir: Path, archive: Path | None = None, name: str | None = None) -> Snapshot | None:
    """Puts the newest snapshot, or the one of that name, in the place of the database, which becomes a snapshot.

    Returns the former; none if it was an earlier call that was interrupted, and is complete now. `archive`: the archive
    of its log, if there is one. Everything or nothing: while the snapshot is verified and recovered, the database stays
    as it is. Raises StartError, PostgresError.
    """
    server = EmbeddedPostgres(data_dir)
    if not (there := found(server.data_dir)):
        raise StartError(NONE.format(server.data_dir / FOLDER))
    if name is not None and name not in (names := [snapshot.path.name for snapshot in there]):
        raise StartError(f"there is no snapshot {name}: choose one of {', '.join(names)}")
    interrupted = moves.are_left(server.kept) or _remains(server.data_dir)
    with server.held():
        if interrupted:
            for path in _remains(server.data_dir):
                shutil.rmtree(path)
            return None
        snapshot = next(each for each in found(server.data_dir) if name in (None, each.path.name))
        if snapshot.major == server.major:
            _prepare(server, snapshot, archive)
        moves.move(server.kept, replacing(server, server.present, snapshot.cluster))
        shutil.rmtree(snapshot.path)
        (server.data_dir / UNUSED_SNAPSHOT).unlink(missing_ok=True)
    return snapshot


def _remains(data_dir: Path) -> list[Path]:
    """Places of snapshots that were put in the place of the database."""
    with_cluster = {snapshot.path for snapshot in found(data_dir)}
    return [path for path in (data_dir / FOLDER).glob("[0-9]*") if path not in with_cluster]


def _prepare(server: EmbeddedPostgres, snapshot: Snapshot, archive: Path | None) -> None:
    """Verifies and recovers a snapshot."""
    if snapshot.whole:
        _verify(snapshot)
    owner = User.choose(server.present)
    used = timelines([server.present / "pg_wal", *(each.cluster / "pg_wal" for each in found(server.data_dir))])
    # Recovery writes into the snapshot: its manifest does not hold afterwards.
    Snapshot(**{**asdict(snapshot), "whole": False}).note()
    used |= {line.timeline for line in lines(archive)} if archive else set()
    recover(snapshot.path, owner, used, credentials=server.data_dir / "postgres.json")


def _verify(snapshot: Snapshot) -> None:
    try:
        asyncio.run(called("pg_verifybackup", "--exit-on-error", "--quiet", snapshot.cluster))
    except PostgresError as error:
        raise StartError(DAMAGED.format(snapshot.path, " ".join(str(error).split()))) from None


def discard(data_dir: Path) -> list[Snapshot]:
    """Deletes the snapshots of a data directory."""
    gone = found(data_dir)
    shutil.rmtree(data_dir / FOLDER, ignore_errors=True)
    return gone


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _free_name(folder: Path) -> Path:
    name, number = _now(), 1
    while (path := folder / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path
