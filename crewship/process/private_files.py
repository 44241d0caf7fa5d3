"""Files and directories of this user alone, written whole or not at all."""

import os
from pathlib import Path

from crewship.process.postgres_child import PostgresError


def make_private(directory: Path) -> None:
    """Creates a directory for this user alone; an existing one is unchanged. Raises PostgresError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fix = f"let uid {os.geteuid()} write there, or set CREWSHIP_DATA_DIR"
        raise PostgresError(f"the directory {directory} cannot be created ({error.strerror}); {fix}") from error


def write_secret(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    aside.replace(path)
