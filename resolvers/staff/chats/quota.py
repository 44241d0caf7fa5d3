"""Limits for attached files: bytes per workspace, of chats and issues together, and files per chat.

The database counts them, in one row per workspace that every change of an attachment updates. An upload holds that row
until the commit, so that concurrent uploads cannot exceed a limit together.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select
from sqlmodel import col

from models.staff.chats import AttachmentTotal, ChatAttachment
from resolvers.instance.store import Arriving
from resolvers.kernel import Code, Context, Refusal, instance

MIB: Final = 1 << 20
MOST_FILES: Final = 1_000
"""The most files of a chat (contract: none); agents see no more."""
FORM: Final = 4 << 10
"""Bytes of a form that may be beside its file."""


class FileRoom(NamedTuple):
    """The room for a file: the free bytes, and the size of the chat's largest file, which it may replace."""

    bytes: int

    def admit(self, announced: int | None) -> None:
        """Refuses a form that says how large it is before any of it is read."""
        if announced is not None and announced - FORM > self.bytes:
            raise refusal()

    def hold(self, file: Arriving) -> Arriving:
        """Refuses a file that is larger than the room."""

        async def content() -> AsyncIterator[bytes]:
            size = 0
            async for piece in file.content:
                size += len(piece)
                if size > self.bytes:
                    raise refusal()
                yield piece

        return replace(file, content=content())


def summed(file: Arriving, digest: Any) -> Arriving:
    """The file, whose bytes are added to a digest as they are read."""

    async def content() -> AsyncIterator[bytes]:
        async for piece in file.content:
            digest.update(piece)
            yield piece

    return replace(file, content=content())


def most() -> int:
    """Bytes."""
    return instance.settings.attachment_storage * MIB


def refusal() -> Refusal:
    limit = f"may take {instance.settings.attachment_storage} MiB together"
    text = f"Files that are attached to chats and issues of this workspace {limit}; this one would be more"
    return Refusal(Code.TOO_LARGE, text)


async def used(ctx: Context) -> int:
    total = ctx.table(AttachmentTotal).c
    found = await ctx.report(select(total.bytes))
    return found[0][0] if found else 0


async def room_in(ctx: Context, chat_id: str) -> FileRoom:
    """The room at this moment: concurrent uploads may take it, so the commit checks again."""
    kept = ctx.table(ChatAttachment).c
    largest = await ctx.report(select(func.max(kept.size)).where(kept.chat_id == chat_id))
    return FileRoom(most() - await used(ctx) + (largest[0][0] or 0))


async def refuse_too_much(ctx: Context, chat_id: str) -> None:
    """Behind a change of an attachment: with that it would be too much."""
    if await used(ctx) > most():
        raise refusal()
    if await ctx.select(ChatAttachment, col(ChatAttachment.chat_id) == chat_id).count() > MOST_FILES:
        raise Refusal(Code.CONFLICT, f"A chat has at most {MOST_FILES} files")
