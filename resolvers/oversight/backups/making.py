"""A bundle is made: rows of one snapshot, while agents work on."""

import asyncio
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models import bounds, migrations
from models.people.auth import User
from models.staff.crews import Crew
from resolvers.instance.bundles import sealing
from resolvers.instance.bundles.files import has_room
from resolvers.instance.bundles.reading import FORMATS
from resolvers.instance.bundles.writing import Payload, write_bundle
from resolvers.kernel import Action, Code, Context, Input, Refusal, command, invalid
from resolvers.kernel.store.copying import snapshot
from resolvers.oversight.backups.counting import CREATE, counters
from resolvers.oversight.backups.dumping import Dumped, DumpedPlace, dump
from resolvers.oversight.backups.locking import locked
from resolvers.oversight.backups.outputs import BackupCreated, BackupScope, BackupScopeLevel
from resolvers.oversight.backups.places import SUFFIX, allowed, clear_unfinished, directory, folder_of

FORMAT: Final = FORMATS[-1]
SCOPES: Final = "must be workspace or crew: an instance is backed up by `crewship backup create`"
ONE_OF: Final = "Exactly one of passphrase, recipient and no_encrypt is required"
BAD_RECIPIENT: Final = "recipient is not an age key (age1…)"
OUTSIDE: Final = "output_dir must be inside the directory of backups"
NO_ROOM: Final = "The server has no space left for a backup"
ROOM: Final = 64 << 20  # bytes that have to be free at least
Word = Annotated[str, Field(strict=True, max_length=bounds.LINE)]
_PAYLOAD: Final = """# A backup of Crewship

`payload` is a tar archive, compressed with zstd{sealed}.
It has the rows of the place (`db/<table>/<number>`, in PostgreSQL's COPY format; `head.json` names the columns) and
its files (`files/<number>.json`, `blobs/<sha256>`).
"""
GUIDE: Final = (
    _PAYLOAD.replace("the place", "the workspace")
    + """
To restore it, put this file into `backups/` of the data directory of a server with a workspace of the same slug. The
operator calls `crewship backup restore <name of this file>` on the machine of the server (`--help` shows the options),
or an administrator of that workspace calls `POST /api/v1/admin/backups/restore` with the path of the file, or
`restoreBackup` in GraphQL:

    {{"path": "/…/backups/<name of this file>"{key}}}

This inserts rows that are missing. With `"replace": true` the bundle takes the place of the workspace; with
`"as_workspace": "new-slug"` it becomes a workspace of its own. `"dry_run": true` writes nothing.
"""
)
GUIDE_OF_A_CREW: Final = (
    _PAYLOAD.replace("the place", "the crew")
    + """
To restore it, put this file into `backups/` of the data directory of the server. The operator calls
`crewship backup restore <name of this file>` on the machine of the server (`--help` shows the options), or an
administrator of the workspace calls `POST /api/v1/admin/backups/restore` with the path of the file, or `restoreBackup`
in GraphQL:

    {{"path": "/…/backups/<name of this file>", "as_crew": "new-slug", "beside": true{key}}}

This makes a new crew beside the others of the workspace. Without `beside` the crew gets a workspace of its own. Without
both, rows that are missing are inserted. `"dry_run": true` writes nothing.
"""
)
GUIDES: Final = {BackupScope.workspace: GUIDE, BackupScope.crew: GUIDE_OF_A_CREW}
SEALED: Final = {
    False: "",
    True: ", and sealed with age. `key`, if there is one, is the identity, sealed with the passphrase",
}
KEY: Final = {False: "", True: ', "passphrase": "…" (or "identity": "AGE-SECRET-KEY-1…")'}


class CreateBackup(Input):
    """`scope` is `workspace`, or `crew` with its `crew_id`. Exactly one of `passphrase`, `recipient` (an age key) and
    `no_encrypt` is required.
    `output_dir` is a folder inside the directory of backups.
    """

    scope: Word = ""
    crew_id: Word | None = None
    scope_level: Word | None = None
    passphrase: Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION)] | None = None
    recipient: Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION)] | None = None
    no_encrypt: Annotated[bool, Field(strict=True)] | None = None
    output_dir: Annotated[str, Field(strict=True, max_length=bounds.URL)] | None = None


def _check(data: CreateBackup) -> tuple[BackupScopeLevel, Path | None]:
    """Refusals in the order of the contract."""
    if data.scope == BackupScope.crew and not (data.crew_id or "").strip():
        raise invalid("crew_id", "is required for the scope crew")
    if data.scope not in (BackupScope.workspace, BackupScope.crew):
        raise invalid("scope", SCOPES)
    if sum(map(bool, (data.passphrase and data.passphrase.strip(), data.recipient, data.no_encrypt))) != 1:
        raise Refusal(Code.BAD_REQUEST, ONE_OF)
    if data.recipient and not sealing.is_recipient(data.recipient):
        raise invalid("recipient", BAD_RECIPIENT)
    folder = None if not data.output_dir else _folder(data.output_dir)
    try:
        level = BackupScopeLevel(data.scope_level or BackupScopeLevel.standard)
    except ValueError:
        raise invalid("scope_level", "must be quick, standard or full") from None
    return level, folder


def _folder(path: str) -> Path:
    try:
        return directory() if Path(path) == directory() else allowed(path, suffix="")
    except Refusal:
        raise invalid("output_dir", OUTSIDE) from None


