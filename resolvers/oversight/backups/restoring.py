"""A bundle is restored: over the workspace, in place of it, or beside it under new ids."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.base import new_id
from models.people.workspaces import Membership, Role, Workspace
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.files import has_room
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.bundles.sealing import is_identity
from resolvers.kernel import Absent, Action, Code, Context, Input, Output, Refusal, Slug, command, instance, invalid
from resolvers.kernel.store.copying import Landing, landing
from resolvers.oversight.backups.arriving import (
    BAD_IDENTITY,
    ArrivingPayload,
    check_schema,
    checked_head,
    identity_for,
    payload_of,
)
from resolvers.oversight.backups.counting import NOTHING_NEW, RESTORE, counters
from resolvers.oversight.backups.landing import (
    Landed,
    bring_keys,
    empty,
    find_members,
    join,
    land_files,
    land_people,
    land_skills,
    land_tables,
    land_workspace,
)
from resolvers.oversight.backups.locking import locked
from resolvers.oversight.backups.making import NO_ROOM
from resolvers.oversight.backups.naming import CrewNames
from resolvers.oversight.backups.outputs import BackupManifest, BackupScope, shown
from resolvers.oversight.backups.places import MISSING, allowed, crew_of, workspace_of
from resolvers.oversight.backups.rows import Passage
from resolvers.people.workspaces.workspaces import may_be_called

NOT_BOUND: Final = "The bundle belongs to another workspace"
ONE_AS: Final = "as_workspace and as_crew exclude each other"
NOT_WITH_REPLACE: Final = "replace excludes as_workspace and as_crew"
ONLY_WORKSPACES: Final = "as_workspace and replace are for bundles of a workspace"
ONLY_CREWS: Final = "as_crew is for bundles of a crew"
NO_INSTANCE: Final = "A bundle of the instance is restored by `crewship backup restore`"
NOT_OF_A_CREW: Final = "The manifest of the bundle does not name its crew"
NO_FILES_ONLY: Final = "files_only is not offered: a restore brings files together with their rows"
Word = Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION)]
Switch = Annotated[bool, Field(strict=True)]


class RestoreBackup(Input):
    """`as_workspace`: the slug of a new workspace, in which all ids are new. `as_crew`: the slug of a new crew, with
    new ids, in a new workspace of that slug, or `beside` the crews of this workspace. `replace` first removes the
    rows of the workspace. Without any, rows whose ids are there stay as they are. `dry_run` writes nothing.
    """

    path: Annotated[str, Field(strict=True, max_length=bounds.URL)] = ""
    passphrase: Word | None = None
    identity: Word | None = None
    as_workspace: Slug | None = None
    as_crew: Slug | None = None
    beside: Switch = False
    replace: Switch = False
    files_only: Switch = False
    dry_run: Switch = False

    @property
    def new_workspace(self) -> str | None:
        """The slug of one that is made."""
        return self.as_workspace or (None if self.beside else self.as_crew)


class SecurityLevelClamp(Output):
    """A credential whose security level was out of range in the bundle."""

    credential_id: str
    name: Annotated[str | None, Absent()] = None
    to: int


class BackupRestored(Output):
    """A bundle that was restored. In a dry run nothing was written, and `rows_inserted` is the number of rows that a
    restore would insert.
    """

    manifest: BackupManifest
    restored_ws: str
    restored_workspace_id: str
    crews_count: int
    crews_restored: int
    rows_inserted: int
    docker_phase_skipped: bool
    dropped_crew_filesystems: list[str] | None
    security_level_clamped: int
    security_level_clamps: list[SecurityLevelClamp] | None


@dataclass(frozen=True, slots=True)
class Place:
    """The workspace of the caller, and who calls."""

    id: str
    slug: str
    caller: str
    role: Role
    owners: frozenset[str]


@command(
    "backups.restore",
    Action.MANAGE,
    audit="backup.restore",
    errors=(Code.PAYMENT_REQUIRED, Code.NOT_FOUND, Code.FORBIDDEN, Code.CONFLICT, Code.UNAVAILABLE),
    late=True,
    secret=True,
)
async def restore_backup(ctx: Context, data: RestoreBackup) -> BackupRestored:
    """Restore a backup.

    In one transaction: if anything is wrong, no row is written. People are found by their addresses, and accept their
    memberships anew. Work that was under way is cancelled.

    FORBIDDEN for a bundle of another workspace. CONFLICT if nothing is to be restored, if the slug is taken, or while a
    backup is under way. PAYMENT_REQUIRED for a new crew if the license allows no further one.
    """
    try:
        with counters.failures_of(RESTORE, counted=not data.dry_run):
            restored = await _restored(ctx, data)
    except BundleError as error:
        raise Refusal(Code.BAD_REQUEST, str(error)) from error
    if not data.dry_run:
        counters.restored()
    return restored


async def _restored(ctx: Context, data: RestoreBackup) -> BackupRestored:
    place = await _place(ctx)
    bundle = await asyncio.to_thread(_opened, data.path)
    try:
        manifest = _bound(bundle, place)
        if data.identity is not None and not is_identity(data.identity):
            raise invalid("identity", BAD_IDENTITY)
        check_scope(data, manifest)
        if data.new_workspace:
            await may_be_called(ctx, data.new_workspace)
        async with locked(place.id, place.caller):
            restored = await bring(bundle, manifest, place, data)
            await ctx.begin()
            action = "backup.restore.dry_run" if data.dry_run else "backup.restore"
            rows, into = restored.rows_inserted, restored.restored_workspace_id
            ctx.audit("backup", data.path, action=action, replace=data.replace, rows_inserted=rows, into=into)
    finally:
        await asyncio.to_thread(bundle.close)
    return restored


async def _place(ctx: Context) -> Place:
    own = await ctx.get(Workspace, ctx.workspace_id or "")
    owners = await ctx.select(Membership, col(Membership.role) == Role.OWNER, including_hidden=True).all()
    assert ctx.role is not None
    return Place(own.id, own.slug, ctx.user_id, ctx.role, frozenset(member.user_id for member in owners))


def _opened(path: str) -> Bundle:
    found = allowed(path)
    try:
        return Bundle(found)
    except FileNotFoundError:
        raise Refusal(Code.NOT_FOUND, MISSING) from None
    except OSError:
        raise Refusal(Code.NOT_FOUND, MISSING) from None


def _bound(bundle: Bundle, place: Place) -> BackupManifest:
    """Bound to the caller's workspace by id or slug."""
    of = workspace_of(bundle.manifest)
    if of.get("id") != place.id and of.get("slug") != place.slug:
        raise Refusal(Code.FORBIDDEN, NOT_BOUND)
    try:
        return shown(BackupManifest, bundle.manifest)  # type: ignore[no-any-return]
    except ValueError as error:
        raise Refusal(Code.BAD_REQUEST, "The manifest of the bundle is not valid") from error


