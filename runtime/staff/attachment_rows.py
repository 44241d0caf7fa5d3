"""Rows of attachments and their files: jobs remove files of deleted rows, and a clock repairs what a process left that
died between a file and its row.

A file gets its name in the transaction that writes its row, as the last step before the commit. So the clock finds
files without a row, files whose row describes the replaced file, and files from before there were rows. A row without a
file remains: something outside the service removed the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from sqlmodel import col

from models.base import new_id
from models.staff.chats import ChatAttachment
from resolvers.errors import Refusal
from resolvers.instance.confined import ATTACHMENTS
from resolvers.instance.running import instance
from resolvers.instance.store import MOST_ENTRIES, Entry
from resolvers.instance.telemetry import log
from resolvers.kernel import AcrossWorkspaces, Context
from resolvers.people.workspaces import files
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick

T = TypeVar("T")
PORTION: Final = 100  # files that are removed, or rows that are mended, in one transaction
CHATS: Final = 20  # whose rows are in memory together
PAGE: Final = 500

ROWS: Final = """
    SELECT id, chat_id, name, size, updated_at, deleted_at IS NOT NULL AS deleted FROM chat_attachments
    WHERE workspace_id = $1 AND crew_id = $2 AND folder = $3 AND chat_id = ANY ($4::text[])
"""
WITH_ROWS: Final = """
    SELECT DISTINCT chat_id FROM chat_attachments
    WHERE workspace_id = $1 AND crew_id = $2 AND folder = $3 AND chat_id = ANY ($4::text[])
"""
PLACES: Final = """
    SELECT DISTINCT chat_id, crew_id, folder FROM chat_attachments
    WHERE workspace_id = $1 AND (chat_id, crew_id, folder) > ($2, $3, $4) ORDER BY chat_id, crew_id, folder LIMIT $5
"""
# Where an upload of the same name is about to be committed this waits for it, and finds its row.
ADOPT: Final = """
    INSERT INTO chat_attachments (id, workspace_id, chat_id, crew_id, folder, name, size, created_at)
    SELECT file.id, $1, chat.id, $3, $4, file.name, file.size, file.modified
    FROM (SELECT id FROM chats WHERE workspace_id = $1 AND id = $2 FOR KEY SHARE) chat,
        unnest($5::text[], $6::text[], $7::bigint[], $8::timestamptz[]) AS file (id, name, size, modified)
    ON CONFLICT DO NOTHING
"""
# The author of the present file was not recorded.
CORRECT: Final = """
    UPDATE chat_attachments SET size = $3, uploaded_by = NULL, media_type = NULL, updated_at = now()
    WHERE id = $1 AND updated_at = $2
"""
FORGET: Final = "DELETE FROM chat_attachments WHERE id = $1 AND updated_at = $2"


def _portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))


class AttachmentsPlace(NamedTuple):
    """The place of an agent's attachments."""

    workspace_id: str
    crew_id: str
    folder: str

    async def entries(self, chat_id: str) -> Sequence[Entry] | None:
        """The files of a chat. None if they cannot be listed."""
        output = instance.store.folder("workspaces", self.workspace_id, "crews", self.crew_id, "output", agents=True)
        try:
            found = await output.list("/".join((self.folder, ATTACHMENTS, chat_id)))
        except Refusal as refusal:
            log.warning("attachments of a chat cannot be looked at", chat=chat_id, cause=str(refusal))
            return None
        return None if len(found) >= MOST_ENTRIES else [entry for entry in found if entry.kind == "file"]


@dataclass(slots=True)
class Differences:
    """The differences of the chats in one place."""

    unknown: list[tuple[str, Entry]] = field(default_factory=list)  # by chat
    other: list[tuple[str, datetime, int]] = field(default_factory=list)
    lost: list[tuple[str, datetime]] = field(default_factory=list)
    detached: set[str] = field(default_factory=set)

    def add(self, chat_id: str, entries: Sequence[Entry], rows: Sequence[Any]) -> None:
        known = {row["name"]: row for row in rows}
        for entry in entries:
            row = known.pop(entry.name, None)
            if row is None:
                self.unknown.append((chat_id, entry))
            elif row["deleted"]:
                self.detached.add(chat_id)
            elif row["size"] != entry.size:
                self.other.append((row["id"], row["updated_at"], entry.size))
        self.lost += [(row["id"], row["updated_at"]) for row in known.values()]


