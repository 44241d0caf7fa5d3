"""The commands by which people work with a server: they ask its GraphQL schema, and follow it over its socket."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()
PANEL = "Work with a server"

Server = Annotated[
    str | None, typer.Option(help="URL of the server (CREWSHIP_SERVER); http://127.0.0.1:8080 without one.")
]
Token = Annotated[str | None, typer.Option(help="CLI token (CREWSHIP_TOKEN); `crewship login` keeps one.")]
Workspace = Annotated[
    str | None, typer.Option(help="Slug or id of the workspace, if you are in several (CREWSHIP_WORKSPACE).")
]
ProfileFile = Annotated[Path | None, typer.Option(help="File with lines such as CREWSHIP_TOKEN=… to take these from.")]
Number = Annotated[int, typer.Option("--number", "-n", min=1, max=100, help="How many, the newest first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
AgentName = Annotated[str | None, typer.Option(help="Only of the agent with that slug or id.")]


def _of(server: str | None, token: str | None, workspace: str | None, profile: Path | None) -> Any:
    from crewship.client import find_profile

    return find_profile({"server": server, "token": token, "workspace": workspace}, profile)


def _carry_out(work: Coroutine[Any, Any, int]) -> None:
    """The exit code is what comes of it; 130 after Ctrl-C, and 1 with one line on what a person can correct."""
    import asyncio
    import sys

    from crewship.client import ClientError

    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:
        code = 130
    except ClientError as error:
        print(f"crewship: {error}", file=sys.stderr)
        code = 1
    raise typer.Exit(code)


@app.command(rich_help_panel=PANEL)
def login(server: Server = None, profile: ProfileFile = None) -> None:
    """Pair this terminal with your account.

    Asks for the code that the account page of the server shows, and keeps the token that it is good for, where the
    other commands find it.
    """
    from crewship.login import log_in

    _carry_out(log_in(server, profile))


@app.command(rich_help_panel=PANEL)
def runs(
    agent: AgentName = None,
    status: Annotated[str | None, typer.Option(help="RUNNING, COMPLETED, FAILED, CANCELLED or TIMEOUT.")] = None,
    number: Number = 20,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    workspace: Workspace = None,
    profile: ProfileFile = None,
) -> None:
    """What agents have done and are doing."""
    from crewship.listing import RUNS, show

    _carry_out(show(_of(server, token, workspace, profile), RUNS, number, as_json, agent=agent, status=status))


@app.command(rich_help_panel=PANEL)
def issues(
    status: Annotated[str | None, typer.Option(help="Such as TODO, IN_PROGRESS or DONE.")] = None,
    search: Annotated[str | None, typer.Option("--search", "-q", help="Words of the title.")] = None,
    number: Number = 20,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    workspace: Workspace = None,
    profile: ProfileFile = None,
) -> None:
    """Issues of the workspace."""
    from crewship.listing import ISSUES, show

    _carry_out(show(_of(server, token, workspace, profile), ISSUES, number, as_json, status=status, search=search))


@app.command(rich_help_panel=PANEL)
def missions(
    status: Annotated[str | None, typer.Option(help="Such as PLANNING, IN_PROGRESS or COMPLETED.")] = None,
    number: Number = 20,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    workspace: Workspace = None,
    profile: ProfileFile = None,
) -> None:
    """Missions of the workspace."""
    from crewship.listing import MISSIONS, show

    _carry_out(show(_of(server, token, workspace, profile), MISSIONS, number, as_json, status=status))


@app.command(rich_help_panel=PANEL)
def approvals(
    status: Annotated[
        str | None, typer.Option(help="pending, approved, denied, timeout or cancelled; all for each.")
    ] = None,
    number: Number = 20,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    workspace: Workspace = None,
    profile: ProfileFile = None,
) -> None:
    """What agents wait for: those that are pending, unless you ask for others."""
    from crewship.listing import APPROVALS, show

    _carry_out(show(_of(server, token, workspace, profile), APPROVALS, number, as_json, status=status))


@app.command(rich_help_panel=PANEL)
def approve(
    id: Annotated[str, typer.Argument(help="Id of the approval, as `crewship approvals` shows it.")],
    deny: Annotated[bool, typer.Option("--deny", help="Deny it.")] = False,
    comment: Annotated[str | None, typer.Option(help="What the agent and others read with it.")] = None,
    server: Server = None,
    token: Token = None,
    workspace: Workspace = None,
    profile: ProfileFile = None,
) -> None:
    """Approve what an agent waits for, or deny it."""
    from crewship.listing import decide

    _carry_out(decide(_of(server, token, workspace, profile), id, approved=not deny, comment=comment))


@app.command(rich_help_panel=PANEL)
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    agent: AgentName = None,
    search: Annotated[str | None, typer.Option("--search", "-q", help="Words that are in it.")] = None,
    number: Number = 20,
    as_json: AsJson = False,
    server: Server = None,
    token: Token = None,
    workspace: Workspace = None,
    profile: ProfileFile = None,
) -> None:
    """The journal of the workspace, the newest entry last.

    A connection that is lost while it is followed is made again, and nothing is left out.
    """
    from crewship.listing import follow_journal, show_journal

    found = _of(server, token, workspace, profile)
    wanted = {"agent": agent, "search": search}
    _carry_out(
        follow_journal(found, number, as_json, **wanted) if follow else show_journal(found, number, as_json, **wanted)
    )


@app.command(rich_help_panel=PANEL)
def ask(
    agent: Annotated[str, typer.Argument(help="Slug or id of the agent.")],
    message: Annotated[str, typer.Argument(help="What to ask.")],
    server: Server = None,
    token: Token = None,
    workspace: Workspace = None,
    profile: ProfileFile = None,
) -> None:
    """Ask an agent one thing, in a chat of its own. Exit code 0 when it did what it was asked, 1 when not."""
    import sys

    from crewship.chat import chat as converse
    from crewship.client import ClientError

    try:
        code = converse(_of(server, token, workspace, profile), agent, message, new=True)
    except ClientError as error:
        print(f"crewship: {error}", file=sys.stderr)
        code = 1
    raise typer.Exit(code)
