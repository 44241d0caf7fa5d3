"""`crewship backup`: bundles of the instance and of workspaces, made and restored on the machine of the server."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from crewship.cli.explaining import explained, refusals

if TYPE_CHECKING:
    from resolvers.instance.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Backups of the instance, and of workspaces.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
BundleName = Annotated[
    str,
    typer.Argument(metavar="BUNDLE", help="Path or s3://… of a bundle, or its name in the server's directory."),
]
OneWorkspace = Annotated[
    str | None, typer.Option(metavar="SLUG", help="Slug or id of one workspace; without it, the whole instance.")
]
OneCrew = Annotated[str | None, typer.Option(metavar="SLUG", help="Slug or id of one crew of the workspace.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File whose first line is the passphrase; - is stdin (CREWSHIP_BACKUP_PASSPHRASE). Without it, a terminal"
        " asks.",
    ),
]
IdentityFile = Annotated[Path | None, typer.Option(metavar="FILE", help="File with an age identity; - is stdin.")]
Recipient = Annotated[
    str | None, typer.Option(metavar="AGE1…", help="Seal for the owner of this age key, in place of a passphrase.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


@app.command()
def create(
    workspace: OneWorkspace = None,
    crew: OneCrew = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder or s3://… for the bundle; default: the server's."),
    ] = None,
    level: Annotated[
        Literal["quick", "standard"], typer.Option(help="quick leaves out the homes of agents, of a workspace.")
    ] = "standard",
    passphrase_file: PassphraseFile = None,
    recipient: Recipient = None,
    no_encrypt: Annotated[
        bool, typer.Option("--no-encrypt", help="Do not seal it. Only for a bundle of a workspace or a crew.")
    ] = False,
    incremental: Annotated[
        bool,
        typer.Option("--incremental", help="Put contents of large files beside the bundle, and send only new ones."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a bundle of the instance, of one workspace or of one crew, while the server works on.

    A bundle of the instance has the database, the keys and the files, and is always sealed.
    """
    from crewship.cli import backup_work

    if crew is not None and workspace is None:
        raise typer.BadParameter("--crew requires --workspace")
    with _faults():
        from crewship.process.bundles import Seal
        from crewship.process.database import existing_database

        settings = _settings()
        secret = None
        if recipient is None and not no_encrypt:
            secret = backup_work.passphrase(settings, passphrase_file, twice=True)
        seal = Seal(secret, recipient, no_encrypt)
        backup_work.check_seal(seal)
        with (
            existing_database(settings) as access,
            backup_work.progress("Making a bundle", "The bundle is made", as_json),
        ):
            making = backup_work.create(settings, access, workspace, crew, level, seal, to, incremental=incremental)
            made = asyncio.run(making)
    if as_json:
        print(json.dumps(made, indent=2))
        return
    print(made["path"])


@app.command("list")
def list_bundles(
    workspace: Annotated[str | None, typer.Option(metavar="SLUG", help="Only bundles of this workspace.")] = None,
    folder: Annotated[str | None, typer.Option("--from", metavar="FOLDER", help="Folder or s3://… to read.")] = None,
    as_json: AsJson = False,
) -> None:
    """List bundles, the newest first. Damaged ones are among them, with the reason."""
    from crewship.cli import backup_files, backup_work

    with _faults():
        found = backup_files.listed(_settings(), folder, workspace)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        backup_work.print_list(found)


@app.command()
def inspect(bundle: BundleName, as_json: AsJson = False) -> None:
    """Show the manifest of a bundle. Requires no passphrase."""
    from crewship.cli import backup_files, backup_work

    with _faults(), backup_files.opened(_settings(), bundle) as found:
        if as_json:
            print(json.dumps(found.manifest, indent=2))
        else:
            backup_work.print_manifest(found)


