"""The import of the data directory of the public Go server."""

import asyncio
from pathlib import Path

from crewship.importing.report import Report
from crewship.importing.run import Import
from crewship.importing.source import Source
from crewship.process.database import Access
from resolvers.instance.settings import Settings


def imported(
    settings: Settings, access: Access, path: Path, *, storage: Path | None, key_file: Path | None, dry_run: bool
) -> Report:
    """Raises SourceError, KeysError, and Refusal where rows here contradict those that arrive."""
    source = Source(path)
    try:
        made = Import(settings, access, source, storage=storage, key_file=key_file, dry_run=dry_run)
        return asyncio.run(made.run())
    finally:
        source.close()
