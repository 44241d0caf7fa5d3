"""The functions and triggers of the database: `models/sql/<subject>.sql` is the only text of each.

A file can be executed repeatedly. `bring` executes the files that differ from the database's last ones, after the
migrations. Functions that an index or a partition needs must exist before the tables: a migration executes such a file
by its name (`text_of`). See docs/database.md.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

import asyncpg

FOLDER: Final = Path(__file__).parents[1] / "sql"
STATE: Final = "SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class') FROM alembic_version"
"""The revision, and what `bring` noted: a comment, which only the owner of the table may make."""

# `SET search_path FROM CURRENT` of a function stands for this path: the schema of the tables, and the one of temporary
# tables, which belongs to the caller, last. A body may name what a later file creates.
PREPARE: Final = """
    SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true),
        set_config('check_function_bodies', 'off', true)
"""


@cache
def texts() -> Mapping[str, str]:
    """The text of each file, by subject."""
    return {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.sql"))}


def text_of(subject: str) -> str:
    return texts()[subject]


@cache
def digests() -> Mapping[str, str]:
    return {subject: sha256(text.encode()).hexdigest()[:16] for subject, text in texts().items()}


def lacking(brought: str | None) -> list[str]:
    """The files that a database is to be brought to. None where a later release has brought it to others: a process of
    the release before may be started again beside it.
    """
    noted = json.loads(brought) if brought is not None else {}
    known = noted.get("files", {})
    found = [subject for subject, digest in digests().items() if known.get(subject) != digest]
    if found and "release" in noted:
        from packaging.version import Version

        if Version(noted["release"]) > Version(version("crewship")):
            return []
    return found


async def bring(connection: "asyncpg.Connection[asyncpg.Record]", subjects: Iterable[str]) -> None:
    """Executes these files in one transaction. The connection is the owner's and holds the lock of migrations."""
    note = json.dumps({"release": version("crewship"), "files": digests()})
    async with connection.transaction():
        await connection.execute(PREPARE)
        for subject in subjects:
            await connection.execute(text_of(subject))
        await connection.execute(f"COMMENT ON TABLE alembic_version IS '{note}'")
