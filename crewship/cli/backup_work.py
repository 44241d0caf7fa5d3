"""The work of `crewship backup`: secrets that are asked for, bundles that are found, and tables of them."""

import asyncio
import contextlib
import getpass
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from crewship.cli.backup_files import described, listed
from crewship.cli.terminal import printable
from crewship.process import buckets, bundles, instance_bundles
from crewship.process.blob_stores import place_at
from crewship.process.database import Access, StartError, existing_database
from crewship.process.progress import Progress
from models.connections import open_connection
from models.migrations.cluster import NOTE
from resolvers.instance.bundles import records, sealing
from resolvers.instance.bundles.beside import NOT_ITS_LIST, Blob, ComparedContent, content_fault
from resolvers.instance.bundles.beside import fault as beside_fault
from resolvers.instance.bundles.faults import BundleError
from resolvers.instance.bundles.files import FILES, Described
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.settings import Settings
from resolvers.oversight.backups.arriving import identity_for
from resolvers.oversight.backups.outputs import BackupScope
from resolvers.oversight.backups.restoring import RestoreBackup

LEAST: Final = 8  # characters of a passphrase
VARIABLE: Final = "CREWSHIP_BACKUP_PASSPHRASE"


# -- secrets ----------------------------------------------------------------------------------------------------------


def _first_line(path: Path) -> str:
    try:
        text = sys.stdin.readline() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise StartError(f"{path} is empty")
    return lines[0]


def passphrase(settings: Settings, path: Path | None, *, twice: bool = False) -> str:
    """Reads it from the file or the environment, or asks for it."""
    if path is not None:
        return _first_line(path)
    if settings.backup_passphrase is not None:
        return settings.backup_passphrase.get_secret_value()
    if not sys.stdin.isatty():
        raise StartError(f"give --passphrase-file, or set {VARIABLE}")
    typed = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Once more: ") != typed:
        raise StartError("the passphrases differ")
    return typed


def check_seal(seal: bundles.Seal) -> None:
    if seal.recipient is not None and seal.none:
        raise StartError("--recipient and --no-encrypt exclude each other")
    if seal.recipient is not None and not sealing.is_recipient(seal.recipient):
        raise StartError("--recipient is not an age key (age1…)")
    if seal.passphrase is not None and len(seal.passphrase) < LEAST:
        raise StartError(f"the passphrase has fewer than {LEAST} characters")


def identity(settings: Settings, bundle: Bundle, passphrase_file: Path | None, path: Path | None) -> str | None:
    """The age identity that opens a bundle; None for one in clear. Raises BundleError for a wrong passphrase."""
    if not bundle.sealed:
        return None
    if path is not None:
        if not sealing.is_identity(found := _first_line(path)):
            raise StartError(f"{path} has no age identity (AGE-SECRET-KEY-1…)")
        return found
    if bundle.key() is None:
        raise StartError("the bundle is sealed for an age key: give its identity with --identity-file")
    return asyncio.run(identity_for(bundle, passphrase(settings, passphrase_file), None))


# -- bundles ----------------------------------------------------------------------------------------------------------


async def create(
    settings: Settings,
    access: Access,
    workspace: str | None,
    crew: str | None,
    level: str,
    seal: bundles.Seal,
    to: str | None,
    *,
    incremental: bool,
) -> dict[str, Any]:
    folder = _here(to)
    if incremental and workspace is not None:
        raise StartError("a bundle of a workspace or a crew is always complete by itself: leave out --incremental")
    if workspace is None:
        began = time.monotonic()
        beside = None
        if incremental:
            beside = place_at(to or str(settings.data_dir / "backups" / instance_bundles.FOLDER))
        whole = await instance_bundles.create(settings, access, seal, folder, beside)
        told = _sent(described(whole.path, whole.size, whole.manifest), to)
        kept = {"created_at": told["createdAt"], "size_bytes": whole.size}
        if not buckets.is_bucket(to):
            with contextlib.suppress(StartError):  # the bundle is made; the count of others is optional
                kept["damaged"] = sum(entry["error"] is not None for entry in listed(settings, to, None))
        await _note(access, records.MADE, kept | {"seconds": round(time.monotonic() - began, 1)})
        return told
    made = await bundles.create(settings, access, workspace, crew, level, seal, folder)
    with Bundle(Path(made.path)) as bundle:
        return _sent(described(bundle.path, bundle.size, bundle.manifest), to)


