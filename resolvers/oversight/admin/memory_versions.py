"""Versions of memories: count, list, read; operations that write a memory create them."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from sqlalchemy import func, select, tuple_
from sqlmodel import col

from models import bounds
from models.base import readable
from models.staff.memory import MemoryTier, MemoryVersion
from resolvers.kernel import (
    ENDS,
    TRIMMED,
    Absent,
    Action,
    Code,
    Context,
    Id,
    Input,
    NoInput,
    Output,
    Refusal,
    procedure,
)
from resolvers.rules.memory_versions import MOST_BYTES, content_of

MOST_LISTED: Final = 500
MOST_AGENTS: Final = 1_000
MISSING: Final = "Version not found"
Prefix = Annotated[str, Field(strict=True, max_length=3 * bounds.LINE), TRIMMED]


class MemoryTotals(Output):
    """Versions in all; `blobs` counts distinct texts. Times are empty without versions."""

    versions: int
    bytes: int
    blobs: int
    oldest_at: str
    newest_at: str


class TierCount(Output):
    """Versions of a tier."""

    tier: MemoryTier
    versions: int
    bytes: int


class AgentMemory(Output):
    """Versions of an agent's memories. `agent_slug` is empty for memories of no agent."""

    agent_slug: str
    versions: int
    bytes: int
    newest_at: datetime


class MemoryStats(Output):
    """Versions of the workspace's memories, by tier and by agent; at most a thousand agents, by slug."""

    workspace_id: str
    totals: MemoryTotals
    by_tier: list[TierCount]
    by_agent: list[AgentMemory]


class MemoryVersionItem(Output):
    """A version of a memory. `path` is logical; `written_by` is empty if unknown."""

    id: str
    path: str
    tier: MemoryTier
    sha256: str
    bytes: int
    written_at: datetime
    written_by: str
    parent_sha: Annotated[str | None, Absent()] = None


class FiltersApplied(Output):
    """The filters that were sent."""

    tier: Annotated[str | None, Absent()] = None
    agent_slug: Annotated[str | None, Absent()] = None
    path_prefix: Annotated[str | None, Absent()] = None
    since: Annotated[datetime | None, Absent()] = None
    until: Annotated[datetime | None, Absent()] = None


class MemoryVersionList(Output):
    """A page of versions. `next_cursor` is null on the last page only."""

    workspace_id: str
    rows: list[MemoryVersionItem]
    next_cursor: str | None
    limit: int
    filters_applied: FiltersApplied


class MemoryVersionContent(Output):
    """A version with its text: `content` is base64 of the bytes that were stored."""

    id: str
    path: str
    tier: MemoryTier
    sha256: str
    bytes: int
    written_at: datetime
    written_by: str
    content: str


def _size(raw: Any) -> Any:
    if isinstance(raw, str):
        if not raw.strip().isdecimal() or not raw.isascii() or not int(raw.strip()[:12]):
            raise PydanticCustomError("limit", "must be a whole number above 0")
        raw = int(raw.strip()[:12])
    return min(raw, MOST_LISTED) if isinstance(raw, int) and not isinstance(raw, bool) else raw


ANY_SIZE = WithJsonSchema(
    {"type": "integer", "minimum": 1, "description": (f"Values above {MOST_LISTED} mean {MOST_LISTED}.")}
)


