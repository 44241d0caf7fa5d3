"""Bundles of an instance: the database, the keys and the files. One is restored where nothing is yet.

head.json         scope and schema
keys.json         the keys of the instance; the payload is always sealed
db/<number>       the pieces of a dump by pg_dump
files/…, blobs/…  as in a bundle of a workspace
"""

import asyncio
import io
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from crewship.process import keys
from crewship.process.blob_stores import BlobPlace
from crewship.process.bundles import EVERYTHING, OPERATOR, Seal
from crewship.process.database import Access, StartError, database, place_of, wait_for_database
from crewship.process.dumps import Restoring, dumped, restoring
from crewship.process.private_files import make_private, write_secret
from models import migrations
from models.connections import open_connection
from resolvers.instance.bundles import sealing
from resolvers.instance.bundles.beside import content, content_fault
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.files import BLOBS, FILES, Counted, Described, add_files, has_room, put_file
from resolvers.instance.bundles.reading import FORMATS, Bundle
from resolvers.instance.bundles.writing import Payload, write_bundle
from resolvers.instance.confined import open_directory, open_file, owner_of_agents_files
from resolvers.instance.settings import Settings
from resolvers.instance.store import INCOMING
from resolvers.kernel.store.connection import connect
from resolvers.oversight.backups.arriving import MOST_ROWS, NOT_ITS_MANIFEST, check_schema
from resolvers.oversight.backups.outputs import BackupScope
from resolvers.oversight.backups.places import SUFFIX, clear_unfinished
from resolvers.rules.memory_versions import FOLDER as MEMORY

if TYPE_CHECKING:
    from crewship.process.incremental import Apart

