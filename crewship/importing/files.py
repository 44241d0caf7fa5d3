"""Files of crews: `<storage>/<crew>/…` of the Go server are the files of the crew here. No link is followed."""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from crewship.importing.landing import Arrival
from crewship.importing.report import TableReport
from resolvers.errors import Refusal
from resolvers.instance.bundles.files import Described, has_room, put_file
from resolvers.instance.confined import open_directory, open_file, owner_of_agents_files
from resolvers.instance.store import LocalStore, names_of

FOLDER: Final = "output"
LARGEST: Final = 1 << 30
COPIED: Final = 1 << 20
NO_ROOM: Final = "the disk of this server has no room for the file"


async def land_files(arrival: Arrival, store: LocalStore, target: Path, storage: Path | None) -> None:
    """Files that are there already stay as they are. In a dry run they are counted."""
    base = storage or arrival.source.root / FOLDER
    told = arrival.report.of("files")
    for crew in sorted(arrival.known.get("crews", ())):
        try:
            found = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            here = open_directory(found, (crew,))
        except (OSError, ValueError):
            continue
        finally:
            os.close(found)
        try:
            await asyncio.to_thread(_land, arrival, store, target, crew, here, told)
        finally:
            os.close(here)


def _land(arrival: Arrival, store: LocalStore, target: Path, crew: str, here: int, told: TableReport) -> None:
    while not target.exists():
        target = target.parent
    into = ("workspaces", arrival.workspace, "crews", crew, FOLDER)
    made = -1 if arrival.dry_run else store.open_base(into, make=True)
    try:
        for names, file, mode in _files(here, crew, told):
            with file:
                size = os.fstat(file.fileno()).st_size
                if size > LARGEST:
                    told.leave_out(f"the file is larger than {LARGEST} bytes", f"{crew}/{'/'.join(names)}")
                elif not has_room(str(target), size):
                    told.leave_out(NO_ROOM, f"{crew}/{'/'.join(names)}")
                elif arrival.dry_run or _put(made, names, file, size, mode):
                    told.imported += 1
                else:
                    told.there += 1
    finally:
        if made >= 0:
            os.close(made)


def _put(base: int, names: tuple[str, ...], file: IO[bytes], size: int, mode: int) -> bool:
    digest = hashlib.sha256()
    while part := file.read(COPIED):
        digest.update(part)
    file.seek(0)
    described = Described(names, size, mode & 0o755, digest.hexdigest())
    return put_file(base, described, file, owner_of_agents_files(), replace=False)


def _files(here: int, crew: str, told: TableReport) -> Iterator[tuple[tuple[str, ...], IO[bytes], int]]:
    for path, folders, names, folder in os.fwalk(".", dir_fd=here, follow_symlinks=False):
        above = tuple(part for part in path.split("/") if part not in ("", "."))
        folders.sort()
        for name in sorted(names):
            told.read += 1
            whole = "/".join((*above, name))
            try:
                whole.encode()
                parts = names_of(whole)
                file = os.fdopen(open_file(folder, name), "rb")
            except (OSError, Refusal, UnicodeEncodeError):
                shown = f"{crew}/{whole}".encode(errors="replace").decode()
                told.leave_out("a link, or no plain file of a usable name", shown)
                continue
            yield parts, file, os.fstat(file.fileno()).st_mode
