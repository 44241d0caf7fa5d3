"""Draft a migration from the newest revision to the tables as they are declared now: `python scripts/draft_migration.py
"what changes"`.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from crewship.process.postgres import EmbeddedPostgres
from models.migrations import revisions


def main() -> None:
    if len(sys.argv) != 2 or not sys.argv[1].strip()[:1].isalpha():  # a digit would be read as a part of the revision
        raise SystemExit('usage: make migration m="what changes"')
    with tempfile.TemporaryDirectory(prefix="crewship-") as directory:
        server = EmbeddedPostgres(Path(directory), durable=False)
        try:
            print(asyncio.run(revisions.draft(server.start().owner, sys.argv[1].strip())))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
