"""`crewship postgres`: the data of the embedded PostgreSQL."""

import json
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
def revert() -> None:
    """Put the newest snapshot in the place of the database, while no server runs. Everything written after it is gone.

    The database that is replaced becomes the newest snapshot: a second call brings it back.
    """
    with refusals():
        from crewship.process import postgres_snapshots

        settings = _embedded()
        snapshot = postgres_snapshots.revert(settings.data_dir)
    if snapshot is None:
        print("The revert that was interrupted is complete.")
        return
    print(f"The database is as it was at {snapshot.at}.")
    if snapshot.revision:
        by = f"Crewship {snapshot.release}" if snapshot.release else "the release that made it"
        print(f"It is at revision {snapshot.revision}. Start {by}: a newer release migrates it again.")


def _described(snapshot: "Snapshot") -> str:
    if not snapshot.revision:
        return f"replaced at {snapshot.at}"
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
