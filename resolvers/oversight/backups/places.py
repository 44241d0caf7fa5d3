"""The directory of bundles, and the paths in it. A client hands a path back as it was given out."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from resolvers.instance.bundles.faults import BundleError
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.bundles.writing import PARTIAL
from resolvers.kernel import Code, Refusal, instance

SUFFIX: Final = ".tar.zst"
NOT_ALLOWED: Final = "The path must be one of a bundle of this server"
REQUIRED: Final = "A path is required"
MISSING: Final = "Backup not found"
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
    """A path in the directory, no part of which is a symbolic link; BAD_REQUEST otherwise. Nothing has to be there."""
    if not path:
        raise Refusal(Code.BAD_REQUEST, REQUIRED)
    found, base = Path(path), directory()
    if "\0" in path or ".." in found.parts or not found.is_absolute() or not found.name.endswith(suffix):
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


def bundles_of(workspace_id: str) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """The bundles of a workspace: paths, sizes and manifests, in no order. What is no bundle is passed over."""
    base = directory()
    for folder in (base, base / workspace_id):
        try:
            listed = list(os.scandir(folder))
        except OSError:
            continue
        for entry in listed[:MOST_LISTED]:
            if not entry.name.endswith(SUFFIX) or not entry.is_file(follow_symlinks=False):
                continue
            try:
                with Bundle(Path(entry.path)) as bundle:
                    if workspace_of(bundle.manifest).get("id") == workspace_id:
                        yield bundle.path, bundle.size, bundle.manifest
            except (OSError, BundleError):
                continue


def clear_unfinished(folder: Path, now: float) -> None:
    """Removes what processes left that were killed while they wrote a bundle."""
    for entry in list(os.scandir(folder)):
        try:
            if entry.name.endswith(PARTIAL) and now - entry.stat(follow_symlinks=False).st_mtime > FORGOTTEN:
                os.unlink(entry.path)
        except OSError:
            continue