def check_scope(data: RestoreBackup, manifest: BackupManifest) -> None:
    """BAD_REQUEST for parameters that do not go together, or not with this bundle."""
    if data.as_workspace and data.as_crew:
        raise Refusal(Code.BAD_REQUEST, ONE_AS)
    if (data.as_workspace or data.as_crew) and data.replace:
        raise Refusal(Code.BAD_REQUEST, NOT_WITH_REPLACE)
    if manifest.scope is BackupScope.instance:
        raise Refusal(Code.BAD_REQUEST, NO_INSTANCE)
    if manifest.scope is BackupScope.crew and (data.as_workspace or data.replace):
        raise Refusal(Code.BAD_REQUEST, ONLY_WORKSPACES)
    if manifest.scope is BackupScope.workspace and data.as_crew:
        raise Refusal(Code.BAD_REQUEST, ONLY_CREWS)
    if data.beside and not data.as_crew:
        raise invalid("beside", "requires as_crew")
    if manifest.scope is BackupScope.crew and len(manifest.contents.crews or ()) != 1:
        raise BundleError(BundleFault.invalid_manifest, NOT_OF_A_CREW)
    if data.files_only:
        raise Refusal(Code.BAD_REQUEST, NO_FILES_ONLY)


async def bring(bundle: Bundle, manifest: BackupManifest, place: Place, data: RestoreBackup) -> BackupRestored:
    """Restores a bundle by these parameters; who may do so was asked before."""
    check_schema(bundle.manifest)
    identity = await identity_for(bundle, data.passphrase, data.identity)
    await asyncio.to_thread(bundle.check)
    if not has_room(str(instance.settings.data_dir), manifest.checksums.content_bytes or 0):
        raise Refusal(Code.UNAVAILABLE, NO_ROOM)
    target = new_id() if data.new_workspace else place.id
    crew = crew_of(bundle.manifest).get("id")
    passage = Passage(
        source=str(workspace_of(bundle.manifest)["id"]),
        target=target,
        copies=bool(data.as_workspace or data.as_crew),
        caller=place.caller,
        role=place.role,
        owners=place.owners,
        now=datetime.now(UTC).isoformat(" ").encode(),
        names=None if crew is None else CrewNames(str(crew).encode(), data.as_crew),
    )
    landed = Landed()
    kept = False
    try:
        async with landing(target) as rows, payload_of(bundle, identity) as payload:
            await _land(rows, payload, bundle, passage, data, landed)
            if not data.dry_run:
                await land_files(payload, passage, landed, replace=data.replace)
        kept = not data.dry_run
    finally:
        if not kept:
            await asyncio.shield(_discard(target, data, landed))
    return _told(manifest, passage, data, place, landed)


