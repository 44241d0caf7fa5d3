"""What is in an agent's folders: its home, and what git says of its output."""

from typing import Final

from models.agents import Agent
from resolvers.agents.files import AGENT, ByAgent, crew_of
from resolvers.crews.files import FilePath
from resolvers.crews.git import LOG, ask_git, is_repository
from resolvers.kernel import Action, Code, Context, Entry, NotRun, Output, names_of, procedure

HOME: Final = "/home"
AGENTS: Final = "agent"
"""Whose home it is, in the sandbox."""
LEVELS: Final = 3
COLUMNS: Final = 4


class ListHome(ByAgent):
    """`subdir` begins in /home."""

    subdir: FilePath = ""


class ContainerFile(Output):
    """An entry below /home in the sandbox. `path` is the one there."""

    path: str
    name: str
    size: int
    is_dir: bool


class GitCommit(Output):
    """`date` is ISO 8601, with the offset of its author."""

    hash: str
    message: str
    author: str
    date: str


@procedure("agents.container_files", Action.READ, subject=AGENT, errors=(Code.NOT_FOUND,), late=True)
async def list_home(ctx: Context, agent: Agent, data: ListHome) -> list[ContainerFile]:
    """List files in the home of an agent.

    Three levels below /home in its sandbox, by name, each folder before what is in it. At most 10,000.
    """
    crew_of(agent)
    names = names_of(data.subdir)
    if names[:1] not in ((), (AGENTS,)):
        return []
    store = ctx.outside.store
    folder = store.folder("workspaces", ctx.workspace_id or "", "agents", agent.id, "home", agents=True)
    below = "/".join(names[1:])
    levels = LEVELS - (0 if names else 1)
    shown = [_shown(entry) for entry in await folder.walk(below, levels)]
    return shown if names or not shown else [_home(), *shown]


def _home() -> ContainerFile:
    return ContainerFile(path=f"{HOME}/{AGENTS}", name=AGENTS, size=0, is_dir=True)


def _shown(entry: Entry) -> ContainerFile:
    path = f"{HOME}/{AGENTS}/{entry.path}"
    return ContainerFile(path=path, name=entry.name, size=entry.size, is_dir=entry.kind == "directory")


@procedure("agents.git_log", Action.READ, subject=AGENT, errors=(Code.NOT_FOUND,), late=True)
async def git_log(ctx: Context, agent: Agent, data: ByAgent) -> list[GitCommit]:
    """List commits in an agent's folder.

    The last 20, as git has them; nothing where there is no repository, or no git.
    """
    crew_id = crew_of(agent)
    if not await is_repository(ctx, crew_id, agent.slug):
        return []
    try:
        ran = await ask_git(ctx, crew_id, agent.slug, LOG)
    except NotRun:
        return []
    if ran.exit_code:
        return []
    words = ran.output.replace("\0\n", "\0").split("\0")[: -1 if not ran.truncated else None]
    rows = [words[at : at + COLUMNS] for at in range(0, len(words) - COLUMNS + 1, COLUMNS)]
    return [GitCommit(hash=row[0], message=row[1], author=row[2], date=row[3]) for row in rows]
