"""The data of an earlier major version of PostgreSQL, brought to the present one by pg_upgrade.

The new cluster is made aside and moved into place when it is whole. The former one is only read, and becomes a
snapshot: `crewship postgres revert` returns to it. It is removed when a backup of the new one was rehearsed.
"""

import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from crewship.process import moves, postgres_snapshots
from crewship.process.postgres import ADMIN, EmbeddedPostgres
from crewship.process.postgres_child import SHARED_BINARIES, PostgresError, User, end_orphans, popen
from crewship.process.postgres_recovery import give_all
from crewship.process.private_files import make_private
from resolvers.instance.bundles.files import has_room

log = logging.getLogger("crewship.upgrade")

NEEDED: Final = ("postgres", "pg_ctl", "pg_controldata", "pg_resetwal")
DEBIAN: Final = "/usr/lib/postgresql/{}/bin"
MISSING: Final = (
    "{} has data of PostgreSQL {former}, and this release runs {}: to upgrade it, install the programs of PostgreSQL"
    " {former} (such as the package postgresql-{former}), set CREWSHIP_POSTGRES_FORMER to their folder, and start again"
)
REFUSED: Final = "PostgreSQL {} cannot be upgraded, and its data is unchanged: {}"
NO_ROOM: Final = "there is too little space in {} to upgrade PostgreSQL: {} MB are needed"
NO_CLONES: Final = "could not clone file"
SAID: Final = 1500  # characters of a program's output in an error
NOISE: Final = re.compile(r"\bok$|^-+$|^could not change directory|^Performing ")


class _Former(EmbeddedPostgres):
    """The server of the earlier version: it ends what a killed one left undone."""

    def __init__(self, server: EmbeddedPostgres, major: str, programs: Path) -> None:
        super().__init__(server.data_dir, durable=server.durable)
        self.major, self._programs = major, programs

    def binaries(self, user: User) -> Path:
        return self._programs

    def recover(self) -> None:
        """Start and stop it, under the lock that the caller holds."""
        try:
            self._launch(self._place())
        finally:
            self.stop()


def upgrade(server: EmbeddedPostgres, major: str, programs: Path | None) -> None:
    """Makes the cluster of `server` out of the one of `major`. The caller holds the data directory.

    Everything or nothing: an interrupted upgrade begins again at the next start. Raises PostgresError.
    """
    former, place = server.kept / major, server.kept / "upgrading"
    user = User.choose(former)
    found = programs_of(major, programs, user)
    if found is None:
        raise PostgresError(MISSING.format(server.data_dir, server.major, former=major))
    began = time.monotonic()
    for cluster in (former, place / "pg" / server.major):
        end_orphans(cluster, server.sockets)
    shutil.rmtree(place, ignore_errors=True)
    log.warning("PostgreSQL %s is upgraded to %s", major, server.major)
    _Former(server, major, found).recover()
    for directory in (place, place / "pg", made := place / "pg" / server.major, place / "work"):
        make_private(directory)
    give_all(place, user)
    try:
        how = _upgraded(server, user, found, former, made, place / "work")
        (made / "pg_hba.conf").write_text((former / "pg_hba.conf").read_text())
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    moves.move(server.kept, postgres_snapshots.replacing(server, former, made))
    shutil.rmtree(place)
    taken = time.monotonic() - began
    log.warning("PostgreSQL runs with version %s; the data was %s in %.1f s", server.major, how, taken)


def programs_of(major: str, given: Path | None, user: User) -> Path | None:
    """The programs of an earlier version: in the named folder, where Debian has them, or in an earlier copy of ours."""
    copies = SHARED_BINARIES.glob(f"postgresql-{major}.*/*/pginstall/bin")
    for folder in [given] if given is not None else [Path(DEBIAN.format(major)), *copies]:
        if all((folder / name).exists() for name in NEEDED) and _version(folder, user) == major:
            return folder
    return None


def _version(folder: Path, user: User) -> str:
    asked = [str(folder / "postgres"), "--version"]
    try:
        answer = subprocess.run(  # noqa: S603 - a program that the operator names
            asked, check=False, capture_output=True, text=True, cwd="/", user=user.uid, group=user.gid,
            extra_groups=user.groups,
        )  # fmt: skip
    except OSError:
        return ""
    words = answer.stdout.split()
    return words[2].split(".")[0] if answer.returncode == 0 and len(words) > 2 else ""


def _upgraded(server: EmbeddedPostgres, user: User, programs: Path, former: Path, made: Path, work: Path) -> str:
    """Fills `made`, and returns how: cloned, where the file system shares blocks of files, else copied."""
    own = server.binaries(user)
    with ExitStack() as stack:
        names, descriptors = list[str](), list[int]()
        for path in (former, made, work):
            names.append(str(path))
            if user.uid is not None:  # parents may be closed to this user: see postgres.py
                descriptors.append(descriptor := os.open(path, os.O_RDONLY | os.O_DIRECTORY))
                stack.callback(os.close, descriptor)
                names[-1] = f"/proc/self/fd/{descriptor}"
        password = {"PGPASSWORD": server.passwords()[ADMIN]}

        def called(command: Sequence[str | Path]) -> None:
            with tempfile.TemporaryFile() as output:
                process = popen(command, user, descriptors, output, environment=password, folder=names[2])
                process.wait()
                output.seek(0)
                said = output.read().decode(errors="replace")
            if process.returncode:
                raise PostgresError(REFUSED.format(former.name, _reason(said, made)))

        sums = "--data-checksums" if _has_checksums(programs, former) else "--no-data-checksums"
        initdb: list[str | Path] = [own / "initdb", "-D", names[1], "-U", ADMIN, "--auth=trust", sums, "--no-sync"]
        called([*initdb, *server.locale])
        which = ("--old-bindir", programs, "--new-bindir", own, "--old-datadir", names[0], "--new-datadir", names[1])
        command: list[str | Path] = [own / "pg_upgrade", *which, "--socketdir", names[2], "--username", ADMIN]
        command += [] if server.durable else ["--no-sync"]
        for mode, how in (("--clone", "cloned"), ("--copy", "copied")):
            try:
                called([*command, mode, "--check"])
            except PostgresError as error:
                if mode == "--copy" or NO_CLONES not in str(error):
                    raise
                continue
            if mode == "--copy":
                _check_room(server, former)
            called([*command, mode])
            return how
    raise AssertionError


def _reason(said: str, made: Path) -> str:
    """The complaints of a program, with the lists that pg_upgrade writes into files."""
    lines = [line.strip() for line in said.partition("A list of")[0].splitlines() if not NOISE.search(line)]
    lists = [path.read_text(errors="replace") for path in sorted(made.glob("pg_upgrade_output.d/*/*.txt"))]
    return " ".join(" ".join([*lines, *lists]).split())[:SAID]


def _has_checksums(programs: Path, cluster: Path) -> bool:
    asked = [str(programs / "pg_controldata"), "-D", str(cluster)]
    told = subprocess.run(asked, check=False, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout  # noqa: S603
    return any(line.startswith("Data page checksum version") and not line.endswith(" 0") for line in told.splitlines())


def _check_room(server: EmbeddedPostgres, former: Path) -> None:
    size = sum(_sizes(former))
    if not has_room(str(server.kept), size):
        raise PostgresError(NO_ROOM.format(server.kept, size >> 20))


def _sizes(directory: Path) -> Iterator[int]:
    return (path.stat().st_size for path in directory.rglob("*") if path.is_file())