@app.command()
def verify(
    bundle: BundleName,
    passphrase_file: PassphraseFile = None,
    identity_file: IdentityFile = None,
    deep: Annotated[bool, typer.Option("--open", help="Open the seal too, and read everything that is in it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare every byte of a bundle with its checksums. Exit code 1 if one differs.

    Requires no passphrase, unless --open is given.
    """
    from crewship.cli import backup_files, backup_work

    with _faults():
        settings = _settings()
        with backup_files.opened(settings, bundle) as found:
            fault = found.fault()
            if deep and not fault:
                fault = backup_work.deep_fault(
                    found, backup_work.identity(settings, found, passphrase_file, identity_file)
                )
            fault = fault or ("" if deep else found.beside_fault())
            told = {"path": bundle, "valid": not fault, "sizeBytes": found.size, "error": fault}
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        print(f"{told['path']}: {fault or 'whole'}")
    if fault:
        raise typer.Exit(1)


@app.command()
def restore(
    bundle: BundleName,
    workspace: Annotated[
        str | None,
        typer.Option(metavar="SLUG", help="Restore into this workspace; default: that of its id or slug."),
    ] = None,
    as_workspace: Annotated[
        str | None, typer.Option(metavar="SLUG", help="Restore as a new workspace, with new ids.")
    ] = None,
    as_crew: Annotated[
        str | None,
        typer.Option(metavar="SLUG", help="Restore a crew as a new one, beside the others of the workspace."),
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="EMAIL", help="Owner of the new workspace: a user of this server.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Restore in place of the workspace: remove its rows first.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    identity_file: IdentityFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restore a bundle, all of it or nothing.

    A bundle of the instance is restored into an empty data directory and database, while no server runs. A bundle of a
    workspace or a crew is restored into a server's database, whether the server runs or not.
    """
    from crewship.cli import backup_files, backup_work

    with _faults():
        settings = _settings()
        with backup_files.opened(settings, bundle) as found:
            key = backup_work.identity(settings, found, passphrase_file, identity_file)
            given: dict[str, Any] = {
                "as_workspace": as_workspace,
                "as_crew": as_crew,
                "replace": replace,
                "dry_run": dry_run,
            }
            with backup_work.progress("Restoring", "The bundle was read", as_json):
                told = backup_work.restore(settings, found, key, workspace, owner, given)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        print(backup_work.told_restored(told, dry_run))


@app.command()
def rotate(
    keep_last: Annotated[int, typer.Option(min=0, help="Keep this number of the newest bundles; 0 is no limit.")] = 0,
    keep_days: Annotated[int, typer.Option(min=0, help="Keep bundles for this many days; 0 is no limit.")] = 0,
    workspace: Annotated[str | None, typer.Option(metavar="SLUG", help="Only bundles of this workspace.")] = None,
    scope: Annotated[
        Literal["instance", "workspace", "crew"] | None, typer.Option(help="Only bundles of this scope.")
    ] = None,
    folder: Annotated[str | None, typer.Option("--from", metavar="FOLDER", help="Folder or s3://… to read.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete old bundles by number and by age, of the instance, of each workspace and of each crew apart.

    A bundle goes if it is beyond the newest --keep-last, or older than --keep-days. A damaged bundle takes no place
    among the newest, and bundles that are not whole do not replace an older one that is.
    """
    from crewship.cli import backup_files, backup_work

    if not keep_last and not keep_days:
        raise typer.BadParameter("--keep-last or --keep-days must be above 0")
    with _faults():
        limits = (keep_last, keep_days)
        done = backup_files.rotated(_settings(), folder, workspace, scope, limits, dry_run=dry_run)
    if as_json:
        told = {"deleted": done.deleted, "dryRun": dry_run, "damaged": [entry["path"] for entry in done.damaged]}
        print(json.dumps(told, indent=2))
        return
    for path in done.deleted:
        print(f"{'would be deleted' if dry_run else 'deleted'}: {path}")
    if not done.deleted:
        print("No bundle is that old.")
    backup_work.print_damaged(done.damaged)
    for path in done.blocked:
        print(f"crewship: no contents are deleted: {path} cannot be read, and may need them", file=sys.stderr)


@app.command()
def rehearse(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="A bundle of the instance; without it, the newest.")
    ] = None,
    folder: Annotated[
        str | None, typer.Option("--from", metavar="FOLDER", help="Folder or s3://… of the newest bundle.")
    ] = None,
    within: Annotated[
        Path | None, typer.Option("--in", metavar="FOLDER", help="Folder with space for a copy of the instance.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    identity_file: IdentityFile = None,
    as_json: AsJson = False,
) -> None:
    """Restore a bundle of the instance into a server of its own, check it, and remove it again.

    Counts all rows, opens secrets, and checks the audit log. The metrics of the server show the result. Exit code 1 if
    the bundle could not be restored, or the newest one is damaged.
    """
    from crewship.cli import backup_work

    if bundle is not None and folder is not None:
        raise typer.BadParameter("name BUNDLE or --from")
    with _faults():
        from crewship.cli.rehearsing import rehearsed

        settings = _settings()
        key = partial(backup_work.identity, settings, passphrase_file=passphrase_file, path=identity_file)
        with backup_work.progress("Rehearsing a restore", "The rehearsal is over", as_json):
            told = rehearsed(settings, bundle, folder, key, within)
        backup_work.note_rehearsal(settings, told)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        print(backup_work.told_rehearsal(told))
    if not told["ok"]:
        raise typer.Exit(1)


def _settings() -> "Settings":
    from resolvers.instance.settings import load_settings

    return load_settings()


@contextmanager
def _faults() -> Iterator[None]:
    """Faults of bundles, of the server's settings, and refusals, in one line each."""
    from resolvers.errors import Refusal
    from resolvers.instance.bundles.faults import BundleError

    with explained(Refusal, BundleError), refusals():
        yield
