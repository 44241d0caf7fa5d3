"""The bundles that `crewship backup` finds in a folder or a bucket, damaged ones among them."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from crewship.process import buckets
from crewship.process.blob_stores import BLOBS, BlobPlace, place_at
from crewship.process.database import StartError
from crewship.process.incremental import (
    MARK,
    BesideBundles,
    has_contents,
    mark,
    missing_beside,
    sizes,
    sweep,
)
from crewship.process.instance_bundles import FOLDER
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.bundles.rotation import named, outdated
from resolvers.instance.settings import Settings
from resolvers.oversight.backups import places
from resolvers.oversight.backups.outputs import BackupManifest, BackupScope, shown
from resolvers.oversight.backups.places import SUFFIX, crew_of, workspace_of

DEEPEST: Final = 3  # folders in which bundles are looked for


@contextlib.contextmanager
def opened(settings: Settings, name: str) -> Iterator[Bundle]:
    """A bundle by its path, or by its name in the directory of backups. Raises StartError, BundleError."""
    if buckets.is_bucket(name):
        with buckets.fetched(name) as copy, opened(settings, str(copy)) as bundle:
            bundle.beside = BesideBundles(place_at(name.rpartition("/")[0]))
            yield bundle
        return
    path = Path(name)
    try:
        if not path.exists() and os.sep not in name and (settings.data_dir / "backups").exists():
            path = next((found for found in _paths(settings.data_dir / "backups") if found.name == name), path)
        bundle = Bundle(path.absolute())
    except OSError as error:
        raise StartError(f"{path} cannot be opened ({error.strerror})") from None
    with bundle:
        try:
            shown(BackupManifest, bundle.manifest)
        except ValueError:
            raise BundleError(BundleFault.invalid_manifest, places.NO_MANIFEST) from None
        bundle.beside = BesideBundles(place_at(str(bundle.path.parent)))
        yield bundle


def _paths(folder: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """Raises OSError if `folder` cannot be read. Folders in it that others own, such as lost+found, are skipped."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            if depth > 1 and entry.name != BLOBS:  # its folders come and go
                with contextlib.suppress(PermissionError):
                    yield from _paths(Path(entry.path), depth - 1)
        elif entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
            if os.path.lexists(entry.path + MARK):
                continue
            yield Path(entry.path)


def described(path: Path | str, size: int, manifest: dict[str, Any]) -> dict[str, Any]:
    rows = manifest["contents"].get("rows") or {}
    return {
        "path": str(path),
        "scope": manifest.get("scope"),
        "workspace": workspace_of(manifest).get("slug"),
        "crew": crew_of(manifest).get("slug"),
        "createdAt": manifest.get("created_at"),
        "sizeBytes": size,
        "encrypted": bool(manifest["encryption"].get("enabled")),
        "files": manifest["contents"].get("files"),
        "rows": sum(count for count in rows.values() if isinstance(count, int)),
        "sha256": str(manifest["checksums"].get("payload_sha256", "")).removeprefix("sha256:"),
        "contentsBeside": manifest["contents"].get("blobs") or 0,
        "error": None,
    }


def _damaged(path: str, size: int) -> dict[str, Any]:
    """Described by the name of its file."""
    name, above = named(path.rpartition("/")[2], 0), Path(path).parent.name
    scope = name.scope or (BackupScope.instance.value if above == FOLDER else None)
    unknown = dict.fromkeys(("encrypted", "files", "rows", "sha256", "contentsBeside"))
    of = {"workspace": name.slug, "crew": None}
    if scope == BackupScope.crew:
        of = {"workspace": None, "crew": name.slug}
    return {"path": path, "scope": scope, **of, "createdAt": "", "sizeBytes": size} | unknown