async def _discard(target: str, data: RestoreBackup, landed: Landed) -> None:
    """Removes the folders that the restore made."""
    if data.new_workspace:
        await instance.store.discard("workspaces", target)
        return
    for folder in landed.folders:
        await instance.store.discard("workspaces", target, *folder)


async def _land(
    rows: Landing, payload: ArrivingPayload, bundle: Bundle, passage: Passage, data: RestoreBackup, landed: Landed
) -> None:
    tables, keys = await checked_head(payload, bundle.manifest, crew_of(bundle.manifest).get("id"))
    if data.replace:
        await empty(rows, passage.target)
    landed.rows += await land_workspace(rows, passage, payload.rows_of("workspaces", bytes), data.new_workspace)
    await bring_keys(rows, passage, keys, beside=data.beside)
    if passage.names is None:
        landed.rows += await land_people(rows, passage, tables["users"], payload.rows_of("users", bytes))
    else:
        await passage.names.look(rows, passage.target)
        await find_members(rows, passage, tables["users"], payload.rows_of("users", bytes))
    landed.rows += await land_skills(rows, passage, tables["skills"], payload.rows_of("skills", bytes))
    await land_tables(rows, passage, tables, payload, landed)
    await join(rows, passage)
    if not landed.rows and not data.replace and not data.dry_run:
        raise Refusal(Code.CONFLICT, NOTHING_NEW)
    if not data.dry_run:
        rows.keep()


def _told(
    manifest: BackupManifest, passage: Passage, data: RestoreBackup, place: Place, landed: Landed
) -> BackupRestored:
    return BackupRestored(
        manifest=manifest,
        restored_ws=data.new_workspace or place.slug,
        restored_workspace_id=passage.target,
        crews_count=len(manifest.contents.crews or ()),
        crews_restored=len(landed.crews),
        rows_inserted=landed.rows,
        docker_phase_skipped=passage.copies and not landed.crews,
        dropped_crew_filesystems=None,
        security_level_clamped=0,
        security_level_clamps=None,
    )
