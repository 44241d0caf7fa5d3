"""Files that people give an agent with a chat: they lie in its folder, where it reads them and cannot change them."""

from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import Text, literal
from sqlmodel import col

from models.people.auth import User
from models.people.workspaces import Membership
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatAttachment
from resolvers.instance.confined import ATTACHMENTS
from resolvers.instance.forms import file_in
from resolvers.instance.store import names_of
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    REST_ONLY,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Id,
    Output,
    Paging,
    Refusal,
    command,
    derived,
    extend,
    forbidden,
    graph,
    many,
    one,
)
from resolvers.kernel.ground.policy import MEMBERS, lowest
from resolvers.people.workspaces.files import DETACHED
from resolvers.staff.agents.files import AGENT, ByAgent, crew_of
from resolvers.staff.chats.listing import MISSING
from resolvers.staff.chats.quota import refuse_too_much, room_in
from resolvers.staff.crews.events import FileChanged
from resolvers.staff.crews.files import keep, tell

FIELD: Final = "file"
MOST: Final = 25 << 20
"""Bytes of a form. More is BAD_REQUEST (contract: chats.attach)."""
MOST_SENT: Final = 32 << 20
"""Bytes of a body that are looked at; more of them are TOO_LARGE before anybody is asked."""


class AttachFile(ByAgent):
    """A chat of the agent."""

    chat_id: Annotated[Id, Field(min_length=1)]


class Attachment(Output):
    """`path` is relative to the agent's folder; `agent_path` is the file's path as the agent sees it."""

    filename: str
    size: int
    path: str
    agent_path: str


def file_name(given: str) -> str:
    """The last part of a client's file name, for paths of any operating system."""
    name = given.replace("\\", "/").rpartition("/")[2]
    if not name.isprintable() or name in (".", "..") or not names_of(name):
        raise Refusal(Code.BAD_REQUEST, "Invalid file name")
    return name


class PageOfAttachments(Paging):
    """A page of files: 50 by default."""


def _path(row: Any) -> Any:
    return literal(f"{ATTACHMENTS}/", Text()).concat(row.chat_id).concat(literal("/", Text())).concat(row.name)


graph(
    ChatAttachment,
    gate=Action.READ,
    scope="chats:read",
    visible=EVERYONE,
    chat=one(Chat, "chat_id"),
    uploader=one(User, "uploaded_by"),
    path=derived(str, lambda row, _: _path(row)),
    agent_path=derived(
        str,
        lambda row, _: literal("/output/", Text()).concat(row.folder).concat(literal("/", Text())).concat(_path(row)),
    ),
)
extend(
    Chat,
    attachments=many(
        ChatAttachment,
        "chat_id",
        order_by=(col(ChatAttachment.created_at), col(ChatAttachment.id)),
        input=PageOfAttachments,
    ),
)


@command(
    "chats.attach",
    Action.CREATE,
    subject=AGENT,
    audit="file.attached",
    emits=FileChanged,
    errors=(Code.CONFLICT, Code.TOO_LARGE),
    surfaces=REST_ONLY,
    late=True,
)
async def attach_file(ctx: Context, agent: Agent, data: AttachFile) -> Attachment:
    """Send a file to an agent with a chat.

    A form with the part `file`, of at most 25 MB. The agent reads it in its next turn; a file with the same name is
    replaced. No message is sent. The sender is recorded. TOO_LARGE if the files of the workspace's chats would exceed
    its quota; at most 1,000 files in a chat.
    """
    crew_id = crew_of(agent)
    chat = await ctx.get(Chat, data.chat_id, missing=MISSING)
    if chat.agent_id != agent.id:
        raise forbidden("The chat belongs to another agent")
    assert ctx.request.upload is not None
    room = await room_in(ctx, chat.id)
    room.admit(ctx.request.upload.announced)
    given, file = await file_in(ctx.request.upload, FIELD, MOST)
    name = file_name(given)
    place = (ATTACHMENTS, chat.id, name)

    async def record(size: int) -> None:
        """Writes the row before the file has its name. A concurrent erasure of the person waits, or has removed the
        person before.
        """
        mine = ctx.select(Membership, col(Membership.user_id) == ctx.user_id, including_hidden=True)
        if await mine.locked().first() is None:
            raise forbidden(role=lowest(MEMBERS))
        await ctx.get(Chat, chat.id, missing=MISSING)
        row = ChatAttachment(chat_id=chat.id, crew_id=crew_id, folder=agent.slug, name=name, size=size)
        row.media_type, row.uploaded_by, row.deleted_at = file.media_type or None, ctx.user_id, None
        await ctx.upsert(row, "workspace_id", "chat_id", "crew_id", "folder", "name")
        await refuse_too_much(ctx, chat.id)

    size = await keep(ctx, crew_id, (agent.slug, *place), room.hold(file), record)
    path = "/".join(place)
    return Attachment(filename=name, size=size, path=path, agent_path=f"/output/{agent.slug}/{path}")


@command(
    "chats.attachments_delete",
    Action.UPDATE,
    audit="file.detached",
    emits=FileChanged,
    errors=(Code.NOT_FOUND,),
    surfaces=GRAPHQL_ONLY,
)
async def delete_attachment(ctx: Context, data: ById) -> Deleted:
    """Delete a file that is attached to a chat.

    The agent can no longer read it; messages about it are kept. Allowed for users who may attach files.
    """
    row = await ctx.delete(ChatAttachment, data.id, missing="Attachment not found")
    ctx.enqueue(DETACHED, chat_id=row.chat_id)
    path = "/".join((row.folder, ATTACHMENTS, row.chat_id, row.name))
    tell(ctx, row.crew_id, "file_deleted", path, row.size)
    return Deleted(id=row.id)
