"""The real command in a real process."""

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.stalls import VARIABLE, recording

ROOT = Path(__file__).parents[2]
CREWSHIP = [sys.executable, "-m", "crewship"]
PATIENCE = 60.0  # seconds; a loaded machine imports slowly


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Nothing of the environment of the tests, whoever runs them; but their watch over stalls."""
    here = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), VARIABLE: str(recording())}
    return {**here, "CREWSHIP_DATA_DIR": str(data_dir), "CREWSHIP_PORT": "0", **variables}


@functools.cache
def _migrated() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="crewship-migrated-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    made = run("migrate", env=environment(directory / "data"))
    assert made.returncode == 0, made.stderr
    return directory / "data"


def migrated(data_dir: Path) -> Path:
    """`data_dir`, as `crewship migrate` leaves a new one: with its database, which was made once for all tests."""
    subprocess.run(["cp", "-a", _migrated(), data_dir], check=True)  # owners too: root lets PostgreSQL be another user
    return data_dir


def run(*arguments: str, env: Mapping[str, str], within: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CREWSHIP, *arguments], env=dict(env), cwd="/", capture_output=True, text=True, timeout=within, check=False
    )


class Served:
    """A running `crewship serve`, ready."""

    def __init__(self, process: subprocess.Popen[str], said: str, log: IO[str]) -> None:
        self.process, self.said, self._log = process, said, log

    def logged(self) -> str:
        """All that it has written to stderr so far."""
        log = self._log.fileno()  # the process writes at the place of the same open file, which a seek would move
        return os.pread(log, os.fstat(log).st_size, 0).decode()

    @property
    def port(self) -> int:
        return int(self.said.splitlines()[0].rsplit(":", 1)[1])

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(*arguments: str, env: Mapping[str, str], command: Sequence[str] = CREWSHIP) -> Iterator[Served]:
    with tempfile.TemporaryFile("w+") as log:  # no pipe, which a server that says much would wait at
        process = subprocess.Popen(
            [*command, "serve", *arguments], env=dict(env), cwd="/", stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            served = Served(process, line, log)
            assert "serves at" in line, served.logged()
            yield served
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(PATIENCE)
            process.stdout.close()


def status_of(port: int, path: str = "/healthz") -> int:
    """The status of one request, spoken by hand: no client's retries or pools in the way."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        return _ask(connection, path)


def status_over(path: Path, target: str = "/healthz") -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        return _ask(connection, target)


def _ask(connection: socket.socket, path: str) -> int:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return int(connection.makefile("rb").readline().split()[1])


def until(happens: object, *, within: float = PATIENCE) -> None:
    """Wait for a condition that another process brings about."""
    assert callable(happens)
    deadline = time.monotonic() + within
    while not happens():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
