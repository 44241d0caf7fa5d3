"""Directories that are renamed together. What a killed process left of them, the next start finishes."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from crewship.process.private_files import write_secret
from resolvers.instance.confined import sync_directory

LIST: Final = "moves.json"


def move(folder: Path, moves: Sequence[tuple[Path, Path]]) -> None:
    """Renames each source to its target, all on one file system. From here on all of them happen: at once, or in
    `finish`.
    """
    named = [[os.path.relpath(path, folder) for path in pair] for pair in moves]
    write_secret(folder / LIST, json.dumps(named))
    sync_directory(folder)
    finish(folder)


def are_left(folder: Path) -> bool:
    """Returns true if a killed process left moves to be done."""
    return (folder / LIST).exists()


def finish(folder: Path) -> None:
    """Does what is left of the moves of `folder`. A move is done when its target is there."""
    try:
        named = json.loads((folder / LIST).read_text())
    except FileNotFoundError:
        return
    for pair in named:
        source, target = (folder / name for name in pair)
        if target.exists() or not source.exists():
            continue
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        source.rename(target)
        sync_directory(target.parent)
        sync_directory(source.parent)
    (folder / LIST).unlink()
    sync_directory(folder)