async def compare(tick: Tick, place: AttachmentsPlace, chats: Sequence[str]) -> None:
    """Rows are read before the disk, so a row that is committed in between is not a difference when it is to be
    written.
    """
    for some in _portions(chats, CHATS):
        rows = await tick.write(lambda across, some=some: across.fetch(ROWS, *place, list(some)))  # type: ignore[misc]
        found = Differences()
        for chat_id in some:
            entries = await place.entries(chat_id)
            if entries is not None:
                found.add(chat_id, entries, [row for row in rows if row["chat_id"] == chat_id])
        await _mend(tick, place, found)


async def _mend(tick: Tick, place: AttachmentsPlace, found: Differences) -> None:
    for unknown in _portions(found.unknown, PORTION):
        await tick.write(partial(_adopt, place, unknown))
    for statement, changes in ((CORRECT, found.other), (FORGET, found.lost)):
        for some in _portions(changes, PORTION):
            await tick.write(partial(_each, statement, some))
    if found.detached:
        await tick.write(partial(_remove_again, place.workspace_id, found.detached))
    if found.unknown or found.other or found.lost:
        log.info(
            "rows of attachments were compared with their files", place="/".join(place),
            adopted=len(found.unknown), corrected=len(found.other), forgotten=len(found.lost),
        )  # fmt: skip


async def _adopt(place: AttachmentsPlace, unknown: Sequence[tuple[str, Entry]], across: AcrossWorkspaces) -> None:
    for chat_id in dict.fromkeys(chat_id for chat_id, _ in unknown):
        files_ = [entry for of, entry in unknown if of == chat_id]
        columns = zip(*[(new_id(), entry.name, entry.size, entry.modified) for entry in files_], strict=True)
        await across.fetch(ADOPT, place.workspace_id, chat_id, place.crew_id, place.folder, *map(list, columns))


async def _each(statement: str, changes: Sequence[tuple[Any, ...]], across: AcrossWorkspaces) -> None:
    for values in changes:
        await across.fetch(statement, *values)


async def _remove_again(workspace_id: str, chats: set[str], across: AcrossWorkspaces) -> None:
    for chat_id in chats:
        across.enqueue(files.DETACHED, workspace_id, chat_id=chat_id)


async def compare_rows(tick: Tick, workspace_id: str) -> None:
    """From the rows on: places that are not on the disk any more are among them."""
    after = ("", "", "")
    while places := await tick.write(
        lambda across, after=after: across.fetch(PLACES, workspace_id, *after, PAGE)  # type: ignore[misc]
    ):
        chats = dict[AttachmentsPlace, list[str]]()
        for chat_id, crew_id, folder in places:
            chats.setdefault(AttachmentsPlace(workspace_id, crew_id, folder), []).append(chat_id)
        for place, named in chats.items():
            await compare(tick, place, named)
        after = tuple(places[-1])


async def compare_files(tick: Tick, place: AttachmentsPlace, chats: Sequence[str]) -> None:
    """From the disk on: chats that have files in this place, and no row."""
    for some in _portions(chats, PAGE):
        rows = await tick.write(
            lambda across, some=some: across.fetch(  # type: ignore[misc]
                WITH_ROWS, *place, list(some)
            )
        )
        known = {row["chat_id"] for row in rows}
        await compare(tick, place, [chat_id for chat_id in some if chat_id not in known])


@carries(files.DETACHED)
async def remove_detached(work: Work, data: files.OfAttachments) -> None:
    """The row is removed with its file, under a lock that keeps new files of the name away."""
    deleted = (col(ChatAttachment.chat_id) == data.chat_id, col(ChatAttachment.deleted_at).is_not(None))

    async def remove(ctx: Context) -> None:
        found = ctx.select(ChatAttachment, *deleted, including_deleted=True).order_by(col(ChatAttachment.id))
        rows = await found.limit(PORTION).locked().all()
        for row in rows:
            place = files.attached(work.workspace_id, row.crew_id, row.folder)
            await instance.store.discard(*place, row.chat_id, row.name)
        await ctx.delete_where(ChatAttachment, col(ChatAttachment.id).in_([row.id for row in rows]), *deleted)

    number = 0
    while await work.read(lambda ctx: ctx.select(ChatAttachment, *deleted, including_deleted=True).exists()):
        await work.write(f"portion {number}", remove)
        number += 1
