"""Files that people give an agent with a chat: they lie in its folder, where it reads them and cannot change them."""

import hashlib
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import Text, func, literal, select
from sqlmodel import col

from models.base import alias_of
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
    QueryScope,
    Refusal,
    Row,
    Rows,
    command,
    constant,
    derived,
    extend,
    forbidden,
    graph,
    many,
    one,
    query,
)
from resolvers.kernel.ground.policy import MEMBERS, lowest
from resolvers.people.workspaces.files import DETACHED
from resolvers.staff.agents.files import AGENT, ByAgent, crew_of
from resolvers.staff.chats.listing import MISSING, ChatOfAgent
from resolvers.staff.chats.permission import CHANGED
from resolvers.staff.chats.quota import refuse_too_much, room_in, summed
from resolvers.staff.crews.events import FileChanged
from resolvers.staff.crews.files import keep, tell

FIELD: Final = "file"
OCTETS: Final = "application/octet-stream"
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


def _uploader(row: Any, scope: Any) -> Any:
    user = alias_of(User)
    return scope.scalar(select(user.c.full_name).where(user.c.id == row.uploaded_by))


graph(
    ChatAttachment,
    gate=Action.READ,
    scope="chats:read",
    visible=EVERYONE,
    chat=one(Chat, "chat_id"),
    uploader=one(User, "uploaded_by"),
    content_type=derived(str, lambda row, _: func.coalesce(row.media_type, constant(OCTETS), type_=Text())),
    uploaded_by_name=derived(str | None, _uploader),
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
    place, digest = (ATTACHMENTS, chat.id, name), hashlib.sha256()

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
        row.sha256 = digest.hexdigest()
        await ctx.upsert(row, "workspace_id", "chat_id", "crew_id", "folder", "name")
        await refuse_too_much(ctx, chat.id)

    size = await keep(ctx, crew_id, (agent.slug, *place), summed(room.hold(file), digest), record)
    path = "/".join(place)
    return Attachment(filename=name, size=size, path=path, agent_path=f"/output/{agent.slug}/{path}")


@query("chats.attachments_list", Action.READ, subject=CHANGED, surfaces=REST_ONLY, tickets=False)
def list_attachments(scope: QueryScope, chat: Row[Chat], data: ChatOfAgent) -> Rows[ChatAttachment]:
    """List files that are attached to a chat.

    Newest first. GraphQL has them as `Chat.attachments`.
    """
    newest = (col(ChatAttachment.created_at).desc(), col(ChatAttachment.id).desc())
    return scope.children(chat, ChatAttachment, "chat_id").order_by(*newest)


class AttachmentOfChat(ChatOfAgent):
    """A file of a chat."""

    attachment_id: Annotated[Id, Field(min_length=1)]


class AttachmentGone(Output):
    """The chat has no such file any more."""

    id: str


@command(
    "chats.attachments_delete",
    Action.CREATE,
    subject=CHANGED,
    audit="file.detached",
    emits=FileChanged,
    surfaces=REST_ONLY,
)
async def detach_file(ctx: Context, chat: Chat, data: AttachmentOfChat) -> AttachmentGone:
    """Delete a file of a chat.

    The agent can no longer read it; messages about it are kept. Idempotent: an unknown file, or one of another chat,
    changes nothing.
    """
    here = (col(ChatAttachment.id) == data.attachment_id, col(ChatAttachment.chat_id) == chat.id)
    if await ctx.select(ChatAttachment, *here).exists():
        await _detach(ctx, data.attachment_id)
    return AttachmentGone(id=data.attachment_id)


@command(
    "chat_attachments.delete",
    Action.CREATE,
    audit="file.detached",
    emits=FileChanged,
    errors=(Code.NOT_FOUND,),
    surfaces=GRAPHQL_ONLY,
)
async def delete_attachment(ctx: Context, data: ById) -> Deleted:
    """Delete a file that is attached to a chat.

    The agent can no longer read it; messages about it are kept. Allowed for users who may attach files.
    """
    return Deleted(id=await _detach(ctx, data.id))


async def _detach(ctx: Context, id: str) -> str:
    row = await ctx.delete(ChatAttachment, id, missing="Attachment not found")
    ctx.enqueue(DETACHED, chat_id=row.chat_id)
    path = "/".join((row.folder, ATTACHMENTS, row.chat_id, row.name))
    tell(ctx, row.crew_id, "file_deleted", path, row.size)
    return row.id
