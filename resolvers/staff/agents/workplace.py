"""An agent's folders: its home, and git's view of its output."""

from collections.abc import Sequence
from typing import Any, Final

from models.staff.agents import Agent
from resolvers.instance.ports import NotRun
from resolvers.instance.store import Entry, names_of
from resolvers.kernel import Action, Code, Context, Output, procedure
from resolvers.staff.agents.files import AGENT, ByAgent, crew_of
from resolvers.staff.crews.files import FilePath
from resolvers.staff.crews.git import LOG, ask_git, is_repository, room_for_git

HOME: Final = "/home"
AGENTS: Final = "agent"
"""The user of the home in the sandbox."""
LEVELS: Final = 3
COLUMNS: Final = 4


class ListHome(ByAgent):
    """`subdir` begins in /home."""

    subdir: FilePath = ""


class ContainerFile(Output):
    """An entry below /home in the container or sandbox of an agent. `path` is the path there; `size` is in bytes."""

    path: str
    name: str
    size: int
    is_dir: bool


class GitCommit(Output):
    """A commit. `date` is ISO 8601, with the offset of its author."""

    hash: str
    message: str
    author: str
    date: str


@procedure("agents.container_files", Action.READ, subject=AGENT, late=True)
async def list_home(ctx: Context, agent: Agent, data: ListHome) -> list[ContainerFile]:
    """List files in the home of an agent.

    Lists three levels below /home in its running container or its sandbox, by name, each folder before its content. At
    most 10,000.
    """
    crew_id, names = crew_of(agent), names_of(data.subdir)
    containers: Any = ctx.outside.containers
    if containers is not None:
        async with containers.inside(ctx.workspace_id, crew_id, agent.id) as inside:
            if inside is not None:
                return _shown("", await inside.walk("/".join((HOME[1:], *names)), LEVELS))
    if names[:1] not in ((), (AGENTS,)):
        return []
    store = ctx.outside.store
    folder = store.folder("workspaces", ctx.workspace_id or "", "agents", agent.id, "home", agents=True)
    below = "/".join(names[1:])
    levels = LEVELS - (0 if names else 1)
    shown = _shown(f"{HOME}/{AGENTS}", await folder.walk(below, levels))
    return shown if names or not shown else [_home(), *shown]


def _home() -> ContainerFile:
    return ContainerFile(path=f"{HOME}/{AGENTS}", name=AGENTS, size=0, is_dir=True)


def _shown(where: str, entries: Sequence[Entry]) -> list[ContainerFile]:
    return [
        ContainerFile(path=f"{where}/{each.path}", name=each.name, size=each.size, is_dir=each.kind == "directory")
        for each in entries
    ]


@procedure("agents.git_log", Action.READ, subject=AGENT, errors=(Code.RATE_LIMITED,), late=True)
async def git_log(ctx: Context, agent: Agent, data: ByAgent) -> list[GitCommit]:
    """List commits in an agent's folder.

    Returns the last 20 commits; empty without a repository or without git.
    """
    crew_id = crew_of(agent)
    if not await is_repository(ctx, crew_id, agent.slug):
        return []
    try:
        with room_for_git(ctx):
            ran = await ask_git(ctx, crew_id, agent.slug, LOG)
    except NotRun:
        return []
    if ran.exit_code:
        return []
    words = ran.output.replace("\0\n", "\0").split("\0")[: -1 if not ran.truncated else None]
    rows = [words[at : at + COLUMNS] for at in range(0, len(words) - COLUMNS + 1, COLUMNS)]
    return [GitCommit(hash=row[0], message=row[1], author=row[2], date=row[3]) for row in rows]
