"""`crewship postgres`: the data of the embedded PostgreSQL."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crewship.cli.explaining import refusals

if TYPE_CHECKING:
    from crewship.process.postgres_snapshots import Snapshot
    from resolvers.instance.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The data of the embedded PostgreSQL.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def snapshots(
    delete: Annotated[bool, typer.Option("--delete", help="Delete all of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the snapshots of the database, the newest first.

    One is made before each migration, and removed by the next one; one is what `crewship postgres revert` replaced.
    """
    with refusals():
        from crewship.process import postgres_snapshots

        settings = _embedded()
        found = (postgres_snapshots.discard if delete else postgres_snapshots.found)(settings.data_dir)
    if as_json:
        print(json.dumps([_as_dict(snapshot) for snapshot in found], indent=2))
        return
    for snapshot in found:
        print(f"{'deleted: ' if delete else ''}{snapshot.path}  {_described(snapshot)}, {snapshot.size >> 20} MB")
    if not found:
        print("There is no snapshot.")


@app.command()
def revert(
    snapshot: Annotated[
        str | None, typer.Argument(metavar="SNAPSHOT", help="Name of a snapshot; without it, the newest.")
    ] = None,
) -> None:
    """Put a snapshot in the place of the database, while no server runs. Everything written after it is gone.

    The database that is replaced becomes the newest snapshot: a second call brings it back.
    """
    with refusals():
        from crewship.process import postgres_snapshots

        settings = _embedded()
        done = postgres_snapshots.revert(settings.data_dir, settings.wal_archive, snapshot)
    if done is None:
        print("The revert or restore that was interrupted is complete now.")
        return
    print(f"The database is as it was at {done.at}, of PostgreSQL {done.major}.")
    if done.revision:
        by = f"Crewship {done.release}" if done.release else "the release that made it"
        print(f"It is at revision {done.revision}. Start {by}: a newer release migrates it again.")


Archive = Annotated[
    Path | None, typer.Option("--from", metavar="FOLDER", help="Folder of the archive (CREWSHIP_WAL_ARCHIVE).")
]


@app.command()
def archive(folder: Archive = None, as_json: AsJson = False) -> None:
    """List the base backups of the archive, and the times to which they can be restored."""
    with refusals():
        from crewship.process.wal_archive import lines

        found = [(line, base) for line in lines(_archive(_embedded(), folder)) for base in line.bases()]
        told = [
            {
                "path": str(base.path),
                "kind": "full" if base.parent is None else "incremental",
                "from": base.at.isoformat(timespec="seconds"),
                "until": received.isoformat(timespec="seconds") if (received := line.received()) else None,
                "sizeBytes": base.size,
            }
            for line, base in found
        ]
    if as_json:
        print(json.dumps(told, indent=2))
        return
    for each in told:
        size = f"{int(str(each['sizeBytes'])) >> 20} MB"
        print(f"{each['path']}  {each['kind']}, {size}: any time from {each['from']} until {each['until']}")
    if not told:
        print("There is no base backup.")


@app.command()
def backup(
    full: Annotated[bool, typer.Option("--full", help="Make a full base backup.")] = False,
    keep: Annotated[
        int, typer.Option(min=0, help="Keep this number of full base backups and delete older ones; 0 keeps all.")
    ] = 0,
) -> None:
    """Make a base backup of the running server in its archive, and verify it.

    Each seventh base backup is full; the others are incremental.
    """
    with refusals():
        from crewship.process import wal_archive, wal_restore
        from crewship.process.postgres import EmbeddedPostgres

        settings = _embedded()
        folder = _archive(settings, None)
        connection = EmbeddedPostgres(settings.data_dir).join()
        base = asyncio.run(wal_archive.backup_running(folder, connection, full=full))
        print(base.path)
        for path in wal_restore.free(folder, keep) if keep else ():
            print(f"deleted: {path}")


@app.command()
def restore(
    folder: Archive = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Such as 2026-12-01T14:03:00Z; without it, everything is restored."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be restored, and do nothing.")] = False,
) -> None:
    """Restore the database from the archive, as it was at a moment, while no server runs.

    A database that is there becomes a snapshot: `crewship postgres revert` brings it back. Keys and files are not in
    the archive.
    """
    with refusals():
        from crewship.process import wal_restore

        settings = _embedded()
        place = _archive(settings, folder)
        moment = None if until is None else wal_restore.parsed(until)
        chosen = wal_restore.choose(place, moment)
        for base in chosen.chain:
            print(f"base backup: {base.path}")
        print(f"log: {len(chosen.segments)} segments in {chosen.line.wal}")
        if dry_run:
            return
        wal_restore.restore(settings.data_dir, chosen, moment, place)
        print(f"The database is as it was at {moment}." if moment else "The database has all that the archive has.")
        for missing in wal_restore.without(settings):
            print(missing)


def _archive(settings: "Settings", given: Path | None) -> Path:
    from crewship.process.database import StartError

    folder = given or settings.wal_archive
    if folder is None:
        raise StartError("there is no archive: set CREWSHIP_WAL_ARCHIVE")
    return folder.absolute()


def _described(snapshot: "Snapshot") -> str:
    if not snapshot.revision:
        return f"replaced at {snapshot.at}, PostgreSQL {snapshot.major}"
    return f"made at {snapshot.at}, revision {snapshot.revision}"


def _as_dict(snapshot: "Snapshot") -> dict[str, Any]:
    made = {"path": str(snapshot.path), "at": snapshot.at, "revision": snapshot.revision or None}
    return made | {"release": snapshot.release or None, "sizeBytes": snapshot.size}


def _embedded() -> "Settings":
    from crewship.process.database import StartError
    from resolvers.instance.settings import load_settings

    settings = load_settings()
    if settings.database_url is not None:
        raise StartError("DATABASE_URL is set: these commands are for the embedded PostgreSQL")
    return settings
