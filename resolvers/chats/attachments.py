"""Files that people give an agent with a chat: they lie in its folder, where it reads them and cannot change them."""

from typing import Annotated, Final

from pydantic import Field

from models.agents import Agent
from models.chats import Chat
from resolvers.agents.files import AGENT, ByAgent, crew_of
from resolvers.crews.events import FileChanged
from resolvers.crews.files import keep
from resolvers.kernel import (
    ATTACHMENTS,
    REST_ONLY,
    Action,
    Code,
    Context,
    Id,
    Output,
    Refusal,
    command,
    file_in,
    forbidden,
    names_of,
)

FIELD: Final = "file"
MOST: Final = 25 << 20
"""Bytes of a form. More is BAD_REQUEST (contract: chats.attach)."""
MOST_SENT: Final = 32 << 20
"""Bytes of a body that are looked at; more of them are TOO_LARGE before anybody is asked."""


class AttachFile(ByAgent):
    """A chat of the agent."""

    chat_id: Annotated[Id, Field(min_length=1)]


class Attachment(Output):
    """`path` begins in the agent's folder; `agent_path` is what the agent calls the file."""

    filename: str
    size: int
    path: str
    agent_path: str


def file_name(given: str) -> str:
    """The last part of what a client calls a file, on whatever system that was."""
    name = given.replace("\\", "/").rpartition("/")[2]
    if not name.isprintable() or name in (".", "..") or not names_of(name):
        raise Refusal(Code.BAD_REQUEST, "The file has no name that a file can have")
    return name


@command(
    "chats.attach",
    Action.CREATE,
    subject=AGENT,
    audit="file.attached",
    emits=FileChanged,
    errors=(Code.NOT_FOUND, Code.CONFLICT, Code.TOO_LARGE),
    surfaces=REST_ONLY,
    late=True,
)
async def attach_file(ctx: Context, agent: Agent, data: AttachFile) -> Attachment:
    """Send a file to an agent with a chat.

    A form with the part `file`, of at most 25 MB. The agent is told of it in its next turn, and reads it; one of the
    same name is replaced. No message is sent.
    """
    crew_id = crew_of(agent)
    chat = await ctx.get(Chat, data.chat_id, missing="Chat not found")
    if chat.agent_id != agent.id:
        raise forbidden("The chat is one of another agent")
    assert ctx.request.upload is not None
    given, file = await file_in(ctx.request.upload, FIELD, MOST)
    name = file_name(given)
    place = (ATTACHMENTS, chat.id, name)
    size = await keep(ctx, crew_id, (agent.slug, *place), file)
    path = "/".join(place)
    return Attachment(filename=name, size=size, path=path, agent_path=f"/output/{agent.slug}/{path}")
