"""The archive of the embedded database's log, as `crewship doctor` finds it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from crewship.cli.checks import Check
from crewship.process.database import Access
from crewship.process.postgres import ARCHIVE_SLOT
from crewship.process.wal_archive import IDENTITY, LOST, lines
from models.connections import open_connection
from models.migrations.cluster import KNOWN
from resolvers.instance.bundles.records import ARCHIVE

NAME: Final = "archive of the log"
OLD: Final = timedelta(days=7)
RECEIVING: Final = "SELECT coalesce(bool_or(active), false) FROM pg_replication_slots WHERE slot_name = $1"
BEGIN: Final = "start crewship serve with CREWSHIP_WAL_ARCHIVE; its log has the reason if that fails"
MAKE: Final = "the server tries again, and its log has the reason; or make one now: crewship postgres backup"
ANOTHER: Final = "make another one, so that a restore has less log to read: crewship postgres backup"


async def check_archive(folder: Path, access: Access) -> Check:
    """The newest base backup, the log that was received last, and whether the archive receives it now."""
    connection = await open_connection(access.owner)
    try:
        identity = await connection.fetchval(IDENTITY)
        own = [line for line in lines(folder) if line.identity == identity]
        if not own:
            return Check(NAME, False, f"{folder} has no log of this database", BEGIN)
        fault = await _fault(connection, access)
    finally:
        await connection.close()
    line, found, fix = own[-1], f"{folder}", ""
    if fault is not None:
        found, fix = f"{found}, {fault}", BEGIN
    if bases := line.bases():
        age = datetime.now(UTC) - bases[-1].at
        found += f"; the newest base backup is {_shown(age)} old"
        fix = fix or (ANOTHER if age > OLD else "")
    else:
        found, fix = f"{found}; it has no base backup, so nothing can be restored from it", fix or MAKE
    if (received := line.received()) is not None:
        found += f"; the last log was received at {received:%Y-%m-%d %H:%M:%S} UTC"
    return Check(NAME, fault is None and bool(bases), found, fix)


async def _fault(connection: Any, access: Access) -> str | None:
    """A server that runs for this examination alone archives nothing."""
    if await connection.fetchval(LOST, ARCHIVE_SLOT):
        return "which lacks segments: the server begins anew with a base backup"
    if not access.joined or await connection.fetchval(RECEIVING, ARCHIVE_SLOT):
        return None
    try:
        known = await connection.fetchval(KNOWN, ARCHIVE)
    except asyncpg.UndefinedTableError:
        known = None
    reason = json.loads(known)["failing"] if known else None
    return "which receives nothing" + (f" ({reason})" if reason else "")


def _shown(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{age.days} days"
