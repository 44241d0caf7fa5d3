"""Bundles that the operator makes and restores, on the machine of the server: no server has to run.

This is of workspaces and crews, by the parts of the operations that administrators call. `instance_bundles` is of the
instance.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import SecretStr

from crewship.process import keys
from crewship.process.database import Access, StartError
from crewship.process.process import declare, start
from models.base import new_id
from models.kernel import AuditEffect
from models.people.workspaces import Role
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.passwords import Passwords
from resolvers.instance.settings import Settings
from resolvers.kernel.store.connection import connect
from resolvers.kernel.store.database import database
from resolvers.oversight.backups.dumping import DumpedPlace
from resolvers.oversight.backups.locking import locked
from resolvers.oversight.backups.making import CreateBackup, make
from resolvers.oversight.backups.outputs import BackupCreated, BackupManifest, BackupScopeLevel, shown
from resolvers.oversight.backups.places import folder_of, workspace_of
from resolvers.oversight.backups.restoring import BackupRestored, Place, RestoreBackup, bring, check_scope

EVERYTHING: Final = {"crewship.workspaces": "*"}
OPERATOR: Final = {"user_id": "", "email": "", "role": "OPERATOR"}
POOL: Final = 4
WORKSPACE: Final = "SELECT id, slug FROM workspaces WHERE id = $1 OR slug = $1 ORDER BY id = $1 DESC LIMIT 1"
CREW: Final = """
    SELECT id FROM crews WHERE workspace_id = $1 AND deleted_at IS NULL AND (id = $2 OR slug = $2)
    ORDER BY id = $2 DESC LIMIT 1
"""
OWNERS: Final = """
    SELECT user_id FROM memberships WHERE workspace_id = $1 AND role = 'OWNER' AND accepted_at IS NOT NULL
    ORDER BY created_at, id
"""
PERSON: Final = "SELECT id FROM users WHERE lower(email) = lower($1)"
AUDIT: Final = """
    INSERT INTO audit_logs (id, workspace_id, actor_type, action, effect, entity_type, entity_id, data, created_at)
    VALUES ($1, $2, 'system', $3, $4, 'backup', $5, $6::text::jsonb, now())
"""


@dataclass(frozen=True)
class Seal:
    """Who can open the bundle: one of the three."""

    passphrase: str | None = field(default=None, repr=False)
    recipient: str | None = None
    none: bool = False


@contextlib.asynccontextmanager
async def working_on(settings: Settings, access: Access) -> AsyncIterator[None]:
    """The services of an instance that bundles need. Raises KeysError without the keys."""
    settings = keys.with_stored(settings)
    if not keys.wrapping_keys(settings) or settings.nextauth_secret is None:
        raise keys.without_key(settings)
    declare()
    passwords = Passwords(threads=1)
    start(settings.model_copy(update={"database_url": SecretStr(access.application)}), passwords)
    await database.open(access.application, size=POOL, row_security=settings.row_level_security)
    try:
        yield
    finally:
        await database.close()
        passwords.close()


async def create(
    settings: Settings, access: Access, workspace: str, crew: str | None, level: str, seal: Seal, folder: Path | None
) -> BackupCreated:
    """A bundle of a workspace, or of a crew of it, named by slug or id. Raises StartError, Refusal."""
    async with working_on(settings, access):
        found = await _workspace(access, workspace)
        if found is None:
            raise StartError(f"there is no workspace {workspace}")
        source = DumpedPlace(found[0], None if crew is None else await _crew(access, found[0], crew))
        asked = CreateBackup(
            scope="workspace", passphrase=seal.passphrase, recipient=seal.recipient, no_encrypt=seal.none or None
        )
        target = folder or folder_of(found[0])
        async with locked(found[0], "operator"):
            made = await make(source, target, BackupScopeLevel(level), asked, OPERATOR)
        await _note(access, found[0], "backup.create", made.path, scope=made.scope, size_bytes=made.size_bytes)
    return made


async def restore(
    settings: Settings, access: Access, path: Path, data: RestoreBackup, workspace: str | None, owner: str | None
) -> BackupRestored:
    """Restores a bundle of a workspace: into the one of its id or slug, into `workspace`, or beside the others.

    `owner`: the address of the person who becomes the owner of a new workspace; without it, the owner of the one that
    the bundle was made of. Raises StartError, Refusal, BundleError.
    """
    async with working_on(settings, access):
        bundle = await asyncio.to_thread(Bundle, path)
        try:
            manifest: BackupManifest = shown(BackupManifest, bundle.manifest)
            check_scope(data, manifest)
            place = await _place(access, workspace_of(bundle.manifest), data, workspace, owner)
            async with _held(place):
                restored = await bring(bundle, manifest, place, data)
        finally:
            await asyncio.to_thread(bundle.close)
        if not data.dry_run:
            told = {"rows_inserted": restored.rows_inserted, "replace": data.replace}
            await _note(access, restored.restored_workspace_id, "backup.restore", str(path), **told)
    return restored


@contextlib.asynccontextmanager
async def _held(place: Place) -> AsyncIterator[None]:
    if not place.id:
        yield
        return
    async with locked(place.id, place.caller):
        yield


async def _place(
    access: Access, of: dict[str, Any], data: RestoreBackup, workspace: str | None, owner: str | None
) -> Place:
    found = None
    for name in [workspace] if workspace is not None else [of.get("id"), of.get("slug")]:
        found = found or (await _workspace(access, str(name)) if name else None)
    if found is None and not data.as_workspace:
        raise StartError(
            f"there is no workspace {workspace or of.get('slug')}; name one with --workspace,"
            " or make one from the bundle with --as-workspace and --owner"
        )
    conn = await connect(access.owner, EVERYTHING)
    try:
        owners = [row[0] for row in await conn.fetch(OWNERS, found[0])] if found is not None else []
        caller = owners[0] if owners else None
        if owner is not None:
            caller = await conn.fetchval(PERSON, owner)
            if caller is None:
                raise StartError(f"there is no user {owner}")
    finally:
        await conn.close()
    if caller is None:
        raise StartError("name the owner of the workspace by the address of a user, with --owner")
    id, slug = found or ("", "")
    return Place(id, slug, caller, Role.OWNER, frozenset(owners))


async def _workspace(access: Access, named: str) -> tuple[str, str] | None:
    conn = await connect(access.owner, EVERYTHING)
    try:
        row = await conn.fetchrow(WORKSPACE, named)
    finally:
        await conn.close()
    return None if row is None else (row["id"], row["slug"])


async def _crew(access: Access, workspace_id: str, named: str) -> str:
    conn = await connect(access.owner, EVERYTHING)
    try:
        found = await conn.fetchval(CREW, workspace_id, named)
    finally:
        await conn.close()
    if found is None:
        raise StartError(f"there is no crew {named} in this workspace")
    return str(found)


async def _note(access: Access, workspace_id: str, action: str, path: str, **data: Any) -> None:
    """The actor is no user: the audit row says `system`."""
    effect = AuditEffect.restored if action == "backup.restore" else AuditEffect.updated
    conn = await connect(access.owner, EVERYTHING)
    try:
        told = orjson.dumps({"by": "operator", **data}).decode()
        await conn.execute(AUDIT, new_id(), workspace_id, action, effect.value, path, told)
    finally:
        await conn.close()


def default_folder(settings: Settings) -> Path:
    """The directory of bundles, of which the service knows."""
    return settings.data_dir / "backups"
