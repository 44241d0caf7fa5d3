"""The commands by which people work with a server: they ask its GraphQL schema, and follow it over its socket."""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any, Literal

import typer

app = typer.Typer()
PANEL = "Work with a server"

Server = Annotated[str | None, typer.Option(help="URL of the server (CREWSHIP_SERVER; default http://127.0.0.1:8080).")]
Token = Annotated[str | None, typer.Option(help="CLI token (CREWSHIP_TOKEN); `crewship login` stores one.")]
Workspace = Annotated[
    str | None, typer.Option(help="Slug or id of the workspace, if you are in several (CREWSHIP_WORKSPACE).")
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Profile with these values (CREWSHIP_PROFILE), or the path of a file, with a slash."
    ),
]
Number = Annotated[int, typer.Option("--number", "-n", min=1, max=100, help="Number of rows, newest first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print JSON; with --follow, one object per line.")]
AgentName = Annotated[str | None, typer.Option(help="Only the agent with this slug or id.")]


def of_a_server(command: Callable[..., None]) -> Callable[..., None]:
    """The command has the options by which a server is found; it is called with the profile that they come to."""
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != "found"]
    options = {"server": Server, "token": Token, "workspace": Workspace, "profile": ProfileName}
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in options.items()]

    @functools.wraps(command)
    def found_first(**given: Any) -> None:
        from crewship.cli.profiles import find_profile

        wanted = given.pop("profile")
        with explained():
            found = find_profile({name: given.pop(name) for name in ("server", "token", "workspace")}, wanted)
            command(found, **given)

    found_first.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    found_first.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
    return found_first


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """An error that a person can correct is one line, with exit code 1."""
    from crewship.cli.profiles import ClientError

    try:
        yield
    except ClientError as error:
        print(f"crewship: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _carry_out(work: Coroutine[Any, Any, int]) -> None:
    """Exits with the result of the work; 130 after Ctrl-C."""
    import asyncio

    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


@app.command(rich_help_panel=PANEL)
def login(
    server: Server = None, workspace: Workspace = None, profile: ProfileName = None, as_json: AsJson = False
) -> None:
    """Pair this terminal with your account.

    Asks for the code that the account page of the server shows, and keeps the token that it is good for in a profile,
    where the other commands find it. The first profile is the one in use.
    """
    from crewship.cli.login import log_in

    with explained():
        raise typer.Exit(log_in(server, workspace, profile, as_json))


@app.command(rich_help_panel=PANEL)
@of_a_server
def runs(
    found: Any,
    agent: AgentName = None,
    status: Annotated[str | None, typer.Option(help="RUNNING, COMPLETED, FAILED, CANCELLED or TIMEOUT.")] = None,
    number: Number = 20,
    as_json: AsJson = False,
) -> None:
    """List the runs of agents."""
    from crewship.cli.listing import RUNS, show

    _carry_out(show(found, RUNS, number, as_json, agent=agent, status=status))


@app.command(rich_help_panel=PANEL)
@of_a_server
def issues(
    found: Any,
    status: Annotated[str | None, typer.Option(help="Such as TODO, IN_PROGRESS or DONE.")] = None,
    search: Annotated[str | None, typer.Option("--search", "-q", help="Words in the title.")] = None,
    number: Number = 20,
    as_json: AsJson = False,
) -> None:
    """List the issues of the workspace."""
    from crewship.cli.listing import ISSUES, show

    _carry_out(show(found, ISSUES, number, as_json, status=status, search=search))


@app.command(rich_help_panel=PANEL)
@of_a_server
def missions(
    found: Any,
    status: Annotated[str | None, typer.Option(help="Such as PLANNING, IN_PROGRESS or COMPLETED.")] = None,
    number: Number = 20,
    as_json: AsJson = False,
) -> None:
    """List the missions of the workspace."""
    from crewship.cli.listing import MISSIONS, show

    _carry_out(show(found, MISSIONS, number, as_json, status=status))


@app.command(rich_help_panel=PANEL)
@of_a_server
def approvals(
    found: Any,
    status: Annotated[
        str | None, typer.Option(help="pending, approved, denied, timeout or cancelled; all for each.")
    ] = None,
    number: Number = 20,
    as_json: AsJson = False,
) -> None:
    """List approvals that agents wait for: pending ones, unless you ask for others."""
    from crewship.cli.listing import APPROVALS, show

    _carry_out(show(found, APPROVALS, number, as_json, status=status))


@app.command(rich_help_panel=PANEL)
@of_a_server
def approve(
    found: Any,
    id: Annotated[str, typer.Argument(help="Id of the approval, from `crewship approvals`.")],
    deny: Annotated[bool, typer.Option("--deny", help="Deny it.")] = False,
    comment: Annotated[str | None, typer.Option(help="Comment for the agent and other readers.")] = None,
    as_json: AsJson = False,
) -> None:
    """Approve or deny a request of an agent."""
    from crewship.cli.listing import decide

    _carry_out(decide(found, id, approved=not deny, comment=comment, as_json=as_json))


@app.command(rich_help_panel=PANEL)
@of_a_server
def logs(
    found: Any,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new entries.")] = False,
    agent: AgentName = None,
    search: Annotated[str | None, typer.Option("--search", "-q", help="Words to search for.")] = None,
    number: Number = 20,
    as_json: AsJsonLines = False,
) -> None:
    """Print the journal of the workspace, the newest entry last.

    With --follow, a lost connection is opened again, and no entry is missed.
    """
    from crewship.cli.listing import follow_journal, show_journal

    wanted = {"agent": agent, "search": search}
    _carry_out(
        follow_journal(found, number, as_json, **wanted) if follow else show_journal(found, number, as_json, **wanted)
    )


@app.command(rich_help_panel=PANEL)
@of_a_server
def ask(
    found: Any,
    agent: Annotated[str, typer.Argument(help="Slug or id of the agent.")],
    message: Annotated[str, typer.Argument(help="The question.")],
    as_json: AsJson = False,
) -> None:
    """Ask an agent one question, in a chat of its own. Exit code 0 if the agent completed the run, otherwise 1."""
    from crewship.cli.chat import chat as converse

    raise typer.Exit(converse(found, agent, message, new=True, as_json=as_json))


@app.command(rich_help_panel=PANEL)
@of_a_server
def chat(
    found: Any,
    agent: Annotated[str, typer.Argument(help="Slug or id of the agent.")],
    message: Annotated[
        str | None,
        typer.Argument(help=("One message; without it, messages are typed or read from stdin, one per line.")),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a new chat instead of continuing the last one.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line per message from stdin.")] = False,
) -> None:
    """Talk with an agent. Exit code 0 if the agent completed the run, otherwise 1.

    Ctrl-C cancels the current answer, Ctrl-D leaves.
    """
    from crewship.cli.chat import chat as converse

    raise typer.Exit(converse(found, agent, message, new=new, as_json=as_json))


@app.command(rich_help_panel=PANEL)
@of_a_server
def terminal(found: Any, agent: Annotated[str, typer.Argument(help="Slug or id of the agent.")]) -> None:
    """Open a shell in the sandbox of an agent, in its folder.

    All keys go to the shell, including Ctrl-C and Ctrl-D. Leave with exit or, as with ssh, with ~. after Enter (~~
    types a ~). Exit code 0 when the shell has ended or you left, 1 when it was closed or could not be opened; stderr
    gives the reason.
    """
    from crewship.cli.shell import open_terminal

    _carry_out(open_terminal(found, agent))


profiles_app = typer.Typer(help="Servers that you have logged in to.")
app.add_typer(profiles_app, name="profiles", rich_help_panel=PANEL)


@profiles_app.callback(invoke_without_command=True)
def profiles(context: typer.Context, as_json: AsJson = False) -> None:
    """The servers that you have logged in to; without a command, list them."""
    if context.invoked_subcommand is None:
        list_profiles(as_json)


@profiles_app.command("list")
def list_profiles(as_json: AsJson = False) -> None:
    """List the profiles; a * marks the one in use."""
    from crewship.cli.listing import show_profiles

    with explained():
        show_profiles(as_json)


@profiles_app.command("use")
def use_profile(name: Annotated[str, typer.Argument(help="Name from `crewship profiles`.")]) -> None:
    """Select the profile for other commands."""
    from crewship.cli.profiles import place_of, read, use

    with explained():
        use(name)
        print(f"{name} is in use: {read(place_of(name)).server}", file=sys.stderr)


@profiles_app.command("remove")
def remove_profile(name: Annotated[str, typer.Argument(help="Name from `crewship profiles`.")]) -> None:
    """Forget a profile and its token. The server still accepts the token until you revoke it there."""
    from crewship.cli.profiles import remove

    with explained():
        server = remove(name).server.rstrip("/")
        print(f"{name} was removed. Revoke its token at {server}/account#tokens.", file=sys.stderr)


@app.command(rich_help_panel=PANEL)
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell to generate completion for.")],
) -> None:
    """Print a script that completes commands, options and profiles in a shell.

    bash: eval "$(crewship completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc. fish: crewship completion fish |
    source in ~/.config/fish/config.fish. The script calls no server.
    """
    from crewship.cli.completion import script
    from crewship.cli.main import app as whole

    print(script(typer.main.get_command(whole), shell), end="")
