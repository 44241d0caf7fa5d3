"""Files of one agent: its folder within the folder of its crew."""

from typing import Annotated

from pydantic import Field

from models.staff.agents import Agent
from resolvers.instance.store import Opened, names_of
from resolvers.kernel import (
    REST_ONLY,
    Action,
    Code,
    Context,
    Flag,
    Id,
    Input,
    Refusal,
    Subject,
    command,
    forbidden,
    procedure,
)
from resolvers.staff.crews.events import FileChanged
from resolvers.staff.crews.files import (
    Content,
    FileInfo,
    FilePath,
    FileSaved,
    below_crew,
    keep,
    listed,
    output_of,
    refuse_attachments,
    sent,
)

AGENT = Subject(Agent, "agent_id")


class ByAgent(Input):
    """An agent of the workspace."""

    agent_id: Id


class ListAgentFiles(ByAgent):
    """`subdir` begins in the agent's folder, or with the ids that paths of the list begin with."""

    subdir: FilePath = ""
    recursive: Flag = False


class AgentFile(ByAgent):
    """`path` begins in the agent's folder, or as paths of the list do: with the id of the crew and the agent's slug."""

    path: Annotated[FilePath, Field(min_length=1)]


class SaveAgentFile(AgentFile):
    """`content` is text."""

    content: Content = ""


def crew_of(agent: Agent) -> str:
    """Agents without a crew have no files."""
    if agent.crew_id is None:
        raise Refusal(Code.NOT_FOUND, AGENT.missing)
    return agent.crew_id


def below(agent: Agent, crew_id: str, path: str) -> tuple[str, ...]:
    """The names from the crew's folder on. FORBIDDEN for what is of the crew, and not of this agent."""
    names = names_of(path)
    if names[:1] != (crew_id,):
        return (agent.slug, *names)
    if names[1:2] != (agent.slug,):
        raise forbidden("The path is outside this agent's folder")
    return below_crew(crew_id, names)


@procedure("agents.files", Action.READ, subject=AGENT, late=True)
async def list_agent_files(ctx: Context, agent: Agent, data: ListAgentFiles) -> list[FileInfo]:
    """List files of an agent.

    Lists its folder, then the files beside the agents' folders. Sorted by name; `recursive` includes subfolders, each
    folder before its content. At most 10,000. Empty for an agent without a crew.
    """
    names_of(data.subdir)
    if agent.crew_id is None:
        return []
    names = below(agent, agent.crew_id, data.subdir)
    return await listed(ctx, agent.crew_id, names, recursive=data.recursive, beside=len(names) == 1)


@procedure("agents.files_download", Action.READ, subject=AGENT, surfaces=REST_ONLY, late=True)
async def download_agent_file(ctx: Context, agent: Agent, data: AgentFile) -> Opened:
    """Get a file of an agent.

    Supports ranges and conditional requests.
    """
    crew_id = crew_of(agent)
    opened: Opened = await output_of(ctx, crew_id).open("/".join(below(agent, crew_id, data.path)))
    return opened


@command(
    "agents.files_save",
    Action.CREATE,
    subject=AGENT,
    audit="file.saved",
    emits=FileChanged,
    errors=(Code.CONFLICT, Code.TOO_LARGE),
    late=True,
)
async def save_agent_file(ctx: Context, agent: Agent, data: SaveAgentFile) -> FileSaved:
    """Write a file of an agent.

    Atomically replaces an existing file; missing folders are created. At most 16 MiB. Refused in the folder of
    chat attachments.
    """
    crew_id = crew_of(agent)
    names = below(agent, crew_id, data.path)
    if len(names) == 1:
        raise Refusal(Code.BAD_REQUEST, "A path is required")
    refuse_attachments(names)
    await keep(ctx, crew_id, names, sent(ctx, data.content))
    return FileSaved(path=data.path)
