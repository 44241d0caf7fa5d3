"""Dumps of the database by PostgreSQL's own programs: `pg_dump` out of a snapshot, `pg_restore` in one transaction.

The owner of the tables dumps: row-level security stays on, and the scope of the session makes all rows visible.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from crewship.process.postgres_child import PostgresError, User, binaries_for
from models.address import Address

PIECE: Final = 4 << 20  # bytes of the dump that an entry of a bundle holds
DUMP: Final = (
    "--format=custom", "--compress=0", "--enable-row-security", "--no-owner", "--no-privileges", "--no-publications",
    "--no-subscriptions", "--no-security-labels", "--no-tablespaces",
)  # fmt: skip
RESTORE: Final = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
EVERYTHING: Final = "-c crewship.workspaces=* -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
SAID: Final = 1500  # characters of what a program said


def _command(program: str, dsn: str, *options: str) -> tuple[list[str], dict[str, str]]:
    """The password is in the environment of the child, which other users cannot read."""
    address = Address.read(dsn)
    url = Address(address.hosts, address.user, "", address.database, address.parameters).libpq
    environment = {"LC_ALL": "C", "PATH": os.defpath, "PGOPTIONS": EVERYTHING, "PGPASSWORD": address.password}
    kept = {name: value for name, value in os.environ.items() if name in ("PGPASSFILE", "PGSSLROOTCERT", "HOME")}
    return [str(binaries_for(User()) / program), *options, f"--dbname={url}"], kept | environment


def _failed(program: str, said: IO[bytes]) -> PostgresError:
    said.seek(0)
    return PostgresError(f"{program} failed: {said.read().decode(errors='replace')[-SAID:].strip()}")


def dumped(dsn: str, snapshot: str) -> Iterator[bytes]:
    """The dump of the whole database as an exported snapshot sees it. Raises PostgresError."""
    command, environment = _command("pg_dump", dsn, *DUMP, f"--snapshot={snapshot}")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own program, with our own arguments
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout is not None
        try:
            while piece := process.stdout.read(PIECE):
                yield piece
            if process.wait():
                raise _failed("pg_dump", said)
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()


class Restoring:
    """A dump on its way into an empty database. PostgreSQL commits nothing before the last piece has come, and the last
    piece is kept back until `commit`.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
        self._process, self._said, self._held = process, said, b""

    def write(self, piece: bytes) -> None:
        """Raises PostgresError."""
        held, self._held = self._held, piece
        self._send(held)

    def commit(self) -> None:
        """Raises PostgresError; nothing is in the database then."""
        self._send(self._held)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._process.wait():
            raise _failed("pg_restore", self._said)

    def _send(self, piece: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(piece)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._process.wait()
            raise _failed("pg_restore", self._said) from None


@contextmanager
def restoring(dsn: str) -> Iterator[Restoring]:
    """Everything is rolled back unless `commit` was called."""
    command, environment = _command("pg_restore", dsn, *RESTORE)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - the same
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            yield Restoring(process, said)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with contextlib.suppress(BrokenPipeError):
                assert process.stdin is not None
                process.stdin.close()
