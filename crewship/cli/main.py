"""The command `crewship`. The application is imported when a command needs it, so that `--help` answers at once."""

import asyncio
import gc
import json
import os
import select
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from crewship.cli.backup import app as backup_app
from crewship.cli.explaining import explained, refusals
from crewship.cli.people import app as people_app
from crewship.cli.postgres import app as postgres_app
from crewship.cli.runner import app as runner_app

if TYPE_CHECKING:
    from crewship.cli.reseal import Needed
    from resolvers.instance.settings import Settings
    from resolvers.oversight.audit.verification import Fault

DOCUMENTS = frozenset({
    "routes", "operations", "schema", "openapi", "version", "completion",
    "runs", "issues", "missions", "approvals", "logs", "profiles",
})  # fmt: skip
"""Commands that only print: they may end when their reader has enough, like `head`. The exit code of others has more
meanings.
"""


class Commands(TyperGroup):
    """A command whose reader leaves ends in silence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            answered = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            if not _is_left_alone():
                raise
            raise typer.Exit(0 if ctx.invoked_subcommand in DOCUMENTS else 1) from None
        return answered


def _is_left_alone() -> bool:
    """Returns true if the reader of stdout has gone; further output is dropped."""
    watched = select.poll()
    watched.register(sys.stdout.fileno(), 0)
    if not watched.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else it is written once more at the end
    return True


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

app.add_typer(people_app)
audit_app = typer.Typer(no_args_is_help=True, help="The audit log.")
app.add_typer(audit_app, name="audit")
keys_app = typer.Typer(no_args_is_help=True, help="The keys of the instance.")
app.add_typer(keys_app, name="keys")
app.add_typer(backup_app, name="backup")
app.add_typer(postgres_app, name="postgres")
app.add_typer(runner_app, name="runner")

WHILE_LOADING = (200_000, 10)
"""For the collector of garbage: what is imported stays, and to walk it again and again is a fifth of a start. A server
has its own once it is open.
"""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _show_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def crewship(
    shown: Annotated[
        bool, typer.Option("--version", help="Show the release and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """The Crewship server: REST and GraphQL on PostgreSQL."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (CREWSHIP_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any free one (CREWSHIP_PORT).")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of serving processes (CREWSHIP_WORKERS).")] = None,
    role: Annotated[
        Literal["all", "api", "worker"] | None, typer.Option(help="Role of this process (CREWSHIP_ROLE).")
    ] = None,
) -> None:
    """Start the database if need be, migrate it, and serve.

    Several processes may share one data directory: the first one runs the database, which ends with it. For lifetimes
    that do not depend on each other, give all of them a DATABASE_URL.
    """
    with refusals():
        from crewship.process.progress import Progress
        from crewship.process.serve import serve as run
        from crewship.process.serve import tell_step
        from resolvers.instance.settings import load_settings

        settings = load_settings(host=host, port=port, workers=workers, role=role)
        run(settings, progress=Progress(sys.stderr, tell_step))


@app.command()
def demo(
    data_dir: Annotated[Path, typer.Option(help="Data directory of the demo.")] = Path(".demo"),
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on (CREWSHIP_PORT, default 8080); another port if it is in use."
        ),
    ] = None,
) -> None:
    """Start a demo server with a small local model, an owner, a crew and an agent, and print how to talk with it.
    Ctrl-C stops it.
    """
    from crewship.cli.demo import demo as run
    from crewship.cli.profiles import ClientError
    from runtime.runs.job import Failed

    with refusals(), explained(ClientError, Failed):
        run(data_dir, port)


@app.command()
def migrate(
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be done, with its SQL, and do nothing.")
    ] = False,
    no_snapshot: Annotated[
        bool, typer.Option("--no-snapshot", help="Make no snapshot of the embedded database first.")
    ] = False,
) -> None:
    """Bring the database to the schema of this release.

    The embedded database is copied first, for `crewship postgres revert`.
    """
    if plan:
        return _migration_plan()
    with refusals():
        from crewship.process.database import database
        from crewship.process.serve import migrate as bring

        settings = _settings()
        with database(settings) as access:
            print(f"The database is at revision {asyncio.run(bring(settings, access, snapshot=not no_snapshot))}.")


