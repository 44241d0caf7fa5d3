"""`crewship runner`: this machine executes the tools of a crew's agents, or of one agent. See docs/runners.md."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crewship.cli.explaining import explained, refusals
from crewship.cli.people import of_a_server

app = typer.Typer(no_args_is_help=True, help="Execute agents' tools on this machine.")

TOKEN = "CREWSHIP_RUNNER_TOKEN"
RunnerName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the runner, unique in the workspace.")]


@app.command()
@of_a_server
def register(
    found: Any,
    name: RunnerName,
    crew: Annotated[str | None, typer.Option(help="Slug or id of the crew whose agents use it.")] = None,
    agent: Annotated[str | None, typer.Option(help="Slug or id of the one agent that uses it.")] = None,
    idle: Annotated[
        bool, typer.Option("--not-in-use", help="Register it, and leave the tools where they are.")
    ] = False,
) -> None:
    """Register this machine as a runner, and keep its token in a file that only you can read."""
    from crewship.cli.runner_registry import registered

    if (crew is None) == (agent is None):
        raise typer.BadParameter("set either --crew or --agent")
    place = asyncio.run(registered(found, name, crew=crew, agent=agent, in_use=not idle))
    print(f"Registered. The token is stored in {place}, which only you can read.", file=sys.stderr)
    print(f"Start the runner with `crewship runner start {name}`.", file=sys.stderr)


@app.command("list")
@of_a_server
def list_all(
    found: Any, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False
) -> None:
    """List the runners of the workspace."""
    from crewship.cli.runner_registry import listed

    asyncio.run(listed(found, as_json))


@app.command()
@of_a_server
def revoke(found: Any, name: RunnerName) -> None:
    """Revoke a runner: its token is refused from now on."""
    from crewship.cli.runner_registry import revoked

    asyncio.run(revoked(found, name))


@app.command()
def start(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help=f"A runner that was registered here. Without it, {TOKEN} and CREWSHIP_SERVER."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the agents' files (default: below your data directory).")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=16, help="Calls that are executed at the same time.")] = 4,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Send the token over http:// to a server on another machine.")
    ] = False,
) -> None:
    """Start the runner: it asks the server for calls, and opens no port.

    Ctrl-C or SIGTERM stops it after the calls that it executes, or after 20 seconds; a second one stops it at once.
    """
    from crewship.cli.profiles import ClientError, checked, read
    from crewship.runner.server import RunnerEnded
    from runtime.runs.job import Failed

    with refusals(), explained(ClientError, RunnerEnded, Failed):
        from crewship.cli.client import is_loopback
        from crewship.cli.runner_registry import place_of_runner

        if name is not None:
            kept = read(place_of_runner(name))
            server, token = kept.server, kept.token
        else:
            server, token = os.environ.get("CREWSHIP_SERVER", ""), os.environ.pop(TOKEN, None)
        if not token:
            raise ClientError(f"there is no token: name a registered runner, or set {TOKEN} and CREWSHIP_SERVER")
        if checked(server).startswith("http:") and not is_loopback(server) and not plain_http:
            raise ClientError(f"{server} is not encrypted: use https://, or allow it with --plain-http")
        asyncio.run(_work(server, token, name or "runner", folder, at_once))


async def _work(server: str, token: str, name: str, folder: Path | None, at_once: int) -> None:
    from crewship.runner.process import RunnerProcess, say
    from crewship.runner.server import RunnerServer
    from resolvers.instance.settings import default_data_dir, load_settings
    from runtime.runs.job import Failed
    from runtime.sandbox import describe, detect

    place = (folder or default_data_dir().with_name("crewship-runner") / name).absolute()
    settings = load_settings(data_dir=place, storage_path=place / "storage")
    sandbox = await detect(settings)
    if not sandbox.runs_commands:
        report = await describe(settings)
        raise Failed(f"this machine cannot isolate commands: {report.why}. {report.fix}")
    connection = RunnerServer(server, token)
    process = RunnerProcess(connection, sandbox, settings.storage_path, at_once)
    work = asyncio.ensure_future(process.run())

    def stop() -> None:
        if process.draining.is_set():
            work.cancel()
        say("stopping")
        process.draining.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        raise typer.Exit(130) from None
    finally:
        await connection.close()
