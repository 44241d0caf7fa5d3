"""The memory of an agent or a crew as documents, and as a bundle in the open knowledge format."""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from io import FileIO
from secrets import token_hex
from typing import IO, Annotated, Any, Final, cast

import orjson
from pydantic import Field
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.memory import MemoryTier, MemoryVersion
from resolvers.instance.store import Entry, Opened
from resolvers.kernel import NO_SURFACE, Absent, Action, Code, Context, Id, Input, Output, Refusal, Text, procedure
from resolvers.oversight.memory.owners import owner_named
from resolvers.rules.memory_files import LESSONS_FILE, MOST_READ, PERSONA_FILE, MemoryOwner, tier_of
from resolvers.rules.memory_versions import NEWEST_FIRST, content_of
from resolvers.rules.memory_writing import output_of_crew, read_memory

MOST_DOCUMENTS: Final = 2_000
MOST_BYTES: Final = 32 << 20
EMPTY: Final = "This scope holds no memory yet"
TOO_LARGE: Final = f"larger than {MOST_READ >> 20} MiB"
FULL: Final = f"an export has at most {MOST_DOCUMENTS} documents and {MOST_BYTES >> 20} MiB"
NOT_MARKDOWN: Final = "not a Markdown file"
UNREADABLE: Final = "not readable"
NOT_TEXT: Final = "not UTF-8"
LINK: Final = "a link, which is not followed"
NOT_PORTABLE: Final = "its name has a character that not every system allows"
MANIFEST: Final = "okf.yaml"


class DocumentScope(StrEnum):
    """The owner of a memory."""

    agent = "agent"
    crew = "crew"


class OfMemory(Input):
    """The memory of an agent of a crew; without `agent_slug` the shared memory of the crew."""

    crew_id: Annotated[Id, Field(min_length=1)]
    agent_slug: Text = ""


class MemoryDocument(Output):
    """A file of a memory. `tier` follows from the path."""

    path: str
    tier: MemoryTier
    scope: DocumentScope
    title: Annotated[str | None, Absent()] = None
    tags: Annotated[list[str] | None, Absent()] = None
    sources: Annotated[list[str] | None, Absent()] = None
    body: str


class SkippedFile(Output):
    """A file that an export leaves out."""

    source: str
    reason: str


class MemoryExport(Output):
    """The documents of a memory, by path, and the files that were left out."""

    format: str = "crewship"
    documents: list[MemoryDocument]
    skipped: list[SkippedFile]


class Exporting:
    """One document after the other, so that no more than one is in memory; `skipped` is complete at the end."""

    def __init__(self, ctx: Context, owner: MemoryOwner, row: Crew | Agent) -> None:
        self.ctx, self.owner, self.row = ctx, owner, row
        self.skipped: list[SkippedFile] = []
        self._scope = DocumentScope.crew if owner.agent_id is None else DocumentScope.agent
        self._number, self._bytes = 0, 0

    async def documents(self) -> AsyncIterator[MemoryDocument]:
        folder = output_of_crew(self.ctx, self.owner.crew_id)
        files = {self._name(e): e for e in await folder.walk(self.owner.folder) if e.kind != "directory"}
        stored = await self._stored()
        for name in sorted({*files, *stored} - ({PERSONA_FILE} - stored.keys())):
            content = stored[name] if name in stored else await self._content(folder, files[name], name)
            if content is None:
                continue
            if self._number == MOST_DOCUMENTS or self._bytes + len(content) > MOST_BYTES:
                self._skip(name, FULL)
                continue
            try:
                body = content.decode()
            except UnicodeDecodeError:
                self._skip(name, NOT_TEXT)
                continue
            self._number, self._bytes = self._number + 1, self._bytes + len(content)
            yield MemoryDocument(path=name, tier=tier_of(name), scope=self._scope, body=body)

    def _name(self, entry: Entry) -> str:
        return entry.path.removeprefix(f"{self.owner.folder}/")

    def _skip(self, name: str, reason: str) -> None:
        if len(self.skipped) < MOST_DOCUMENTS:
            self.skipped.append(SkippedFile(source=name, reason=reason))

    async def _stored(self) -> dict[str, bytes]:
        """The persona, which is a column, and lessons that the keeper has written, which are versions."""
        found = dict[str, bytes]()
        if self.row.persona is not None:
            found[PERSONA_FILE] = self.row.persona.encode(errors="replace")
        same = col(MemoryVersion.path) == f"{self.owner.prefix}{LESSONS_FILE}"
        lessons = await self.ctx.select(MemoryVersion, same).order_by(*NEWEST_FIRST).first()
        if lessons is not None and lessons.bytes <= MOST_READ:
            try:
                found[LESSONS_FILE] = await content_of(self.ctx, lessons)
            except Refusal as refusal:
                self._skip(LESSONS_FILE, str(refusal))
        return found

    async def _content(self, folder: Any, entry: Entry, name: str) -> bytes | None:
        if "\\" in name or not name.isprintable():
            self._skip(name, NOT_PORTABLE)
            return None
        if entry.kind != "file" or not name.endswith(".md"):
            self._skip(name, LINK if entry.kind == "link" else NOT_MARKDOWN)
            return None
        try:
            content = await read_memory(folder, entry.path)
        except Refusal:
            self._skip(name, UNREADABLE)
            return None
        if content is None:
            self._skip(name, TOO_LARGE)
        return content