def _here(to: str | None) -> Path | None:
    return None if to is None or buckets.is_bucket(to) else Path(os.path.abspath(to))


def _sent(told: dict[str, Any], to: str | None) -> dict[str, Any]:
    """Moves a bundle to its bucket. It stays here if that fails."""
    if to is None or not buckets.is_bucket(to):
        return told
    path = Path(told["path"])
    try:
        address = buckets.send(path, to)
    except StartError as error:
        raise StartError(f"{error}; the bundle is in {path}") from None
    path.unlink()
    return told | {"path": address}


def note_rehearsal(settings: Settings, told: dict[str, Any]) -> None:
    """Where there is a server, its metrics show the result; a rehearsal elsewhere is only printed."""
    kept = {"created_at": told["createdAt"], "ok": told["ok"], "seconds": told["seconds"], "rows": told["rows"]}
    with contextlib.suppress(StartError), existing_database(settings) as access:
        asyncio.run(_note(access, records.REHEARSED, kept))


async def _note(access: Access, name: str, told: dict[str, Any]) -> None:
    conn = await open_connection(access.owner)
    try:
        await conn.execute(NOTE, name, orjson.dumps(told).decode())
    finally:
        await conn.close()


def told_rehearsal(told: dict[str, Any]) -> str:
    if told["error"]:
        return f"{told['path']} cannot be restored: {told['error']}"
    lines = [f"{told['path']} {'was restored' if told['ok'] else 'was restored with faults'} in {told['seconds']} s."]
    differing = ", ".join(told["differing"])
    lines.append(f"  rows     {told['rows']:,}" + (f"; other numbers in {differing}" if differing else ""))
    lines.append(f"  files    {told['files']:,}")
    lines.append(f"  secrets  {told['secrets']:,} opened, {told['unopenable']} could not be opened")
    lines.append(f"  audit    {told['auditRows']:,} rows, {told['auditFaults']} faults")
    return "\n".join(lines)


def deep_fault(bundle: Bundle, key: str | None) -> str:
    """Reads everything below the seal, and each content beside it once; the text of what is wrong."""
    try:
        beside = {blob.path: blob for blob in bundle.blobs()}
        left = dict(beside)
        with bundle.entries(key) as entries:
            for name, size, content in entries:
                if name.startswith(FILES) and size <= instance_bundles.MOST_DESCRIPTION:
                    file = Described.read(content.read())
                    if file.blob in left and (fault := _content_fault(bundle, left.pop(file.blob), file, key or "")):
                        return fault
                    if file.blob is not None and file.blob not in beside:
                        return NOT_ITS_LIST
                while content.read(1 << 20):
                    pass
    except BundleError as error:
        return str(error)
    return next((fault for blob in left.values() if (fault := beside_fault(blob, bundle.beside))), "")


def _content_fault(bundle: Bundle, blob: Blob, file: Described, key: str) -> str:
    """Both of the sealed content, and of that below the seal."""
    compared = ComparedContent(blob, bundle.beside)
    return content_fault(blob.path, file.size, file.sha256, key, compared) or compared.fault


