"""An import: each workspace in one transaction, which finds what an earlier import has brought.

A transaction a workspace, and no record of what was done: an import that is interrupted has whole workspaces or nothing
of them, and the rows themselves show the next one what is missing. Files have no transaction: each is there as a whole
or not at all, and is found by its path.
"""

import re
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert

from crewship.importing.conversations import land_messages
from crewship.importing.envelopes import Envelopes, keys_in
from crewship.importing.files import land_files
from crewship.importing.landing import Arrival, Filling
from crewship.importing.people import (
    land_members,
    land_people,
    land_skills,
    land_what_people_have,
    land_workspace,
)
from crewship.importing.report import Report
from crewship.importing.source import Row, Source
from crewship.importing.tables import APART, TAKES, UNKNOWN, WITHOUT_PLACE, Take
from crewship.process import keys
from crewship.process.database import Access
from models.base import new_id, table_of
from models.kernel import AuditLog
from resolvers.instance.settings import Settings
from resolvers.instance.store import LocalStore
from resolvers.kernel.background.data_keys import DataKeyStore
from resolvers.kernel.store.copying import landing
from resolvers.kernel.store.database import Pool
from resolvers.oversight.backups.tables import carried

DELETED: Final = "it was deleted"
PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")


class Import:
    """The data directory, and where it goes."""

    def __init__(
        self,
        settings: Settings,
        access: Access,
        source: Source,
        *,
        storage: Path | None = None,
        key_file: Path | None = None,
        dry_run: bool = False,
    ) -> None:
        settings = keys.with_stored(settings)
        own = keys.wrapping_keys(settings)
        if not own:
            raise keys.without_key(settings)
        self._settings, self._access, self._source = settings, access, source
        self._envelopes = Envelopes(keys_in(source.root, key_file), own)
        self._storage, self._dry_run = storage, dry_run
        self.report = Report(source=str(source.path), schema=source.version, dry_run=dry_run)

    async def run(self) -> Report:
        began, first = time.monotonic(), True
        beside = Pool(self._access.application, 1)
        try:
            vault = keys.vault(self._settings, DataKeyStore(beside.lease))
            for row in self._source.rows("workspaces"):
                if (reason := _unwanted(row)) is not None:
                    told = self.report.of("workspaces")
                    told.read += 1
                    told.leave_out(reason, str(row["id"]))
                    continue
                async with landing(str(row["id"]), self._access.application) as rows:
                    arrival = Arrival(
                        source=self._source,
                        report=self.report,
                        rows=rows,
                        vault=vault,
                        envelopes=self._envelopes,
                        workspace=str(row["id"]),
                        dry_run=self._dry_run,
                    )
                    if await self._land(arrival, row, first=first):
                        first = False
                        if not self._dry_run:
                            rows.keep()
        finally:
            await beside.close()
        self._tell_the_rest()
        self.report.seconds = time.monotonic() - began
        return self.report

    async def _land(self, arrival: Arrival, row: Row, *, first: bool) -> bool:
        if not await land_workspace(arrival, row):
            return False
        before = sum(table.imported for table in self.report.tables.values())
        await arrival.bring_key()
        await land_people(arrival, first=first)
        if first:
            await land_what_people_have(arrival)
        await land_members(arrival)
        await land_skills(arrival, first=first)
        for take in _ordered():
            if take.table in self._source.tables:
                await Filling(arrival, take, self._source.tables[take.table]).run()
            if take.table == "chats":
                await land_messages(arrival)
        target = self._settings.storage_path
        await land_files(arrival, LocalStore(target), target, self._storage)
        made = sum(table.imported for table in self.report.tables.values()) - before
        self.report.workspaces.append(str(row["slug"]))
        await _audit(arrival, made)
        return True

    def _tell_the_rest(self) -> None:
        read = {take.table for take in TAKES} | APART
        for name in self._source.tables:
            if name not in read and (rows := self._source.count(name)):
                self.report.without_place[name] = (rows, WITHOUT_PLACE.get(name, UNKNOWN))


def _unwanted(row: Row) -> str | None:
    """The reason to leave a workspace out. Its id becomes a scope of the database, where `*` and commas mean more."""
    if row.get("deleted_at"):
        return DELETED
    return None if PLAIN.fullmatch(str(row["id"])) else "its id has other characters than letters and digits"


async def _audit(arrival: Arrival, rows: int) -> None:
    """One entry for the workspace, as a restore writes it."""
    values: dict[str, Any] = {
        "id": new_id(),
        "workspace_id": arrival.workspace,
        "actor_type": "system",
        "action": "workspace.import",
        "effect": "updated",
        "entity_type": "WORKSPACE",
        "entity_id": arrival.workspace,
        "data": {"rows": rows, "schema": arrival.source.version},
    }
    table = table_of(AuditLog)
    await arrival.rows.report(insert(table).values(**values).returning(table.c.id))


def _ordered() -> list[Take]:
    """Each after the tables that it refers to."""
    places = {model: number for number, model in enumerate(carried())}
    return sorted(TAKES, key=lambda take: places.get(take.model, len(places)))
