"""Files of a crew's agents: the crew's output folder, for users.

Paths begin with the crew's id, as in lists. Their meaning is decided here, once; the store reaches them without leaving
the folder.
"""

import posixpath
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from models import bounds
from models.staff.crews import Crew
from resolvers.instance.confined import ATTACHMENTS
from resolvers.instance.store import Arriving, Entry, Opened, names_of
from resolvers.kernel import REST_ONLY, Action, Code, Context, Flag, Output, Refusal, command, is_id, procedure
from resolvers.rules.memory_writing import output_of_crew
from resolvers.staff.crews.events import FileChanged
from resolvers.staff.crews.members import CREW, ByCrew
from resolvers.staff.crews.memories import notice_memory

MOST: Final = 16 << 20
"""Bytes of a file that is saved."""
BACK: Final = "The path must not contain '..'"
OTHERS: Final = "The path begins with the id of another crew"
FilePath = Annotated[str, Field(strict=True, max_length=bounds.URL)]
Content = Annotated[str, Field(strict=True, max_length=bounds.REPLY)]


class ListCrewFiles(ByCrew):
    """`agent_slug`: the folder of that agent, and the plain files beside the agents' folders. `subdir` may begin with
    the id of the crew, as paths of the list do.
    """

    agent_slug: FilePath = ""
    subdir: FilePath = ""
    recursive: Flag = False


class CrewFile(ByCrew):
    """`path` begins with the id of the crew."""

    path: Annotated[FilePath, Field(min_length=1)]


class SaveCrewFile(CrewFile):
    """A path without the crew's id is relative to the crew's folder. `content` is text."""

    content: Content = ""


class DeleteCrewFile(CrewFile):
    """A path without the crew's id is relative to the crew's folder."""


class FileInfo(Output):
    """An entry of a folder. `path` can be passed unchanged to other file operations; `size` is in bytes."""

    path: str
    name: str
    size: int
    is_dir: bool
    mod_time: datetime


class FileSaved(Output):
    """A file that was saved. `path` is returned as sent."""

    status: Literal["saved"] = "saved"
    path: str


class FileDeleted(Output):
    """A file that does not exist any more. `path` is returned as sent."""

    status: Literal["deleted"] = "deleted"
    path: str


def output_of(ctx: Context, crew_id: str) -> Any:
    """The folder that all agents of a crew share."""
    return output_of_crew(ctx, crew_id)


def shown(crew_id: str, entries: Sequence[Entry]) -> list[FileInfo]:
    return [
        FileInfo(
            path=f"{crew_id}/{entry.path}",
            name=entry.name,
            size=entry.size,
            is_dir=entry.kind == "directory",
            mod_time=entry.modified,
        )
        for entry in entries
    ]


async def listed(
    ctx: Context, crew_id: str, below: tuple[str, ...], *, recursive: bool, beside: bool
) -> list[FileInfo]:
    """The folder that is reached by `below`; `beside`: and behind it the plain files of the crew's own folder."""
    folder = output_of(ctx, crew_id)
    found = list(await (folder.walk if recursive else folder.list)("/".join(below)))
    if beside:
        found += [entry for entry in await folder.list() if entry.kind != "directory"]
    return shown(crew_id, found)


def _resolved(path: str) -> tuple[str, ...]:
    """The names of a path that may go back, but not out (contract: crews.files.list, notes)."""
    names_of(path.replace("..", ""))
    return names_of(posixpath.normpath(path) if path else "")