def restore(
    settings: Settings, bundle: Bundle, key: str | None, workspace: str | None, owner: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    if bundle.manifest["scope"] == BackupScope.instance:
        if workspace or owner or given["as_workspace"] or given["as_crew"] or given["replace"]:
            raise StartError(
                "a bundle of the instance takes no --workspace, --as-workspace, --as-crew, --owner and --replace"
            )
        if key is None:
            raise StartError("a bundle of the instance is always sealed; this one is not")
        whole = instance_bundles.restore(settings, bundle, key, dry_run=given["dry_run"])
        return {"scope": "instance", "workspace": None, "rows": whole.rows, "files": whole.files}
    with existing_database(settings) as access:
        data = RestoreBackup(path=str(bundle.path), identity=key, beside=given["as_crew"] is not None, **given)
        restored = asyncio.run(bundles.restore(settings, access, bundle.path, data, workspace, owner))
    return {
        "scope": bundle.manifest["scope"],
        "workspace": restored.restored_ws,
        "workspaceId": restored.restored_workspace_id,
        "rows": restored.rows_inserted,
        "files": restored.manifest.contents.files,
    }


# -- the terminal -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def progress(doing: str, done: str, silent: bool) -> Iterator[None]:
    if silent or not sys.stderr.isatty():
        yield
        return
    with Progress(sys.stderr).step(doing, done):
        yield


def told_restored(told: dict[str, Any], dry_run: bool) -> str:
    place = f"the workspace {told['workspace']}" if told["workspace"] else "the instance"
    if dry_run:
        return f"The bundle can be restored: {told['rows']} rows and {told['files']} files into {place}."
    rest = " Start it with `crewship serve`." if told["scope"] == "instance" else ""
    return f"Restored {told['rows']} rows and {told['files']} files into {place}.{rest}"


def print_list(found: Sequence[dict[str, Any]]) -> None:
    rows = [
        [
            entry["createdAt"][:19].replace("T", " "),
            _of(entry) or entry["scope"] or "unknown",
            size_of(entry["sizeBytes"]),
            "damaged" if entry["error"] else "sealed" if entry["encrypted"] else "in clear",
            entry["path"],
        ]
        for entry in found
    ]
    if not rows:
        print("No bundles yet: `crewship backup create` makes one.", file=sys.stderr)
    elif not sys.stdout.isatty():
        for row in rows:
            print("\t".join(printable(cell) for cell in row))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("made (UTC)", "of", "size", "seal", "bundle", box=None, pad_edge=False, header_style="dim")
        table.columns[2].justify = "right"
        table.columns[4].overflow = "fold"
        for row in rows:
            table.add_row(*[printable(cell) for cell in row])
        Console(highlight=False, emoji=False, markup=False).print(table)
    print_damaged(found)


def _of(entry: dict[str, Any]) -> str:
    return "/".join(each for each in (entry["workspace"], entry["crew"]) if each)


def print_damaged(found: Sequence[dict[str, Any]]) -> None:
    for entry in found:
        if entry["error"]:
            print(printable(f"crewship: {entry['path']} is damaged: {entry['error']}"), file=sys.stderr)


def print_manifest(bundle: Bundle) -> None:
    manifest = bundle.manifest
    contents, told = manifest["contents"], described(bundle.path, bundle.size, manifest)
    rows = {name: count for name, count in (contents.get("rows") or {}).items() if count}
    seal = manifest["encryption"]
    opens = ", ".join(seal.get("recipients", [])) or "a passphrase"
    lines = {
        "bundle": told["path"],
        "of": _of(told) or told["scope"],
        "made": f"{told['createdAt']} by Crewship {manifest['crewship_version_at_backup']}",
        "from": f"{manifest['source_instance'].get('hostname')} ({manifest['source_instance'].get('platform')})",
        "size": size_of(told["sizeBytes"]),
        "seal": f"age, opened by {opens}" if told["encrypted"] else "none",
        "rows": f"{told['rows']:,} in {len(rows)} tables",
        "beside": f"{contents.get('blobs') or 0:,} contents, {size_of(contents.get('blob_bytes') or 0)}, sealed",
        "files": f"{contents.get('files') or 0:,}, {size_of(contents.get('file_bytes') or 0)}",
        "keys": "in the payload" if contents.get("auth_keys_included") else "the workspace's data keys, wrapped",
    }
    if not contents.get("blobs"):
        del lines["beside"]
    if spaces := contents.get("workspaces"):
        lines["workspaces"] = ", ".join(str(each.get("slug")) for each in spaces)
    for name, value in lines.items():
        print(f"{name:<11} {printable(str(value))}")


def size_of(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