def _migration_plan() -> None:
    with refusals():
        from crewship.cli.migration_plan import planned
        from crewship.process.database import database

        with database(_settings()) as access:
            print(asyncio.run(planned(access)))


@app.command("import")
def import_data(
    path: Annotated[Path, typer.Argument(help="Data directory of the Go server (CREWSHIP_HOME), or its crewship.db.")],
    storage: Annotated[
        Path | None, typer.Option(help="Folder of its crews' files, if that is not `output` in the data directory.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="File with its ENCRYPTION_KEY, if that is not in the data directory, nor this server's."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, report it, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import the data directory of the public Go server: workspaces, people, agents, chats, issues, credentials, files.

    Each workspace is one transaction. You can interrupt and repeat the import: rows that are there stay as they are.
    """
    with refusals():
        from crewship.cli.importing import imported
        from crewship.importing.source import SourceError
        from crewship.process.database import existing_database
        from resolvers.errors import Refusal

        settings = _settings()
        with explained(SourceError, Refusal), existing_database(settings) as access:
            report = imported(settings, access, path, storage=storage, key_file=keys, dry_run=dry_run)
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        print("\n".join(report.lines()))


@app.command()
def forget_passkeys(email: Annotated[str, typer.Argument(help="Email of the user, as stored.")]) -> None:
    """Delete the passkeys of a user who has lost them: the password is enough to sign in again."""
    from crewship.cli.passkeys import NoSuchUser, forget

    with refusals(), explained(NoSuchUser):
        from crewship.process.database import existing_database

        with existing_database(_settings()) as access:
            print(f"{asyncio.run(forget(access.owner, email))} passkeys of {email} are deleted.")


@app.command()
def reset_password(email: Annotated[str, typer.Argument(help="Email of the user, as stored.")]) -> None:
    """Set a new password for a user who cannot be mailed a link, and end all sessions of the user.

    In a terminal it asks for the password twice; otherwise it reads the first line of stdin. CLI tokens and passkeys
    stay valid.
    """
    from crewship.cli.passkeys import NoSuchUser
    from crewship.cli.passwords import reset
    from resolvers.errors import Refusal

    password = _new_password()
    with refusals(), explained(NoSuchUser, Refusal):
        from crewship.process.database import existing_database

        with existing_database(_settings()) as access:
            ended = asyncio.run(reset(access.owner, email, password))
            print(f"The password of {email} is set; {ended} sessions have ended.")


def _new_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check data directory, database, keys and port, and say how to fix what is wrong. Exit code 1 if anything is
    wrong.
    """
    with refusals():
        from crewship.cli.doctor import examine

        checks = examine(_settings())
    if as_json:
        print(
            json.dumps(
                {"ok": all(check.ok for check in checks), "checks": [check.as_dict() for check in checks]}, indent=2
            )
        )
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.found}")
            if check.fix:
                print(f"       {check.fix}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@audit_app.command("verify")
def verify_audit(
    workspace: Annotated[str | None, typer.Option(help="Slug or id of one workspace; without it, all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no row of the audit log was changed, removed, moved or added since it was sealed. Exit code 1 when one
    was.
    """
    with refusals():
        from crewship.cli.audit import verified
        from crewship.process.database import existing_database

        settings, faults = _settings(), list[dict[str, str]]()

        def tell(fault: "Fault") -> None:
            faults.append({"workspaceId": fault.workspace_id, "text": fault.text})
            if not as_json:
                print(f"{fault.workspace_id}: {fault.text}")

        with existing_database(settings) as access:
            found = asyncio.run(verified(settings, access, workspace, tell))
    if as_json:
        counted = {name: getattr(found, name) for name in ("rows", "seals", "workspaces", "dropped")}
        print(json.dumps(counted | {"faults": faults}, indent=2))
        raise typer.Exit(1 if faults else 0)
    expired = f", and {found.dropped} expired rows" if found.dropped else ""
    print(f"{found.rows} rows in {found.seals} seals of {found.workspaces} workspaces{expired}: {found.faults} faults.")
    if found.faults:
        raise typer.Exit(1)


@keys_app.command("rotate")
def rotate_keys(
    data_keys: Annotated[
        bool, typer.Option("--data-keys", help="First create new data keys for every workspace and the instance.")
    ] = False,
) -> None:
    """Rewrap every data key with the current wrapping key, and reseal values that are not sealed with their workspace's
    data key, while the service runs. You can interrupt and repeat it. Exit code 1 if a value could not be opened.
    """
    with refusals():
        from crewship.cli.reseal import reseal
        from crewship.process.database import existing_database

        settings = _settings()
        with existing_database(settings) as access:
            told = reseal(settings, access, lambda column: print(f"sealed: {column}", flush=True), new_keys=data_keys)
            done = asyncio.run(told)
    print(f"{done.made} data keys created, {done.wrapped} rewrapped, {done.removed} removed.")
    print(f"{done.values} values resealed; {done.unopenable} values and data keys could not be opened.")
    _print_needed(done.needed)
    if done.unopenable:
        raise typer.Exit(1)


@keys_app.command("status")
def keys_status(as_json: AsJson = False) -> None:
    """Show which key wraps, and what each key is still needed for."""
    with refusals():
        from crewship.cli.reseal import needed
        from crewship.process.database import existing_database

        settings = _settings()
        with existing_database(settings) as access:
            found = asyncio.run(needed(settings, access))
    if as_json:
        print(json.dumps({"wraps": found.wraps, "neededFor": dict(found.keys), "retired": found.retired}, indent=2))
    else:
        _print_needed(found)


@keys_app.command("drop")
def drop_key(name: Annotated[str, typer.Argument(help="Such as ENCRYPTION_KEY.")]) -> None:
    """Drop a key that is no longer needed: the server then starts without it. Refused while the key is needed, for
    example for the seals of the audit log.
    """
    with refusals():
        from crewship.cli.reseal import drop
        from crewship.process.database import existing_database

        settings = _settings()
        with existing_database(settings) as access:
            asyncio.run(drop(settings, access, name))
    print(f"{name} is no longer needed; remove it from the environment and from secrets.env.")


def _print_needed(needed: "Needed") -> None:
    print(f"{needed.wraps} wraps data keys.")
    for name, count in sorted(needed.keys.items()):
        print(f"{name} is needed for {count} data keys, values and signatures.")
    if needed.retired:
        print(f"{needed.retired} data keys are retired; an hour later a rotation removes those that nothing needs.")


@app.command()
def routes(as_json: AsJson = False) -> None:
    """Print the REST routes, each with its operation, role and errors."""
    from rest_compat.http.routes import table

    _print_rows(table(), as_json)


@app.command()
def operations(as_json: AsJson = False) -> None:
    """Print the registry of operations, each with its REST routes and GraphQL fields."""
    from rest_compat.http.routes import operations as registry
    from schema.bridge.root import fields

    _print_rows(registry(fields()), as_json)


@app.command()
def schema() -> None:
    """Print the GraphQL schema as SDL."""
    from schema.bridge.root import sdl

    print(sdl(), end="")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the REST surface."""
    from rest_compat.http.openapi import document

    print(json.dumps(document(), indent=2, ensure_ascii=False))


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the release."""
    from importlib.metadata import version as released

    found = released("crewship")
    print(json.dumps({"version": found}) if as_json else found)


def _settings() -> "Settings":
    from resolvers.instance.settings import load_settings

    return load_settings()


def _print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """A table for people in a terminal; one tab-separated line a row for programs."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    names = list(rows[0]) if rows else []
    lines = [[_cell(row.get(name)) for name in names] for row in rows]
    if not sys.stdout.isatty():
        print("\n".join("\t".join(line) for line in [names, *lines]))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(*names, box=None, pad_edge=False, header_style="bold")
    for line in lines:
        shown.add_row(*line)
    Console().print(shown, markup=False)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_cell(part) for part in value)
    if isinstance(value, Mapping):
        return " ".join(str(part) for part in value.values())
    return "" if value is None else str(value)


def main() -> None:
    gc.set_threshold(*WHILE_LOADING)
    try:
        app()
    except SystemExit as end:
        if end.code == 1 and "--help" in sys.argv:  # nothing else of a help fails than that its reader leaves
            raise SystemExit(0) from None
        raise
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _is_left_alone()


if __name__ == "__main__":
    main()
