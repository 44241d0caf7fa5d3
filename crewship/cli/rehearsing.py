"""A rehearsal of a restore: a bundle of an instance is restored into a server that is removed afterwards."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from crewship.cli.audit import verified
from crewship.cli.backup_files import made_at, newest, opened
from crewship.cli.reseal import opened_vault, places
from crewship.process import instance_bundles
from crewship.process.database import Access, StartError, existing_database
from crewship.process.keys import KEYS, KeysError
from crewship.process.postgres_child import PostgresError
from models.base import table_of
from models.sealed import Sealed
from resolvers.instance.bundles.faults import BundleError
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.settings import Settings
from resolvers.instance.vault import Unopenable
from resolvers.kernel.store.connection import connect
from resolvers.oversight.audit.verification import Fault
from resolvers.oversight.backups.outputs import BackupScope

MOST_SECRETS: Final = 50  # of each column
SECRETS: Final = "SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY id LIMIT {most}"
NAMES: Final = {"audit_rows": "auditRows", "audit_faults": "auditFaults"}
ONLY_INSTANCES: Final = (
    "a bundle of the instance can be rehearsed; try one of a workspace with `crewship backup restore --as-workspace"
    " NAME --dry-run`"
)


@dataclass
class Rehearsed:
    """`ok` if the rows are as many as the manifest says, every secret that was tried opens, and the audit log is as it
    was sealed. `differing`: tables with another number of rows.
    """

    ok: bool = False
    rows: int = 0
    differing: list[str] = field(default_factory=list)
    files: int = 0
    secrets: int = 0
    unopenable: int = 0
    audit_rows: int = 0
    audit_faults: int = 0
    seconds: float = 0.0
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Returns it with the keys of a JSON document."""
        return {NAMES.get(name, name): value for name, value in asdict(self).items()}


def rehearsed(
    settings: Settings,
    name: str | None,
    folder: str | None,
    identity: Callable[[Bundle], str | None],
    within: Path | None,
) -> dict[str, Any]:
    """Rehearses a bundle, or the newest file of the folder; the result says if it is damaged. Raises StartError, also
    for a bundle of a workspace.
    """
    if name is None:
        chosen = newest(settings, folder)
        path, at = str(chosen["path"]), str(chosen["createdAt"])
    else:
        path, at = name, ""
    try:
        with opened(settings, path) as bundle:
            at = bundle.manifest["created_at"]
            if bundle.manifest["scope"] != BackupScope.instance:
                raise OfAWorkspace(ONLY_INSTANCES)
            done = rehearse(settings, bundle, partial(identity, bundle), within)
    except (BundleError, StartError) as error:
        if isinstance(error, OfAWorkspace) or (isinstance(error, StartError) and name is not None):
            raise
        done = Rehearsed(error=str(error))
    return {"path": path, "createdAt": at or made_at(path), **done.as_dict()}


class OfAWorkspace(StartError):
    """The bundle is none of an instance."""


def rehearse(settings: Settings, bundle: Bundle, identity: Callable[[], str | None], within: Path | None) -> Rehearsed:
    """Faults of the bundle are in the result."""
    done, began = Rehearsed(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crewship-rehearsal-", dir=within) as place:
        try:
            _try(_scratch(settings, Path(place)), bundle, identity() or "", done)
        except (BundleError, StartError, KeysError, PostgresError, OSError) as error:
            done.error = str(error)
    done.seconds = round(time.monotonic() - began, 1)
    done.ok = not (done.error or done.differing or done.unopenable or done.audit_faults)
    return done


def _scratch(settings: Settings, place: Path) -> Settings:
    """Returns the settings of a server without database, files and keys."""
    data_dir = place / "data"
    own: dict[str, Any] = {"data_dir": data_dir, "storage_path": data_dir / "files", "encryption_keys": {}}
    own |= {"socket_path": data_dir / "run" / "crewship.sock", "database_url": None, "migration_database_url": None}
    own |= {"database_direct_url": None, "database_replica_url": None}
    return settings.model_copy(update=own | {key.field: None for key in KEYS if key.field != "encryption_keys"})


def _try(scratch: Settings, bundle: Bundle, identity: str, done: Rehearsed) -> None:
    expected = bundle.manifest["contents"].get("rows") or {}

    def compare(access: Access) -> None:
        found = asyncio.run(_counted(access))
        done.differing = sorted(name for name in found | expected if found.get(name) != expected.get(name))
        done.rows = sum(found.values())

    done.files = instance_bundles.restore(scratch, bundle, identity, then=compare).files
    with existing_database(scratch) as access:
        asyncio.run(_open_secrets(scratch, access, done))

        def count(fault: Fault) -> None:
            done.audit_faults += 1

        done.audit_rows = asyncio.run(verified(scratch, access, None, count)).rows


async def _counted(access: Access) -> dict[str, int]:
    conn = await connect(access.owner, instance_bundles.PATIENT)
    try:
        return await instance_bundles.counted(conn)
    finally:
        await conn.close()


async def _open_secrets(scratch: Settings, access: Access, done: Rehearsed) -> None:
    async with opened_vault(scratch, access) as (conn, vault):
        for model, column in places():
            sql = SECRETS.format(column=column, table=table_of(model).name, most=MOST_SECRETS)
            for row in await conn.fetch(sql):
                where: Any = {"table": model, "column": column, "row_id": row["id"]}
                try:
                    await vault.open(Sealed(row[column]), **where)
                    done.secrets += 1
                except Unopenable:
                    done.unopenable += 1
