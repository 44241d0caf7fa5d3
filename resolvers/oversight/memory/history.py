"""Versions of one memory: the log, the bytes of a version, and its restoration."""

import base64
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema
from sqlmodel import col

from models import bounds
from models.staff.memory import MemoryTier, MemoryVersion
from resolvers.kernel import (
    ENDS,
    Absent,
    Action,
    Code,
    Context,
    Input,
    Output,
    Refusal,
    command,
    invalid,
    procedure,
)
from resolvers.oversight.memory.owners import owner_of_path
from resolvers.rules.memory_files import PERSONA_FILE, is_recorded, split
from resolvers.rules.memory_versions import NEWEST_FIRST, content_of
from resolvers.rules.memory_writing import MemoryWrite, write_memories

DEFAULT, MOST = 20, 1_000
MISSING: Final = "Version not found"
RECORDED: Final = "Every write of this file is recorded."
NO_PATH: Final = "Not a path of a memory, such as 'agent:{slug}/{file}' or 'crew:{crew id}/{file}'."
OF_PERSONA: Final = "A persona has a history of its own: GET /api/v1/agents/{id}/persona/history."
UNKNOWN_FILE: Final = "No versions of this file are kept."


class ProjectionState(StrEnum):
    """The state of the recording of versions."""

    recorded = "recorded"
    unrecorded = "unrecorded"
    unavailable = "unavailable"


class VersionProjection(Output):
    """The recording of versions of a path, and the reason: an empty log of a recorded path is a fact."""

    state: ProjectionState
    reason: str


class VersionEntry(Output):
    """A version of a memory. `written_by` is a user, an agent, a part of the service, or empty."""

    id: str
    path: str
    tier: MemoryTier
    sha256: str
    bytes: int
    written_at: datetime
    written_by: str
    parent_sha: Annotated[str | None, Absent()] = None
    payload_ref: str


class VersionLog(Output):
    """The newest versions of a memory."""

    path: str
    count: int
    entries: list[VersionEntry]
    projection: VersionProjection


class VersionContent(Output):
    """The text of a version: `content` is base64 of the bytes that were stored."""

    path: str
    sha256: str
    bytes: int
    content: str


class MemoryRestored(Output):
    """A memory that was restored. `canonical_path` is the file, as lists of files name it."""

    workspace_id: str
    path: str
    canonical_path: str
    restored_sha: str
    new_version_id: str
    bytes: int
    restored_by: str


def _limit(raw: Any) -> Any:
    """Unreadable and not positive ones mean the default (contract: memory.versions)."""
    text = str(raw).strip()[:12]
    if isinstance(raw, bool) or not text.isascii() or not text.isdecimal() or not int(text):
        return DEFAULT
    return min(int(text), MOST)


Limit = Annotated[
    int,
    BeforeValidator(_limit),
    ENDS,
    WithJsonSchema({"type": "integer", "description": f"At most {MOST}; other values mean {DEFAULT}."}),
]
MemoryPath = Annotated[str, Field(strict=True, min_length=1, max_length=3 * bounds.LINE)]
Sha = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LINE)]


class MemoryHistory(Input):
    """`path` is `agent:<slug>/<file>` or `crew:<crew id>/<file>`."""

    path: MemoryPath
    limit: Limit = DEFAULT


class OfMemoryVersion(Input):
    """The digest of a version, and the path of its memory."""

    sha: Sha
    path: MemoryPath


class RestoreMemory(OfMemoryVersion):
    """`canonical_path` may be omitted: it follows from `path`. If it is sent, it has to name the file of the memory."""

    canonical_path: Annotated[str, Field(strict=True, max_length=bounds.URL)] = ""
    tier: MemoryTier


def projection_of(path: str) -> VersionProjection:
    parts = split(path)
    if parts is None:
        return VersionProjection(state=ProjectionState.unrecorded, reason=NO_PATH)
    if is_recorded(parts[2]):
        return VersionProjection(state=ProjectionState.recorded, reason=RECORDED)
    reason = OF_PERSONA if parts[2] == PERSONA_FILE else UNKNOWN_FILE
    return VersionProjection(state=ProjectionState.unrecorded, reason=reason)


def _of(path: str) -> tuple[Any, ...]:
    return col(MemoryVersion.path) == path, col(MemoryVersion.tier) != MemoryTier.persona


@procedure("memory.versions", Action.READ)
async def list_memory_history(ctx: Context, data: MemoryHistory) -> VersionLog:
    """List versions of one memory.

    Newest first. `projection` says whether versions of this path are recorded. Personas have a list of their own.
    """
    projection = projection_of(data.path)
    found = ctx.select(MemoryVersion, *_of(data.path)).order_by(*NEWEST_FIRST).limit(data.limit)
    rows = await found.all() if projection.state is ProjectionState.recorded else []
    entries = [VersionEntry(**{name: getattr(row, name) for name in VersionEntry.model_fields}) for row in rows]
    return VersionLog(path=data.path, count=len(entries), entries=entries, projection=projection)


async def _version(ctx: Context, data: OfMemoryVersion) -> MemoryVersion:
    same = (*_of(data.path), col(MemoryVersion.sha256) == data.sha)
    found = await ctx.select(MemoryVersion, *same).order_by(*NEWEST_FIRST).first()
    if found is None:
        raise Refusal(Code.NOT_FOUND, MISSING)
    return found


@procedure("memory.version_content", Action.READ, late=True, errors=(Code.NOT_FOUND, Code.GONE))
async def get_version_content(ctx: Context, data: OfMemoryVersion) -> VersionContent:
    """Get the text of a version of one memory.

    GONE if the text has been removed.
    """
    version = await _version(ctx, data)
    content = base64.b64encode(await content_of(ctx, version)).decode()
    return VersionContent(path=version.path, sha256=version.sha256, bytes=version.bytes, content=content)


@command(
    "memory.version_restore",
    Action.MANAGE,
    audit="memory.restored",
    errors=(Code.NOT_FOUND, Code.GONE, Code.CONFLICT),
    late=True,
)
async def restore_memory_version(ctx: Context, data: RestoreMemory) -> MemoryRestored:
    """Restore a version of a memory.

    Replaces the file by the text of the version, and adds a new version with the same digest. NOT_FOUND if the agent
    or crew does not exist any more.
    """
    version = await _version(ctx, data)
    owned = await owner_of_path(ctx, data.path)
    if owned is None:
        raise Refusal(Code.NOT_FOUND, MISSING)
    owner, name = owned
    place = owner.shown(name)
    if version.tier is not data.tier:
        raise invalid("tier", f"must be {version.tier} for this memory")
    if data.canonical_path not in ("", place, owner.place(name)):
        raise invalid("canonical_path", f"must be {place}, or omitted")
    content = await content_of(ctx, version)
    write = MemoryWrite(owner, name, data.tier, content, always=True)
    written = await write_memories(ctx, [write], written_by=ctx.user_id)
    if data.path in written.failed:
        raise Refusal(Code.CONFLICT, written.failed[data.path])
    made = written.versions[data.path]
    ctx.audit("MEMORY_VERSION", made.id, path=data.path, restored_sha=version.sha256)
    return MemoryRestored(
        workspace_id=ctx.workspace_id or "",
        path=data.path,
        canonical_path=place,
        restored_sha=version.sha256,
        new_version_id=made.id,
        bytes=len(content),
        restored_by=ctx.user_id,
    )