def listed(settings: Settings, folder: str | None, workspace: str | None) -> list[dict[str, Any]]:
    """The newest first. Damaged ones have an `error`, and are of the workspace that name or folder say."""
    found, contents = [], _ContentsBeside()
    with _heads(settings, folder) as heads:
        for path, head, size, changed in heads:
            try:
                file = places.read(head, of=path.rpartition("/")[2], changed=changed)
            except FileNotFoundError:
                continue
            size = size or file.size
            id: Any = Path(path).parent.name
            error = file.error
            if file.manifest is None:
                entry = _damaged(path, size)
            else:
                entry, id = described(path, size, file.manifest), workspace_of(file.manifest).get("id")
                if entry["contentsBeside"] and not error:
                    error = contents.fault(path, head, size)
            entry |= {"createdAt": f"{file.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "error": error or None}
            if workspace is None or workspace in (id, entry["workspace"]):
                found.append(entry)
    return sorted(found, key=lambda entry: (entry["createdAt"], entry["path"]), reverse=True)


class _ContentsBeside:
    """The contents beside bundles, listed once for each folder. None is read: `verify` does that."""

    def __init__(self) -> None:
        self._known = dict[str, tuple[BlobPlace, dict[str, int]]]()

    def fault(self, path: str, head: Path, size: int) -> str:
        folder, _, name = path.rpartition("/")
        try:
            if folder not in self._known:
                place = place_at(folder)
                self._known[folder] = (place, sizes(place))
            place, there = self._known[folder]
            return missing_beside(place, name, head, size, there)
        except OSError as error:
            return f"The contents beside the bundle cannot be read ({error.strerror})"


@contextlib.contextmanager
def _heads(settings: Settings, folder: str | None) -> Iterator[Iterable[tuple[str, Path, int, float | None]]]:
    """Names, files that begin and end as the bundles do, sizes and times (0 and None: of the file)."""
    if folder is not None and buckets.is_bucket(folder):
        with buckets.heads(folder, SUFFIX, MARK) as heads:
            yield heads
        return
    place = Path(os.path.abspath(folder or settings.data_dir / "backups"))
    try:
        if folder is None and not place.exists():
            yield iter(())
        else:
            yield ((str(path), path, 0, None) for path in _paths(place))
    except OSError as error:
        raise StartError(f"{error.filename or place} cannot be read ({error.strerror})") from None


@dataclass(frozen=True, slots=True)
class _Aged:
    entry: dict[str, Any]

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.entry["createdAt"])

    @property
    def damaged(self) -> bool:
        return self.entry["error"] is not None


@dataclass(frozen=True, slots=True)
class Rotated:
    """`deleted`: paths. `damaged`: bundles that stay. `blocked`: those without which no content beside them is known
    to be needless.
    """

    deleted: list[str]
    damaged: list[dict[str, Any]]
    blocked: list[str]


def rotated(
    settings: Settings,
    folder: str | None,
    workspace: str | None,
    scope: str | None,
    limits: tuple[int, int],
    *,
    dry_run: bool,
) -> Rotated:
    """`limits`: a number of bundles, and of days; 0 is no limit."""
    gone, blocked, groups = list[str](), list[str](), dict[str, list[_Aged]]()
    found = [entry for entry in listed(settings, folder, workspace) if scope is None or entry["scope"] == scope]
    for entry in found:
        groups.setdefault(f"{entry['scope']} {entry['workspace'] or ''} {entry['crew'] or ''}", []).append(_Aged(entry))
    for group in groups.values():
        gone += [each.entry["path"] for each in outdated(group, *limits, _is_whole)]
    if not dry_run:
        own = (folder or str(settings.data_dir / "backups" / FOLDER)).rstrip("/")
        for above in dict.fromkeys([own, *(entry["path"].rpartition("/")[0] for entry in found)]):
            blocked += _deleted(above, [path for path in gone if path.rpartition("/")[0] == above])
    damaged = [entry for entry in found if entry["error"] is not None and entry["path"] not in gone]
    return Rotated(gone, damaged, blocked)


def _deleted(folder: str, gone: list[str]) -> list[str]:
    """Where contents lie beside the bundles, they are marked, and deleted later; see `incremental`."""
    place = place_at(folder)
    if has_contents(place):
        for path in gone:
            mark(place, path.rpartition("/")[2])
        return [f"{folder}/{name}" for name in sweep(place).blocked]
    for path in gone:
        place.delete(path.rpartition("/")[2])
    return []


def _is_whole(aged: _Aged) -> bool:
    """One in a bucket is not downloaded: its beginning and its end were read. The list has compared the contents beside
    all of them.
    """
    path = aged.entry["path"]
    return buckets.is_bucket(path) or places.is_whole(Path(path))


def newest(settings: Settings, folder: str | None) -> dict[str, Any]:
    """The newest file of the instance, be it damaged. Raises StartError."""
    for entry in listed(settings, folder, None):
        if entry["scope"] == BackupScope.instance:
            return entry
    raise StartError(f"{folder or settings.data_dir / 'backups'} has no bundle of the instance")


def made_at(name: str) -> str:
    """When a bundle that cannot be read was made, as its file says."""
    path = Path(name)
    changed = path.stat().st_mtime if path.exists() else time.time()
    return named(path.name, changed).at.isoformat()
