"""Recovery of a copied cluster to a timeline of its own, so that no cursor of another history fits it.

A copy that simply went on would number its transactions as the original did after the copy, and a subscriber's cursor
would skip events. A new timeline changes the epoch in every cursor: subscribers read the state again.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from crewship.process.postgres import EmbeddedPostgres, new_passwords
from crewship.process.postgres_child import User
from crewship.process.private_files import write_secret

LONGEST: Final = 7 * 24 * 3600.0  # seconds that a recovery may take
NUMBERED: Final = re.compile(r"([0-9A-F]{8})(?:[0-9A-F]{16}(?:\.partial)?|\.history)$")
"""A file of the write-ahead log; the group is its timeline."""
ALONE: Final = {
    "hot_standby": "off",
    "restore_command": "false",
    "recovery_target_timeline": "current",
    "recovery_target_action": "promote",
    "archive_mode": "off",
    "autovacuum": "off",
}


def timelines(directories: Iterable[Path]) -> set[int]:
    """The timelines of the files in directories of write-ahead log."""
    names = (entry.name for directory in directories if directory.exists() for entry in directory.iterdir())
    return {int(match[1], 16) for name in names if (match := NUMBERED.match(name))}


def recover(
    place: Path,
    owner: User,
    used: Iterable[int],
    *,
    credentials: Path,
    target: Mapping[str, str] | None = None,
) -> None:
    """Recovers the cluster of the data directory `place`, up to `target` or the end of its write-ahead log, to a
    timeline above all `used`, and stops it. Its roles get the passwords in the file `credentials`; without the file
    new ones, which are then in `postgres.json` of `place`. Raises PostgresError. An interrupted recovery can be
    repeated.
    """
    passwords = json.loads(credentials.read_text()) if credentials.exists() else new_passwords()
    write_secret(place / "postgres.json", json.dumps(passwords, indent=1))
    server = EmbeddedPostgres(place, options=ALONE | dict(target or {}))
    server.patience = LONGEST
    give_all(server.cluster, owner)
    wal = server.cluster / "pg_wal"
    own = max(timelines([wal]))
    taken = [wal / f"{number:08X}.history" for number in range(own + 1, max(used, default=0) + 1)]
    for path in [*taken, server.cluster / "recovery.signal"]:
        path.touch(mode=0o600)
        owner.give(path)
    server.start()
    server.stop()
    server.set_passwords(passwords)
    for path in taken:
        path.unlink(missing_ok=True)


def give_all(directory: Path, owner: User) -> None:
    """Makes a directory and everything in it the user's."""
    if owner.uid is None:
        return
    owner.give(directory)
    for above, folders, files in os.walk(directory):
        for name in [*folders, *files]:
            os.chown(os.path.join(above, name), owner.uid, owner.gid or 0, follow_symlinks=False)
