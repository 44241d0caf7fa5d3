"""The directory of bundles, and the paths in it. A client hands a path back as it was given out."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from resolvers.instance.bundles.faults import BundleError
from resolvers.instance.bundles.reading import NOT_WHOLE, Bundle
from resolvers.instance.bundles.rotation import named
from resolvers.instance.bundles.writing import PARTIAL
from resolvers.kernel import Code, Refusal, instance
from resolvers.oversight.backups.outputs import BackupManifest, BackupScope, shown

SUFFIX: Final = ".tar.zst"
NOT_ALLOWED: Final = "The path must be one of a bundle of this server"
REQUIRED: Final = "A path is required"
MISSING: Final = "Backup not found"
NO_MANIFEST: Final = "The manifest of the bundle is not valid"
MOST_LISTED: Final = 10_000
FORGOTTEN: Final = 3600.0  # seconds after which what is unfinished belongs to a process that died


def directory() -> Path:
    """Made on first use, for the service alone."""
    made = instance.settings.data_dir / "backups"
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    return made


def folder_of(workspace_id: str) -> Path:
    made = directory() / workspace_id
    made.mkdir(mode=0o700, exist_ok=True)
    return made


def allowed(path: str, *, suffix: str = SUFFIX) -> Path:
    """A path in the directory, no part of which is a symbolic link; BAD_REQUEST otherwise. Nothing has to be there, but
    what is not called like a bundle is NOT_FOUND.
    """
    if not path:
        raise Refusal(Code.BAD_REQUEST, REQUIRED)
    found, base = Path(path), directory()
    if "\0" in path or ".." in found.parts or not found.is_absolute():
        raise Refusal(Code.BAD_REQUEST, NOT_ALLOWED)
    if not found.is_relative_to(base) or found == base:
        raise Refusal(Code.BAD_REQUEST, NOT_ALLOWED)
    here = base
    for name in found.relative_to(base).parts:
        here = here / name
        try:
            linked = here.is_symlink()
        except OSError:
            linked = True
        if linked:
            raise Refusal(Code.BAD_REQUEST, NOT_ALLOWED)
    if not found.name.endswith(suffix):
        raise Refusal(Code.NOT_FOUND, MISSING)
    return found


def opened(path: str, workspace_id: str) -> Bundle:
    """A bundle of this workspace; NOT_FOUND for others, and for what cannot be read. The caller closes it."""
    found = allowed(path)
    try:
        bundle = Bundle(found)
    except (OSError, BundleError):
        raise Refusal(Code.NOT_FOUND, MISSING) from None
    if workspace_of(bundle.manifest).get("id") != workspace_id:
        bundle.close()
        raise Refusal(Code.NOT_FOUND, MISSING)
    return bundle


def workspace_of(manifest: Any) -> dict[str, Any]:
    found = manifest["contents"].get("workspace")
    return found if isinstance(found, dict) else {}


def crew_of(manifest: Any) -> dict[str, Any]:
    """The crew of a bundle of one crew; empty for other bundles."""
    found = manifest["contents"].get("crews")
    one = manifest.get("scope") == BackupScope.crew and isinstance(found, list) and len(found) == 1
    return found[0] if one and isinstance(found[0], dict) else {}


@dataclass(frozen=True, slots=True)
class FoundBundle:
    """A file that is named as a bundle. `error` says what is wrong with it; `manifest` is None if it cannot be read.
    `at`: when it was made.
    """

    path: Path
    size: int
    at: datetime
    manifest: dict[str, Any] | None
    error: str


def bundles_of(workspace_id: str) -> Iterator[FoundBundle]:
    """The bundles of a workspace, in no order. A damaged one names no workspace: it is of the one in whose folder it
    is.
    """
    base = directory()
    for folder in (base, base / workspace_id):
        try:
            listed = list(os.scandir(folder))
        except FileNotFoundError:
            continue
        for entry in listed[:MOST_LISTED]:
            if not entry.name.endswith(SUFFIX) or not entry.is_file(follow_symlinks=False):
                continue
            try:
                found = read(Path(entry.path))
            except FileNotFoundError:
                continue
            if found.manifest is None:
                if folder != base:
                    yield found
            elif workspace_of(found.manifest).get("id") == workspace_id:
                yield found


def read(path: Path, *, of: str | None = None, changed: float | None = None) -> FoundBundle:
    """Reads the manifest and the end of a bundle. `of` and `changed`: name and time of the file, if it is a copy.
    Raises FileNotFoundError for a bundle that was deleted meanwhile.
    """
    size, changed_here = 0, 0.0
    try:
        status = os.stat(path, follow_symlinks=False)
        size, changed_here = status.st_size, status.st_mtime
        with Bundle(path) as bundle:
            at = shown(BackupManifest, bundle.manifest).created_at
            if not 1970 <= at.year < 9999:
                raise ValueError("no time of a bundle")
            error = "" if bundle.has_end() else NOT_WHOLE
            return FoundBundle(path, size, at if at.tzinfo else at.replace(tzinfo=UTC), bundle.manifest, error)
    except FileNotFoundError:
        raise
    except OSError as fault:
        error = f"The file cannot be read ({fault.strerror})"
    except BundleError as fault:
        error = str(fault)
    except ValueError:
        error = NO_MANIFEST
    at = named(of or path.name, changed_here if changed is None else changed).at
    return FoundBundle(path, size, at, None, error)


def is_whole(path: Path) -> bool:
    """Compares every byte with the checksums."""
    try:
        with Bundle(path) as bundle:
            return not bundle.fault()
    except (OSError, BundleError):
        return False


def deletable(path: str, workspace_id: str) -> Path:
    """A bundle of this workspace, or a damaged one in its folder; NOT_FOUND for others."""
    found = allowed(path)
    if found.parent == directory() / workspace_id and found.is_file() and read(found).manifest is None:
        return found
    opened(path, workspace_id).close()
    return found


def clear_unfinished(folder: Path, now: float) -> None:
    """Removes what processes left that were killed while they wrote a bundle."""
    for entry in list(os.scandir(folder)):
        try:
            if entry.name.endswith(PARTIAL) and now - entry.stat(follow_symlinks=False).st_mtime > FORGOTTEN:
                os.unlink(entry.path)
        except OSError:
            continue