FOLDER: Final = "instance"
HEAD: Final = "head.json"
KEYS: Final = "keys.json"
ROOM: Final = 64 << 20
MOST_DESCRIPTION: Final = 64 << 10
NO_ROOM: Final = "there is too little space in {}: {} MB are needed"
SEALED_ONLY: Final = (
    "a bundle of the instance has its keys, so it is always sealed: give a passphrase or a recipient, or name one"
    " workspace with --workspace"
)
NOT_EMPTY: Final = "the database {} is not empty: a bundle of an instance is restored into an empty one"
NOT_EMPTY_HERE: Final = (
    "{} has a database already: a bundle of an instance is restored into an empty data directory; set"
    " CREWSHIP_DATA_DIR to another one"
)
TABLES: Final = """
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%'
        AND n.nspname <> 'information_schema'
    ORDER BY 1, 2
"""
PATIENT: Final = EVERYTHING | {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
GUIDE: Final = """# A backup of a Crewship instance

`payload` is a tar archive, compressed with zstd and sealed with age. `key`, if there is one, is the identity, sealed
with the passphrase. The archive has the keys of the instance (`keys.json`), a dump of its database (`db/<number>`, the
pieces of an archive for pg_restore) and its files (`files/<number>.json`, `blobs/<sha256>`). If this file has an entry
`blobs`, it needs the contents that this entry lists, in the folder `blobs` beside it.

To restore it, install Crewship {version} or newer, name an empty data directory, and an empty database if PostgreSQL
is not the embedded one, and run

    CREWSHIP_DATA_DIR=/new/directory crewship backup restore <this file>

It asks for the passphrase; `--identity-file` names the file of an age identity. Then start `crewship serve`.
"""


@dataclass(frozen=True)
class MadeBundle:
    path: Path
    size: int
    manifest: dict[str, Any]


@dataclass(frozen=True)
class RestoredInstance:
    """`rows`: the number that the manifest says."""

    rows: int
    files: int
    manifest: dict[str, Any]


async def create(
    settings: Settings, access: Access, seal: Seal, folder: Path | None, beside: BlobPlace | None = None
) -> MadeBundle:
    """A bundle of everything, of one snapshot, while the service works on. `beside`: where contents of files go that
    are not in the bundle. Raises StartError, KeysError.
    """
    if seal.none:
        raise StartError(SEALED_ONLY)
    settings = keys.with_stored(settings)
    if not keys.wrapping_keys(settings):
        raise keys.without_key(settings)
    target = folder or settings.data_dir / "backups" / FOLDER
    make_private(target)
    clear_unfinished(target, time.time())
    if not has_room(str(target), ROOM):
        raise StartError(NO_ROOM.format(target, ROOM >> 20))
    sealed = await _sealing(seal, beside)
    apart = _apart(settings, sealed, target, beside)
    payload = Payload(target, sealed)
    try:
        now = datetime.now(UTC).replace(microsecond=0)
        payload.add(HEAD, orjson.dumps({"scope": FOLDER, "schema": migrations.applied()}))
        payload.add(KEYS, orjson.dumps(keys.held(settings)))
        contents, revision = await _dump(access, payload)
        contents |= _add_files(settings, payload, apart)
        blobs = None if apart is None else apart.finish()
        size, digest = payload.finish()
        if not has_room(str(target), size):
            raise StartError(NO_ROOM.format(target, size >> 20))
        manifest = _manifest(contents, revision, sealed, now) | {
            "checksums": {"payload_sha256": f"sha256:{digest}", "content_bytes": payload.content}
        }
        written = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
        path = _name(target, now)
        guide = GUIDE.format(version=version("crewship"))
        size = write_bundle(path, written, guide, sealed.key, payload, blobs or None)
    except OSError as error:
        raise StartError(f"the bundle could not be written to {target} ({error.strerror or error})") from error
    finally:
        payload.close()
    return MadeBundle(path, size, orjson.loads(written))


async def _sealing(seal: Seal, beside: BlobPlace | None) -> sealing.Sealing:
    if seal.recipient:
        return sealing.Sealing(seal.recipient)
    if beside is None:
        return await sealing.with_passphrase(seal.passphrase or "")
    from crewship.process.incremental import key_of

    return await key_of(beside, seal.passphrase or "")


def _apart(settings: Settings, sealed: sealing.Sealing, folder: Path, beside: BlobPlace | None) -> "Apart | None":
    if beside is None:
        return None
    from crewship.process.incremental import Apart

    return Apart(beside, sealed, keys.held(settings)["NEXTAUTH_SECRET"], folder)


async def _dump(access: Access, payload: Payload) -> tuple[dict[str, Any], str | None]:
    """The rows that the dump has are counted in the same snapshot."""
    conn = await connect(access.owner, PATIENT)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            revision = await migrations.revision(conn)
            if revision != migrations.head():
                raise StartError(
                    f"the database is at revision {revision}, this release at {migrations.head()}:"
                    " run `crewship migrate`, or the release that migrated it"
                )
            snapshot = await conn.fetchval("SELECT pg_export_snapshot()")
            for number, piece in enumerate(dumped(access.owner, snapshot)):
                payload.add(f"db/{number}", piece)
            contents = {"rows": await counted(conn), "workspaces": await _workspaces(conn)}
    finally:
        await conn.close()
    return contents, revision


async def counted(conn: Any) -> dict[str, int]:
    """The number of rows of each table."""
    found = {}
    for schema, name in await conn.fetch(TABLES):
        shown = name if schema == "public" else f"{schema}.{name}"
        found[shown] = await conn.fetchval(f'SELECT count(*) FROM "{schema}"."{name}"')  # noqa: S608 - of the catalog
    return found


async def _workspaces(conn: Any) -> list[dict[str, str]]:
    return [dict(row) for row in await conn.fetch("SELECT id, slug, name FROM workspaces ORDER BY slug")]


def _add_files(settings: Settings, payload: Payload, apart: "Apart | None") -> dict[str, int]:
    counted = Counted()
    try:
        base = os.open(settings.storage_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        base = -1
    if base >= 0:
        try:
            for _ in add_files(payload, base, frozenset({(INCOMING,)}), counted, apart):
                pass
        finally:
            os.close(base)
    beside = {} if apart is None else apart.counted
    return {"files": counted.files, "file_bytes": counted.bytes, "files_skipped": counted.skipped, **beside}


def _manifest(contents: dict[str, Any], revision: str | None, sealed: sealing.Sealing, now: datetime) -> dict[str, Any]:
    return {
        "format_version": FORMATS[-1],
        "crewship_version_at_backup": version("crewship"),
        "schema_migration_versions": migrations.applied(),
        "schema_revision": revision,
        "scope": BackupScope.instance,
        "compatible_targets": ["any-instance"],
        "created_at": now,
        "created_by": OPERATOR,
        "source_instance": {
            "hostname": platform.node(),
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        },
        "contents": contents | {"credstore_included": True, "auth_keys_included": True},
        "encryption": sealed.described,
    }


def _name(folder: Path, now: datetime) -> Path:
    name, number = f"crewship-instance-{now:%Y%m%dT%H%M%SZ}", 1
    while (target := folder / f"{name}{'' if number == 1 else f'-{number}'}{SUFFIX}").exists():
        number += 1
    return target


# -- restore ----------------------------------------------------------------------------------------------------------


def restore(
    settings: Settings,
    bundle: Bundle,
    identity: str,
    *,
    dry_run: bool = False,
    then: Callable[[Access], None] | None = None,
) -> RestoredInstance:
    """Brings database, keys and files to an empty instance, or nothing: the database commits last.

    `dry_run` opens and compares everything, and writes nothing. `then` is called before the database is brought to the
    schema of this release. Raises StartError, KeysError, BundleError,
    PostgresError.
    """
    check_schema(bundle.manifest)
    bundle.check()
    if dry_run:
        return _arrive(settings, bundle, identity, None)
    _check_room(settings, bundle)
    with database(settings) as access:
        asyncio.run(_check_empty(settings, access))
        with restoring(access.owner) as rows:
            restored = _arrive(settings, bundle, identity, rows)
            rows.commit()
        if then is not None:
            then(access)
        from crewship.process.serve import migrate

        asyncio.run(migrate(settings, access))
    return restored


def _check_room(settings: Settings, bundle: Bundle) -> None:
    """The embedded database takes about as much as its dump, and once more for indexes."""
    needed = bundle.manifest["checksums"].get("content_bytes")
    if not isinstance(needed, int):
        raise BundleError(BundleFault.invalid_manifest, NOT_ITS_MANIFEST)
    needed *= 2 if settings.database_url is None else 1
    if bundle.manifest["contents"].get("blobs"):
        needed += int(bundle.manifest["contents"].get("file_bytes") or 0)
    make_private(settings.data_dir)
    if not has_room(str(settings.data_dir), needed):
        raise StartError(NO_ROOM.format(settings.data_dir, needed >> 20))


async def _check_empty(settings: Settings, access: Access) -> None:
    await wait_for_database(access.owner)
    conn = await open_connection(access.owner)
    try:
        if await conn.fetch(TABLES):
            here = settings.database_url is None
            raise StartError(
                NOT_EMPTY_HERE.format(settings.data_dir) if here else NOT_EMPTY.format(place_of(access.owner))
            )
    finally:
        await conn.close()


def _arrive(settings: Settings, bundle: Bundle, identity: str, rows: Restoring | None) -> RestoredInstance:
    """Reads the payload to its end. Files and keys are in place before the last piece of the dump is."""
    files, keys_of_it = 0, dict[str, str]()
    with bundle.entries(identity) as entries:
        arriving = iter(entries)
        keys_of_it = _head(arriving, bundle.manifest)
        _check_keys(settings, keys_of_it)
        beside = partial(_beside, bundle, identity)
        landing = _Files(settings.storage_path, beside) if rows is not None else None
        try:
            for name, size, content in arriving:
                if name.startswith("db/") and size <= MOST_ROWS and not files:
                    piece = content.read()
                    if rows is not None:
                        rows.write(piece)
                elif name.startswith(FILES) and size <= MOST_DESCRIPTION:
                    file = Described.read(content.read())
                    files += 1
                    if landing is not None:
                        landing.expect(file)
                    elif file.blob and (
                        fault := content_fault(file.blob, file.size, file.sha256, identity, bundle.beside)
                    ):
                        raise BundleError(BundleFault.invalid_checksum, fault)
                elif name.startswith(BLOBS):
                    if landing is not None:
                        landing.land(name.removeprefix(BLOBS), content)
                else:
                    raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
            if landing is not None:
                landing.settle()
        finally:
            if landing is not None:
                landing.close()
    if files != bundle.manifest["contents"].get("files"):
        raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
    if rows is not None:
        _keep_keys(settings, keys_of_it)
    counts = bundle.manifest["contents"].get("rows") or {}
    return RestoredInstance(sum(counts.values()), files, bundle.manifest)


def _beside(bundle: Bundle, identity: str, file: Described) -> AbstractContextManager[IO[bytes]]:
    """The content of a file that the payload does not have."""
    if file.blob is None:
        raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
    return content(file.blob, file.size, identity, bundle.beside)


def _head(entries: Any, manifest: dict[str, Any]) -> dict[str, str]:
    """The keys. Raises BundleError where the payload contradicts the manifest."""
    try:
        found = {}
        for wanted in (HEAD, KEYS):
            name, size, content = next(entries, ("", 0, io.BytesIO()))
            if name != wanted or size > MOST_ROWS:
                raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
            found[name] = orjson.loads(content.read())
        if found[HEAD] != {"scope": FOLDER, "schema": manifest["schema_migration_versions"]}:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
        if not all(isinstance(value, str) and "\n" not in name + value for name, value in found[KEYS].items()):
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
    except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
        raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST) from error
    return found[KEYS]  # type: ignore[no-any-return]


def _check_keys(settings: Settings, found: dict[str, str]) -> None:
    """KeysError where this server is configured with others."""
    own = keys.held(keys.with_stored(settings))
    if differing := sorted(name for name in own if name in found and own[name] != found[name]):
        raise keys.KeysError(
            f"{', '.join(differing)} of this server and of the bundle differ: remove them from the environment"
            f" and from {keys.secrets_path(settings.data_dir)}"
        )


def _keep_keys(settings: Settings, found: dict[str, str]) -> None:
    missing = keys.stored(settings.data_dir) | {n: key for n, key in found.items() if n not in keys.held(settings)}
    if not missing:
        return
    make_private(settings.data_dir)
    lines = "".join(f"{name}={value}\n" for name, value in sorted(missing.items()))
    write_secret(keys.secrets_path(settings.data_dir), f"# The keys of this instance, as a backup had them.\n{lines}")


class _Files:
    """Files of a bundle on their way into the store. A content that several files have is in the bundle once, or
    `beside` it.
    """

    def __init__(self, storage: Path, beside: Callable[[Described], AbstractContextManager[IO[bytes]]]) -> None:
        self._beside = beside
        storage.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._base = os.open(storage, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._first = dict[str, tuple[str, ...]]()
        self._expected: Described | None = None

    def expect(self, file: Described) -> None:
        self.settle()
        self._expected = file

    def land(self, digest: str, content: IO[bytes]) -> None:
        file, self._expected = self._expected, None
        if file is None or file.sha256 != digest:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
        self._put(file, content)
        self._first.setdefault(digest, file.names)

    def settle(self) -> None:
        """A file without a content of its own has that of an earlier one, or one beside the bundle."""
        file, self._expected = self._expected, None
        if file is None:
            return
        if (names := self._first.get(file.sha256)) is None:
            with self._beside(file) as found:
                self._put(file, found)
            self._first[file.sha256] = file.names
            return
        parent = open_directory(self._base, names[:-1])
        try:
            with os.fdopen(open_file(parent, names[-1]), "rb") as content:
                self._put(file, content)
        finally:
            os.close(parent)

    def _put(self, file: Described, content: IO[bytes]) -> None:
        of_agents = file.names[0] == "workspaces" and file.names[2:3] != (MEMORY,)
        above = file.names[: min(2, len(file.names) - 1)]  # the folders of a workspace belong to the service
        base = open_directory(self._base, above, make=True)
        try:
            inner = replace(file, names=file.names[len(above) :])
            put_file(base, inner, content, owner_of_agents_files() if of_agents else None, replace=True)
        finally:
            os.close(base)

    def close(self) -> None:
        os.close(self._base)
