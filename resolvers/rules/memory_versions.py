"""The texts of versions of memories: kept, read, and removed with the last version that has them."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final

from sqlalchemy import and_, select, tuple_
from sqlmodel import col

from models.staff.memory import MemoryTier, MemoryVersion
from resolvers.instance.store import Arriving
from resolvers.kernel import Code, Context, Refusal

MOST_BYTES: Final = 10 << 20
FOLDER: Final = "memory"
STORED: Final = "sha256:"
NEWEST_FIRST: Final = (col(MemoryVersion.written_at).desc(), col(MemoryVersion.id).desc())
GONE: Final = "The text of this version is not stored"


async def content_of(ctx: Context, version: MemoryVersion) -> bytes:
    """GONE if the text was never stored, or no longer exists."""
    name = version.payload_ref.removeprefix(STORED)
    if not version.payload_ref.startswith(STORED):
        raise Refusal(Code.GONE, GONE)
    try:
        opened = await folder_of(ctx, version.workspace_id).open(name)
    except Refusal as refusal:
        if refusal.code is Code.NOT_FOUND:
            raise Refusal(Code.GONE, GONE) from None
        raise
    try:
        content: bytes = await opened.read(0, MOST_BYTES + 1)
        return content
    finally:
        opened.close()


def folder_of(ctx: Context, workspace_id: str | None) -> Any:
    """The folder with the texts of a workspace's versions, each named by its digest."""
    return ctx.outside.store.folder("workspaces", workspace_id or "", FOLDER)


def texts_of(workspace_id: str | None) -> str:
    """The lock of operations that add a text or remove the last version that has it."""
    return f"texts of memories of {workspace_id}"


ANY: Final = "*"


class Outrun(Exception):
    """Another version was added meanwhile."""


async def keep_version(
    ctx: Context,
    path: str,
    tier: MemoryTier,
    content: bytes,
    *,
    written_by: str = "",
    owner_id: str | None = None,
    most: int | None = None,
    made_from: str | None = ANY,
) -> MemoryVersion:
    """Adds a version with its text, for operations that write a memory: `late` commands, whose transaction begins here.

    The text is on disk before the row is written, so every row has one. `most`: the maximum number of the owner's
    versions; the oldest are removed. `made_from`: the id of the version that the text is based on, None if there was
    none; raises Outrun if it is not the newest.
    """
    digest = hashlib.sha256(content).hexdigest()
    folder = folder_of(ctx, ctx.workspace_id)
    async with ctx.outside.store.receive(Arriving(_at_once(content), MOST_BYTES)) as received:
        await ctx.begin()
        await ctx.lock(texts_of(ctx.workspace_id))
        same = col(MemoryVersion.path) == path
        if owner_id is not None:
            same = and_(col(MemoryVersion.owner_id) == owner_id, col(MemoryVersion.tier) == tier)
        before = await ctx.select(MemoryVersion, same).order_by(*NEWEST_FIRST).limit(most or 1).all()
        if made_from is not ANY and made_from != (before[0].id if before else None):
            raise Outrun
        await folder.keep(received, digest)
        if most is not None and len(before) == most:
            await _forget(ctx, folder, before[-1], same, digest)
        return await ctx.insert(
            MemoryVersion(
                path=path,
                tier=tier,
                sha256=digest,
                bytes=len(content),
                written_by=written_by,
                parent_sha=before[0].sha256 if before else None,
                payload_ref=STORED + digest,
                owner_id=owner_id,
            )
        )


async def _forget(ctx: Context, folder: Any, oldest: MemoryVersion, same: Any, kept: str) -> None:
    """This version and those before it, with the texts that no other version has. Files go before their rows."""
    v = ctx.table(MemoryVersion).c
    gone = (same, tuple_(col(MemoryVersion.written_at), col(MemoryVersion.id)) <= (oldest.written_at, oldest.id))
    going = await ctx.select(MemoryVersion, *gone).all()
    ids, texts = [row.id for row in going], {row.sha256 for row in going if row.payload_ref} - {kept}
    others = await ctx.report(select(v.sha256).where(v.sha256.in_(texts), v.id.not_in(ids)).distinct())
    for digest in texts - {row[0] for row in others}:
        try:
            await folder.remove(digest)
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise
    await ctx.delete_where(MemoryVersion, col(MemoryVersion.id).in_(ids))


async def _at_once(content: bytes) -> AsyncIterator[bytes]:
    yield content
