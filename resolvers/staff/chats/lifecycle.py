"""Chats: create, rename, delete."""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import CHAT_OF_WEBHOOKS, Chat, ChatOrigin
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment
from resolvers.kernel import Action, Code, Context, Deleted, Description, Id, Input, Refusal, command, invalid
from resolvers.kernel.store.changes import Clash
from resolvers.people.workspaces.files import CHAT_GONE, speakers_in
from resolvers.staff.chats.listing import ChatOfAgent
from resolvers.staff.chats.permission import CHANGED, may_change

TAKEN = "session_id belongs to another chat"
LONGEST_TITLE = 200


def _storable_id(id: str) -> str:
    """An id also names a channel and a folder (contract: chats.create)."""
    if "/" in id or "\\" in id or ".." in id or id == "." or not id.isprintable():
        raise PydanticCustomError("session_id", "must not hold /, \\, .. or control characters")
    return id


ANYTHING = WithJsonSchema({"description": f"One of {', '.join(ChatOrigin)}; any other text counts as none."})


def _known_origin(raw: Any) -> Any:
    return None if isinstance(raw, str) and raw not in list(ChatOrigin) else raw


def collapsed(text: str) -> str:
    """One line: white space collapsed, control characters dropped; 1 to 200 characters of it."""
    spaced = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    title = " ".join(spaced.split())
    if not 1 <= len(title) <= LONGEST_TITLE:
        raise PydanticCustomError("title", f"must have 1 to {LONGEST_TITLE} characters")
    return title


class CreateChat(Input):
    """`session_id` is the id of the chat, unused in this workspace; it is generated if absent.

    An unknown `origin` counts as absent.
    """

    agent_id: Id
    session_id: Annotated[Id, Field(min_length=1), AfterValidator(_storable_id)] | None = None
    origin: Annotated[ChatOrigin | None, BeforeValidator(_known_origin), ANYTHING] = None


class RenameChat(Input):
    """`title`: runs of white space become one space."""

    agent_id: Id
    chat_id: Id
    title: Annotated[Description, AfterValidator(collapsed)]


@command("chats.create", Action.PARTICIPATE, audit="chat.created", errors=(Code.NOT_FOUND, Code.CONFLICT))
async def create_chat(ctx: Context, data: CreateChat) -> Chat:
    """Create a chat.

    Idempotent for a given id: an existing chat with the agent is returned unchanged.
    """
    agent = await ctx.get(Agent, data.agent_id)
    if data.session_id is not None:
        # of two callers who begin it at once the second finds it
        await ctx.lock(f"chat {ctx.workspace_id}/{data.session_id}")
        known = await ctx.select(Chat, col(Chat.id) == data.session_id).first()
        if known is not None and known.agent_id == agent.id:
            return known
        if known is not None:
            raise Refusal(Code.CONFLICT, TAKEN, taken=("session_id",))
        if data.session_id.startswith(CHAT_OF_WEBHOOKS):
            raise invalid(
                "session_id", f"must not begin with {CHAT_OF_WEBHOOKS}, which is reserved for ids made by the server"
            )
    chat = Chat(id=data.session_id or new_id(), agent_id=agent.id, created_by=ctx.user_id or None, origin=data.origin)
    return await ctx.insert(chat, conflict=Clash(TAKEN, "session_id"))


@command("chats.rename", Action.PARTICIPATE, audit="chat.renamed", subject=CHANGED, allow=may_change)
async def rename_chat(ctx: Context, chat: Chat, data: RenameChat) -> Chat:
    """Rename a chat.

    Allowed for its creator and for users who can edit its agent.
    """
    return await ctx.edit(chat, title=data.title)


@command(
    "chats.delete",
    Action.PARTICIPATE,
    audit="chat.deleted",
    subject=CHANGED,
    locked=True,
    allow=may_change,
    errors=(Code.CONFLICT,),
)
async def delete_chat(ctx: Context, chat: Chat, data: ChatOfAgent) -> Deleted:
    """Delete a chat.

    Deletes its messages, attached files, and what coding agents remember of it; its runs are kept. Allowed for its
    creator and for users who can edit its agent.
    """
    if await ctx.select(Assignment, col(Assignment.chat_id) == chat.id).exists():
        raise Refusal(Code.CONFLICT, "Assignments refer to this chat")
    if await ctx.select(Run, col(Run.chat_id) == chat.id, col(Run.status) == RunStatus.RUNNING).exists():
        raise Refusal(Code.CONFLICT, "This chat has an active run")
    speakers = await ctx.report(speakers_in(chat.workspace_id, [chat.id]))
    for agent_id in {chat.agent_id, *(row[0] for row in speakers)}:
        ctx.enqueue(CHAT_GONE, agent_id=agent_id, chat_id=chat.id)
    await ctx.delete(Chat, chat.id)
    return Deleted(id=chat.id)
