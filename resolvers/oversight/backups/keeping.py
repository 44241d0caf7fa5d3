"""Bundles that are there: listed, inspected, verified, sent and deleted; and the lock."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.oversight.backups import BackupLock
from models.people.auth import User
from resolvers.instance.bundles.rotation import named, outdated
from resolvers.instance.store import Opened
from resolvers.kernel import (
    REST_ONLY,
    Action,
    Code,
    Context,
    Input,
    NoInput,
    Refusal,
    Success,
    command,
    instance,
    procedure,
)
from resolvers.oversight.backups.counting import counters
from resolvers.oversight.backups.outputs import (
    BackupEntry,
    BackupList,
    BackupLockStatus,
    BackupManifest,
    BackupMetrics,
    BackupScope,
    BackupsRotated,
    BackupVerification,
    shown,
)
from resolvers.oversight.backups.places import MISSING, FoundBundle, allowed, bundles_of, deletable, is_whole, opened

T = TypeVar("T")
NEITHER: Final = "keep_last or keep_days must be above 0"
NOT_THE_OWNER: Final = "Only the user whose address is CREWSHIP_OWNER_EMAIL can read the counters"
MEDIA_TYPE: Final = "application/zstd"
Number = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


class OfBackup(Input):
    """`path`: as it was given out."""

    path: Annotated[str, Field(strict=True, max_length=bounds.URL)] = ""


class RotateBackups(Input):
    """A bundle is deleted if it is beyond the `keep_last` newest, or older than `keep_days` days. 0 is no limit."""

    keep_last: Number = 0
    keep_days: Number = 0
    dry_run: Annotated[bool, Field(strict=True)] = False


@procedure("backups.list", Action.MANAGE, late=True)
async def list_backups(ctx: Context, data: NoInput) -> BackupList:
    """List backups.

    The bundles of the workspace in the server's directory of backups, newest first. Damaged ones have an `error`.
    """
    return BackupList(data=await asyncio.to_thread(_entries, ctx.workspace_id or ""))


def _entries(workspace_id: str) -> list[BackupEntry]:
    found = [_entry(each) for each in bundles_of(workspace_id)]
    return sorted(found, key=lambda entry: (entry.created_at, entry.path), reverse=True)


def _entry(found: FoundBundle) -> BackupEntry:
    file: dict[str, Any] = {"path": str(found.path), "file_name": found.path.name, "size_bytes": found.size}
    file |= {"created_at": found.at, "error": found.error or None}
    if found.manifest is None:
        scope = named(found.path.name, 0).scope or BackupScope.workspace
        return BackupEntry(**file, scope=BackupScope(scope), encrypted=False)
    told = shown(BackupManifest, found.manifest)
    return BackupEntry(
        **file,
        scope=told.scope,
        scope_level=told.scope_level,
        encrypted=told.encryption.enabled,
        format_version=told.format_version,
    )


async def _with_bundle(ctx: Context, path: str, read: Callable[[Any, BackupManifest], T]) -> T:
    """Reads a bundle of this workspace, in a thread."""

    def ask() -> T:
        with opened(path, ctx.workspace_id or "") as bundle:
            try:
                manifest = shown(BackupManifest, bundle.manifest)
            except ValueError:
                raise Refusal(Code.NOT_FOUND, MISSING) from None
            return read(bundle, manifest)

    return await asyncio.to_thread(ask)


@procedure("backups.inspect", Action.MANAGE, errors=(Code.NOT_FOUND,), late=True)
async def inspect_backup(ctx: Context, data: OfBackup) -> BackupManifest:
    """Get the manifest of a backup.

    Requires no passphrase.
    """
    return await _with_bundle(ctx, data.path, lambda _, manifest: manifest)


@procedure("backups.verify", Action.MANAGE, errors=(Code.NOT_FOUND,), late=True)
async def verify_backup(ctx: Context, data: OfBackup) -> BackupVerification:
    """Check a backup.

    Reads the whole bundle and compares its checksums. Requires no passphrase: the payload is not opened.
    """

    def verified(bundle: Any, manifest: BackupManifest) -> BackupVerification:
        fault = bundle.fault()
        return BackupVerification(valid=not fault, size_bytes=bundle.size, manifest=manifest, error=fault)

    return await _with_bundle(ctx, data.path, verified)


@command(
    "backups.download",
    Action.MANAGE,
    audit="backup.download",
    errors=(Code.NOT_FOUND,),
    surfaces=REST_ONLY,
    late=True,
)
async def download_backup(ctx: Context, data: OfBackup) -> Opened:
    """Get a backup as a file.

    Returns the bundle as it was written.
    """

    def opening() -> Opened:
        opened(data.path, ctx.workspace_id or "").close()
        path = allowed(data.path)
        try:
            file = FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            raise Refusal(Code.NOT_FOUND, MISSING) from None
        found = os.fstat(file.fileno())
        tag = f"{found.st_ino:x}-{found.st_size:x}-{found.st_ctime_ns:x}"
        return Opened(file, path.name, found.st_size, tag, MEDIA_TYPE, cached=False)

    file = await asyncio.to_thread(opening)
    try:
        await ctx.begin()
        ctx.audit("backup", data.path, size_bytes=file.size)
    except BaseException:
        file.close()
        raise
    return file


@command("backups.delete", Action.MANAGE, audit="backup.delete", errors=(Code.NOT_FOUND,), late=True)
async def delete_backup(ctx: Context, data: OfBackup) -> Success:
    """Delete a backup.

    The file cannot be brought back.
    """
    await asyncio.to_thread(_delete, data.path, ctx.workspace_id or "")
    await ctx.begin()
    ctx.audit("backup", data.path)
    return Success()


def _delete(path: str, workspace_id: str) -> None:
    try:
        deletable(path, workspace_id).unlink()
    except OSError:
        raise Refusal(Code.NOT_FOUND, MISSING) from None


@command("backups.rotate", Action.MANAGE, audit="backup.rotate", late=True)
async def rotate_backups(ctx: Context, data: RotateBackups) -> BackupsRotated:
    """Delete old backups.

    Deletes bundles of the workspace by number and by age. A damaged bundle takes no place among the newest, and
    bundles that are not whole do not replace an older one that is.
    """
    if not data.keep_last and not data.keep_days:
        raise Refusal(Code.BAD_REQUEST, NEITHER)
    deleted = await asyncio.to_thread(_rotate, ctx.workspace_id or "", data)
    if deleted and not data.dry_run:
        await ctx.begin()
        for path in deleted:
            ctx.audit("backup", path)
    return BackupsRotated(deleted=deleted or None, dry_run=data.dry_run)


def _rotate(workspace_id: str, data: RotateBackups) -> list[str]:
    found = [_Aged(Path(entry.path), entry.created_at, entry.error is not None) for entry in _entries(workspace_id)]
    gone = outdated(found, data.keep_last, data.keep_days, lambda each: is_whole(each.path))
    return [str(each.path) for each in gone if data.dry_run or _is_deleted(each.path)]


@dataclass(frozen=True, slots=True)
class _Aged:
    path: Path
    at: datetime
    damaged: bool


def _is_deleted(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


@procedure("backups.lock", Action.MANAGE)
async def backup_lock(ctx: Context, data: NoInput) -> BackupLockStatus:
    """Get the lock of backups.

    Says who makes or restores a backup of the workspace now.
    """
    held = await ctx.select(BackupLock, col(BackupLock.expires_at) > await ctx.now()).first()
    if held is None:
        return BackupLockStatus(held=False, workspace_id=ctx.workspace_id)
    return BackupLockStatus(
        held=True,
        workspace_id=held.workspace_id,
        acquired_by=held.acquired_by,
        acquired_at=held.acquired_at,
        expires_at=held.expires_at,
    )


@procedure("backups.metrics", Action.MANAGE, errors=(Code.FORBIDDEN,))
async def backup_metrics(ctx: Context, data: NoInput) -> BackupMetrics:
    """Get counters of backups.

    Counts what this process of the server has backed up and restored since it started. FORBIDDEN for everybody but the
    user whose address is CREWSHIP_OWNER_EMAIL.
    """
    owner = instance.settings.owner_email
    caller = await ctx.select(User, col(User.id) == ctx.user_id).one()
    if owner is None or caller.email.lower() != owner.lower():
        raise Refusal(Code.FORBIDDEN, NOT_THE_OWNER)
    now = await ctx.now()
    held = await ctx.select(BackupLock, col(BackupLock.expires_at) > now).first()
    return counters.report({} if held is None else {held.workspace_id: int((now - held.acquired_at).total_seconds())})


@command("backups.unlock", Action.MANAGE, audit="backup.unlock")
async def release_backup_lock(ctx: Context, data: NoInput) -> Success:
    """Remove the lock of backups.

    For a lock whose process has died; it expires by itself after an hour. Not an error if no lock is held.
    """
    await ctx.delete_where(BackupLock)
    ctx.audit("WORKSPACE", ctx.workspace_id)
    return Success()