def _time(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        found = datetime.fromisoformat(raw.strip())
        if found.tzinfo is None:
            raise ValueError
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("time", "must be a time such as 2030-01-31T12:00:00Z") from None


def _place(raw: Any) -> Any:
    """`v1:<time>|<id>` in base64url: behind which row the page begins."""
    if not isinstance(raw, str):
        return raw
    try:
        if len(raw) > 2 * bounds.LINE + bounds.ID:
            raise ValueError
        text = base64.b64decode(raw.strip() + "=" * (-len(raw.strip()) % 4), altchars=b"-_", validate=True).decode()
        version, _, rest = text.partition(":")
        written_at, _, id = rest.partition("|")
        if version != "v1" or not id or len(id) > bounds.ID or "\0" in id:
            raise ValueError
        return _time(written_at), id
    except (ValueError, PydanticCustomError):
        raise PydanticCustomError("cursor", "not a cursor of this list") from None


Time = Annotated[datetime, BeforeValidator(_time), ENDS]


class ListMemoryVersions(Input):
    """`agent_slug` and `path_prefix` are taken literally. `since` is inclusive and `until` exclusive; `limit` is at
    most 500.
    """

    tier: Annotated[MemoryTier, TRIMMED] | None = None
    agent_slug: Prefix | None = None
    path_prefix: Prefix | None = None
    since: Time | None = None
    until: Time | None = None
    limit: Annotated[int, Field(strict=True, ge=1, le=MOST_LISTED), BeforeValidator(_size), ANY_SIZE] = 50
    cursor: Annotated[tuple[Any, ...] | None, BeforeValidator(_place), ENDS] = None


class OfVersion(Input):
    id: Id


@procedure("admin.memory_stats", Action.MANAGE)
async def memory_stats(ctx: Context, data: NoInput) -> MemoryStats:
    """Get statistics of memory versions.

    Covers the workspace, by tier and by agent.
    """
    v = ctx.table(MemoryVersion).c
    sums = (func.count(), func.coalesce(func.sum(v.bytes), 0))
    (totals,) = await ctx.report(
        select(*sums, func.count(v.sha256.distinct()), func.min(v.written_at), func.max(v.written_at))
    )
    tiers = await ctx.report(select(v.tier, *sums).group_by(v.tier).order_by(v.tier))
    by_slug = select(v.agent_slug, *sums, func.max(v.written_at)).group_by(v.agent_slug)
    agents = await ctx.report(by_slug.order_by(v.agent_slug).limit(MOST_AGENTS))
    return MemoryStats(
        workspace_id=ctx.workspace_id or "",
        totals=MemoryTotals(
            versions=totals[0],
            bytes=totals[1],
            blobs=totals[2],
            oldest_at=_written(totals[3]),
            newest_at=_written(totals[4]),
        ),
        by_tier=[TierCount(tier=MemoryTier(row[0]), versions=row[1], bytes=row[2]) for row in tiers],
        by_agent=[AgentMemory(agent_slug=row[0], versions=row[1], bytes=row[2], newest_at=row[3]) for row in agents],
    )


def _written(time: datetime | None) -> str:
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@procedure("admin.memory_versions", Action.MANAGE)
async def list_memory_versions(ctx: Context, data: ListMemoryVersions) -> MemoryVersionList:
    """List versions of memories.

    Newest first; ties by id, descending.
    """
    written_at, id = col(MemoryVersion.written_at), col(MemoryVersion.id)
    conditions: dict[str, Callable[[Any], Any]] = {
        "tier": lambda value: col(MemoryVersion.tier) == value,
        "agent_slug": lambda value: col(MemoryVersion.agent_slug) == value,
        "path_prefix": lambda value: func.starts_with(col(MemoryVersion.path), value),
        "since": lambda value: written_at >= value,
        "until": lambda value: written_at < value,
    }
    sent = {name: value for name in conditions if (value := getattr(data, name)) not in (None, "")}
    chosen = [conditions[name](value) for name, value in sent.items()]
    if data.cursor is not None:
        chosen.append(tuple_(written_at, id) < tuple_(*data.cursor))
    found = ctx.select(MemoryVersion, *chosen).order_by(written_at.desc(), id.desc()).limit(data.limit + 1)
    rows = await found.all()
    shown, more = rows[: data.limit], len(rows) > data.limit
    return MemoryVersionList(
        workspace_id=ctx.workspace_id or "",
        rows=[
            MemoryVersionItem(**{name: getattr(row, name) for name in MemoryVersionItem.model_fields}) for row in shown
        ],
        next_cursor=_cursor(shown[-1]) if more else None,
        limit=data.limit,
        filters_applied=FiltersApplied(**sent),
    )


def _of(kind: type[Output], version: MemoryVersion) -> dict[str, Any]:
    """The columns that an answer shows."""
    return {name: getattr(version, name) for name in kind.model_fields if name in readable(MemoryVersion)}


def _cursor(row: MemoryVersion) -> str:
    place = f"v1:{row.written_at.astimezone(UTC).isoformat()}|{row.id}"
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


@procedure(
    "admin.memory_version_content",
    Action.MANAGE,
    late=True,
    errors=(Code.NOT_FOUND, Code.GONE, Code.TOO_LARGE, Code.INTERNAL),
)
async def memory_version_content(ctx: Context, data: OfVersion) -> MemoryVersionContent:
    """Get the text of a version of a memory.

    GONE if the text was never stored or has been removed.
    """
    version = await ctx.get(MemoryVersion, data.id, missing=MISSING)
    if version.bytes > MOST_BYTES:
        raise Refusal(Code.TOO_LARGE, f"The text is larger than {MOST_BYTES >> 20} MiB")
    content = await content_of(ctx, version)
    if hashlib.sha256(content).hexdigest() != version.sha256:
        raise Refusal(Code.INTERNAL, "The stored text does not match its digest")
    encoded = base64.b64encode(content).decode()
    return MemoryVersionContent(content=encoded, **_of(MemoryVersionContent, version))
