"""Draft a migration from the newest revision to the tables as they are declared now: `python scripts/draft_migration.py "what changes"`."""

import asyncio
import sys
import tempfile
from pathlib import Path

from crewship.postgres import APPLICATION, EmbeddedPostgres
from models import migrations
from models.migrations import revisions


async def draft(dsn: str, message: str) -> Path:
    await migrations.upgrade(dsn, application_role=APPLICATION)
    return await revisions.draft(dsn, message)


def main() -> None:
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        raise SystemExit('usage: make migration m="what changes"')
    with tempfile.TemporaryDirectory(prefix="crewship-") as directory:
        server = EmbeddedPostgres(Path(directory), durable=False)
        try:
            print(asyncio.run(draft(server.start().owner, sys.argv[1].strip())))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