def below_crew(crew_id: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Without the id of the crew that it may begin with."""
    return names[1:] if names[:1] == (crew_id,) else names


@procedure("crews.files.list", Action.READ, subject=CREW, late=True)
async def list_crew_files(ctx: Context, crew: Crew, data: ListCrewFiles) -> list[FileInfo]:
    """List files of a crew.

    Lists files made by its agents. Sorted by name; `recursive` includes subfolders, each folder before its content. At
    most 10,000.
    """
    slug, below = names_of(data.agent_slug), below_crew(crew.id, _resolved(data.subdir))
    if slug and below[: len(slug)] != slug:
        below = (*slug, *below)
    return await listed(ctx, crew.id, below, recursive=data.recursive, beside=bool(slug) and below == slug)


@procedure("crews.files.download", Action.READ, subject=CREW, surfaces=REST_ONLY, late=True)
async def download_crew_file(ctx: Context, crew: Crew, data: CrewFile) -> Opened:
    """Get a file of a crew.

    Supports ranges and conditional requests.
    """
    names = _resolved(data.path)
    if names[:1] != (crew.id,) or len(names) < 2:
        raise Refusal(Code.NOT_FOUND, "File not found")
    opened: Opened = await output_of(ctx, crew.id).open("/".join(names[1:]))
    return opened


@command(
    "crews.files.save",
    Action.CREATE,
    subject=CREW,
    audit="file.saved",
    emits=FileChanged,
    errors=(Code.CONFLICT, Code.TOO_LARGE),
    late=True,
)
async def save_crew_file(ctx: Context, crew: Crew, data: SaveCrewFile) -> FileSaved:
    """Write a file of a crew.

    Atomically replaces an existing file; missing folders are created. At most 16 MiB. Refused in the folder of
    chat attachments.
    """
    if ".." in data.path.split("/"):
        raise Refusal(Code.BAD_REQUEST, BACK)
    names = below_crew(crew.id, _resolved(data.path))
    if len(names) > 1 and is_id(names[0]):
        raise Refusal(Code.BAD_REQUEST, OTHERS)
    refuse_attachments(names)
    await keep(ctx, crew.id, names, sent(ctx, data.content))
    return FileSaved(path=data.path)


@command(
    "crews.files.delete",
    Action.CREATE,
    audit="file.deleted",
    emits=FileChanged,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    late=True,
)
async def delete_crew_file(ctx: Context, data: DeleteCrewFile) -> FileDeleted:
    """Delete a file of a crew.

    A file that does not exist counts as deleted. CONFLICT for a directory, which is kept. Refused in the folder of
    chat attachments.
    """
    crew = await ctx.get(Crew, data.crew_id)
    if ".." in re.split(r"[/\\]", data.path):
        raise Refusal(Code.BAD_REQUEST, BACK)
    names = below_crew(crew.id, names_of(data.path))
    if not names:
        raise Refusal(Code.BAD_REQUEST, "A path is required")
    if len(names) > 1 and is_id(names[0]):
        raise Refusal(Code.BAD_REQUEST, OTHERS)
    refuse_attachments(names)
    path, folder = "/".join(names), output_of(ctx, crew.id)
    await ctx.begin()
    size = await folder.unlink(path)
    if size is not None:
        tell(ctx, crew.id, "file_deleted", path, size)
    return FileDeleted(path=data.path)


def refuse_attachments(names: tuple[str, ...]) -> None:
    """Refuses paths of attachments: they are counted, and belong to the person who attached them."""
    if names[1:2] == (ATTACHMENTS,):
        raise Refusal(Code.BAD_REQUEST, "Attach files to a chat with the operation for attachments")


def sent(ctx: Context, content: str) -> Arriving:
    """The body of the request; if it contains more than a file, the content in it."""

    async def at_once() -> AsyncIterator[bytes]:
        yield content.encode()

    return ctx.request.upload or Arriving(at_once(), MOST)


async def keep(
    ctx: Context,
    crew_id: str,
    names: tuple[str, ...],
    arriving: Arriving,
    record: Callable[[int], Awaitable[None]] | None = None,
) -> int:
    """Adds a file to the crew's folder, and notifies clients that watch the folder. Returns its size.

    `names`: from the crew's folder; the first is the agent whose file it is. `record`: receives the size and writes
    rows before the file has its name; if it refuses, no file remains.
    """
    if not names:
        raise Refusal(Code.BAD_REQUEST, "A path is required")
    path, folder = "/".join(names), output_of(ctx, crew_id)
    async with ctx.outside.store.receive(arriving) as received:
        await ctx.begin()
        if record is not None:
            await record(received.size)
        new = await folder.keep(received, path)
        size: int = received.size
    tell(ctx, crew_id, "file_created" if new else "file_modified", path, size)
    return size


def tell(
    ctx: Context, crew_id: str, event: Literal["file_created", "file_modified", "file_deleted"], path: str, size: int
) -> None:
    """Writes the audit row of a file in the crew's folder, and notifies clients that watch the folder. The first part
    of the path is the agent whose file it is.
    """
    ctx.audit("CREW", crew_id, path=path, size=size)
    notice_memory(ctx, crew_id, path.split("/"))
    agent, now = path.partition("/")[0], datetime.now(UTC)
    ctx.emit(FileChanged(crew_id=crew_id, event=event, path=path, agent=agent, size=size, timestamp=now))
