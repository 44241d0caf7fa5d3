"""Writes of memories: the file, its version, and its text for the search, for operations declared `late`."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlmodel import col

from models.bounds import PROMPT
from models.staff.memory import MemoryText, MemoryTier, MemoryVersion, memory_version_id
from resolvers.instance.store import Arriving
from resolvers.kernel import Code, Context, Refusal
from resolvers.rules.memory_files import MOST_READ, MemoryOwner, is_recorded
from resolvers.rules.memory_versions import MOST_BYTES, NEWEST_FIRST, STORED, folder_of, texts_of

AUDIT_WATCHER: Final = "audit-watcher"
"""Wrote what was found in a file, and was written by no operation (contract: memory.behaviour.versions)."""
CONSOLIDATOR: Final = "consolidator"
MOST_APPENDED: Final = 8 << 20
"""Bytes of a file that rules are appended to (contract: consolidate.proposal_diff)."""


@dataclass(frozen=True, slots=True)
class MemoryWrite:
    """A memory that is written. `kept`: its file has the content already, or there is none, as of a persona.

    `always`: a version is added even if the newest one has the same text. `appended`: the content, made of what the
    file has.
    """

    owner: MemoryOwner
    name: str
    tier: MemoryTier
    content: bytes
    kept: bool = False
    always: bool = False
    appended: Callable[[bytes], bytes] | None = None

    @property
    def path(self) -> str:
        if self.tier is MemoryTier.persona and self.owner.agent_id is None:
            return f"crew:{self.owner.crew_slug}/{self.name}"
        return f"{self.owner.prefix}{self.name}"

    @property
    def recorded(self) -> bool:
        return self.tier is MemoryTier.persona or is_recorded(self.name)

    @property
    def sha(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class MemoriesWritten:
    """The newest versions by path, which may be older ones, and the reasons why files were not written."""

    versions: dict[str, MemoryVersion]
    failed: dict[str, str]


async def begin_writing(ctx: Context) -> None:
    """Begins the transaction; what is read from here on is written by no other operation meanwhile."""
    await ctx.begin()
    await ctx.lock(texts_of(ctx.workspace_id))


async def write_memories(
    ctx: Context, writes: Sequence[MemoryWrite], *, written_by: str, first: Callable[[], Awaitable[Any]] | None = None
) -> MemoriesWritten:
    """Writes each by itself. Files go before rows: what is cut off is a file whose version is added by the next look.

    Begins the transaction. `first` is called at its beginning, under the lock that all writers of memories hold. Files
    are small, and written one after the other, so that no more than one is open.
    """
    outputs = {write.owner.crew_id: output_of_crew(ctx, write.owner.crew_id) for write in writes}
    texts, store = folder_of(ctx, ctx.workspace_id), ctx.outside.store
    await begin_writing(ctx)
    if first is not None:
        await first()
    versions = await newest(ctx, {write.path for write in writes})
    failed, added, done = dict[str, str](), list[MemoryVersion](), list[MemoryWrite]()
    for asked in writes:
        output, write = outputs[asked.owner.crew_id], asked
        if asked.appended is not None:
            write = replace(asked, content=asked.appended(await _content(output, asked)))
        try:
            if not write.kept:
                async with store.receive(_whole(write.content)) as file:
                    await output.keep(file, write.owner.place(write.name))
        except Refusal as refusal:
            failed[write.path] = str(refusal)
            continue
        done.append(write)
        same = versions.get(write.path)
        if not write.recorded or (same is not None and same.sha256 == write.sha and not write.always):
            continue
        async with store.receive(_whole(write.content)) as text:
            await texts.keep(text, write.sha)
        versions[write.path] = _version(write, same, written_by)
        added.append(versions[write.path])
    await ctx.insert_all(added)
    await index_texts(ctx, done)
    return MemoriesWritten(versions, failed)


async def _content(folder: Any, write: MemoryWrite) -> bytes:
    """The content of the file; nothing if there is none. TOO_LARGE for a file that nothing is appended to."""
    try:
        content = await read_memory(folder, write.owner.place(write.name), MOST_APPENDED)
    except Refusal as refusal:
        if refusal.code is not Code.NOT_FOUND:
            raise
        return b""
    if content is None:
        raise Refusal(Code.TOO_LARGE, "The file is too large")
    return content


def _version(write: MemoryWrite, before: MemoryVersion | None, written_by: str) -> MemoryVersion:
    return MemoryVersion(
        id=memory_version_id(),
        path=write.path,
        tier=write.tier,
        sha256=write.sha,
        bytes=len(write.content),
        written_by=written_by,
        parent_sha=None if before is None else before.sha256,
        payload_ref=STORED + write.sha,
        owner_id=write.owner.id,
    )


async def newest(ctx: Context, paths: Iterable[str]) -> dict[str, MemoryVersion]:
    """The newest version of each path that has one."""
    found = dict[str, MemoryVersion]()
    for path in paths:
        version = await ctx.select(MemoryVersion, col(MemoryVersion.path) == path).order_by(*NEWEST_FIRST).first()
        if version is not None:
            found[path] = version
    return found


async def index_texts(ctx: Context, writes: Sequence[MemoryWrite]) -> None:
    """Replaces the texts that the search reads."""
    by_path = {write.path: write for write in writes if write.tier is not MemoryTier.persona}
    if not by_path:
        return
    await ctx.delete_where(MemoryText, col(MemoryText.path).in_(by_path))
    await ctx.insert_all(
        [
            MemoryText(
                crew_id=write.owner.crew_id,
                agent_id=write.owner.agent_id,
                path=path,
                sha256=write.sha,
                content=text_of(write.content)[:PROMPT],
            )
            for path, write in by_path.items()
        ]
    )


def text_of(content: bytes) -> str:
    """As text that PostgreSQL stores."""
    return content.decode(errors="replace").replace("\0", "\ufffd")


def output_of_crew(ctx: Context, crew_id: str) -> Any:
    """The folder that all agents of a crew share."""
    return ctx.outside.store.folder("workspaces", ctx.workspace_id or "", "crews", crew_id, "output", agents=True)


async def read_memory(folder: Any, place: str, most: int = MOST_READ) -> bytes | None:
    """The content of a file in a crew's folder; None if it is larger. NOT_FOUND for what is not a file."""
    opened = await folder.open(place)
    try:
        if opened.size > most:
            return None
        content: bytes = await opened.read(0, most + 1)
        return None if len(content) > most else content
    finally:
        opened.close()


def _whole(content: bytes) -> Arriving:
    async def at_once() -> AsyncIterator[bytes]:
        yield content

    return Arriving(at_once(), MOST_BYTES)