@procedure("memory.export", Action.MANAGE, late=True, errors=(Code.NOT_FOUND,))
async def export_memory(ctx: Context, data: OfMemory) -> MemoryExport:
    """Export a memory.

    Returns the Markdown files of an agent's memory, or of the memory that a crew shares, by path, with personas and
    lessons. At most 2,000 files and 32 MiB; files that are left out are listed in `skipped`.
    """
    owner, crew, agent = await owner_named(ctx, data.crew_id, data.agent_slug)
    exporting = Exporting(ctx, owner, agent or crew)
    documents = [document async for document in exporting.documents()]
    return MemoryExport(documents=documents, skipped=exporting.skipped)


@procedure("memory.export_zip", Action.MANAGE, late=True, errors=(Code.NOT_FOUND,), surfaces=NO_SURFACE)
async def export_memory_bundle(ctx: Context, data: OfMemory) -> Opened:
    """Export a memory as a bundle.

    Returns a ZIP file in the open knowledge format: one Markdown file with front matter per document, and `okf.yaml`
    with the list. NOT_FOUND if there is none.
    """
    import tempfile
    import zipfile  # a process without exports does not load it

    owner, crew, agent = await owner_named(ctx, data.crew_id, data.agent_slug)
    whose = f"crew {crew.id}" if agent is None else f"agent {agent.slug}"
    file = cast(FileIO, await asyncio.to_thread(tempfile.TemporaryFile, buffering=0))
    bundle, listed = zipfile.ZipFile(cast(IO[bytes], file), "w", zipfile.ZIP_DEFLATED), list[dict[str, Any]]()
    try:
        async for document in Exporting(ctx, owner, agent or crew).documents():
            await asyncio.to_thread(bundle.writestr, document.path, _with_front_matter(document))
            listed.append({"path": document.path, "tier": document.tier, "scope": document.scope})
        if not listed:
            raise Refusal(Code.NOT_FOUND, EMPTY)
        await asyncio.to_thread(bundle.writestr, MANIFEST, _manifest(whose, listed))
        await asyncio.to_thread(bundle.close)
        size = file.seek(0, 2)
    except BaseException:
        bundle.close()
        file.close()
        raise
    name = f"crewship-memory-{crew.id if agent is None else agent.slug}.zip"
    return Opened(file, name, size, token_hex(8), "application/zip", cached=False)


def _with_front_matter(document: MemoryDocument) -> str:
    """JSON is YAML: what has to be quoted is."""
    told = {"type": document.tier, "scope": document.scope, "crewship_path": document.path}
    head = "".join(f"{name}: {orjson.dumps(value).decode()}\n" for name, value in told.items())
    return f"---\n{head}---\n{document.body}"


def _manifest(whose: str, documents: list[dict[str, Any]]) -> str:
    told = {"format": "okf", "version": "0.1", "generator": "crewship", "scope": whose, "documents": documents}
    return "".join(f"{name}: {orjson.dumps(value).decode()}\n" for name, value in told.items())