@command(
    "backups.create",
    Action.MANAGE,
    audit="backup.create",
    errors=(Code.NOT_FOUND, Code.CONFLICT, Code.UNAVAILABLE),
    late=True,
    secret=True,
)
async def create_backup(ctx: Context, data: CreateBackup) -> BackupCreated:
    """Create a backup.

    Writes a bundle of the workspace, or of one crew, into the server's directory of backups: the rows of one moment,
    and the files. Agents work on meanwhile. CONFLICT while another backup of the workspace is under way.
    """
    with counters.failures_of(CREATE):
        return await _created(ctx, data)


async def _created(ctx: Context, data: CreateBackup) -> BackupCreated:
    level, folder = _check(data)
    workspace_id, began = ctx.workspace_id or "", time.monotonic()
    source = DumpedPlace(workspace_id, None if data.scope != BackupScope.crew else await _crew(ctx, data))
    author = await ctx.select(User, col(User.id) == ctx.user_id).one()
    made_by = {"user_id": author.id, "email": author.email, "role": str(ctx.role or "")}
    target = await asyncio.to_thread(folder_of, workspace_id) if folder is None else folder
    async with locked(workspace_id, ctx.user_id):
        made = await make(source, target, level, data, made_by)
        await ctx.begin()
        ctx.audit("backup", made.path, scope=made.scope, size_bytes=made.size_bytes, encrypted=made.encrypted)
    counters.created(made, time.monotonic() - began)
    return made


async def _crew(ctx: Context, data: CreateBackup) -> str:
    return (await ctx.get(Crew, (data.crew_id or "").strip())).id


async def make(
    source: DumpedPlace, folder: Path, level: BackupScopeLevel, data: CreateBackup, author: dict[str, Any]
) -> BackupCreated:
    await asyncio.to_thread(_prepare, folder)
    seal = await _sealing(data)
    payload = await asyncio.to_thread(Payload, folder, seal)
    try:
        async with snapshot(source.workspace_id) as rows:
            now = datetime.now(UTC).replace(microsecond=0)
            dumped = await dump(rows, payload, source, level)
        size, digest = await asyncio.to_thread(payload.finish)
        scope = BackupScope.workspace if source.crew_id is None else BackupScope.crew
        manifest = _manifest(scope, dumped, level, seal, author, now) | {
            "checksums": {"payload_sha256": f"sha256:{digest}", "content_bytes": payload.content}
        }
        if not has_room(str(folder), size):
            raise Refusal(Code.UNAVAILABLE, NO_ROOM)
        of = dumped.workspace if source.crew_id is None else dumped.crews[0]
        target = _name(folder, scope, of["slug"], now)
        guide = GUIDES[scope].format(sealed=SEALED[seal is not None], key=KEY[seal is not None])
        written = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
        size = await asyncio.to_thread(
            write_bundle, target, written, guide, None if seal is None else seal.key, payload
        )
    except OSError as error:
        raise Refusal(Code.UNAVAILABLE, NO_ROOM) from error
    finally:
        await asyncio.shield(asyncio.to_thread(payload.close))
    return BackupCreated(
        path=str(target),
        size_bytes=size,
        payload_sha256=manifest["checksums"]["payload_sha256"],
        format_version=FORMAT,
        scope=scope,
        scope_level=level,
        created_at=now,
        encrypted=seal is not None,
    )


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clear_unfinished(folder, time.time())
    if not has_room(str(folder), ROOM):
        raise Refusal(Code.UNAVAILABLE, NO_ROOM)


async def _sealing(data: CreateBackup) -> sealing.Sealing | None:
    if data.no_encrypt:
        return None
    if data.recipient:
        return sealing.Sealing(data.recipient)
    return await sealing.with_passphrase(data.passphrase or "")


def _name(folder: Path, scope: BackupScope, slug: str, now: datetime) -> Path:
    """Names have seconds: of two bundles in one, the second has a number."""
    name = f"crewship-{scope}-{slug}-{now:%Y%m%dT%H%M%SZ}"
    number = 1
    while (target := folder / f"{name}{'' if number == 1 else f'-{number}'}{SUFFIX}").exists():
        number += 1
    return target


def _manifest(
    scope: BackupScope,
    dumped: Dumped,
    level: BackupScopeLevel,
    seal: sealing.Sealing | None,
    author: dict[str, Any],
    now: datetime,
) -> dict[str, Any]:
    return {
        "format_version": FORMAT,
        "crewship_version_at_backup": version("crewship"),
        "schema_migration_versions": migrations.applied(),
        "scope": scope,
        "scope_level": level,
        "compatible_targets": ["any-instance" if scope is BackupScope.workspace else "same-instance"],
        "created_at": now,
        "created_by": author,
        "source_instance": {
            "hostname": platform.node(),
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        },
        "contents": {
            "workspace": {name: dumped.workspace[name] for name in ("id", "slug", "name")},
            "crews": [{name: value for name, value in crew.items() if value is not None} for crew in dumped.crews],
            "rows": dumped.tables,
            "files": dumped.files.files,
            "file_bytes": dumped.files.bytes,
            "files_skipped": dumped.files.skipped,
        },
        "encryption": {"enabled": False} if seal is None else seal.described,
    }
