"""PostgreSQL's client programs, run by this user: pg_basebackup, pg_verifybackup and others."""

import asyncio
import contextlib
import os
import subprocess
from pathlib import Path
from typing import IO, Final

from crewship.process.postgres import ADMIN, Connection
from crewship.process.postgres_child import PostgresError, User, binaries_for, popen

SAID: Final = 800  # characters of a program's output in an error


def _command(program: str, *options: str | Path, connection: Connection | None) -> tuple[list[str], dict[str, str]]:
    """The password is in the environment of the child, which other users cannot read, as they can its arguments."""
    command = [str(binaries_for(User()) / program), *map(str, options)]
    if connection is None:
        return command, {}
    host = "127.0.0.1" if connection.sockets is None else str(connection.sockets)
    login = [f"--host={host}", f"--port={connection.port}", f"--username={ADMIN}", "--no-password"]
    return [*command, *login], {"PGPASSWORD": connection.passwords[ADMIN]}


def started(program: str, *options: str | Path, connection: Connection, output: IO[bytes]) -> "subprocess.Popen[bytes]":
    """A program that logs in as the administrator, and ends with the thread that called this."""
    command, environment = _command(program, *options, connection=connection)
    return popen(command, User(), [], output, environment=environment)


async def called(program: str, *options: str | Path, connection: Connection | None = None) -> str:
    """Returns the output of a program. `connection`: it logs in as the administrator. Raises PostgresError."""
    command, environment = _command(program, *options, connection=connection)
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"LC_ALL": "C", "PATH": os.defpath} | environment,
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    said = output.decode(errors="replace").strip()
    if process.returncode:
        raise PostgresError(f"{program} failed: {said[-SAID:]}")
    return said
