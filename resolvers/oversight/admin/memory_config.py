"""A workspace's configuration of its memories: an object with any keys, one of which is known here."""

from typing import Annotated, Any, Final

import orjson

from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.staff.memory import MemoryConfig
from resolvers.kernel import ENDS, Action, Code, Context, Input, NoInput, Output, Refusal, command, procedure, within

MOST_BYTES: Final = 16 << 10  # contract: admin.memory_config_patch
RETENTION: Final = "versions_retention_days"
DEFAULT_DAYS, LONGEST_DAYS = 30, 3650
MOST_SUMMARY: Final = 240


class MemoryConfiguration(Output):
    """The retention of versions, and the stored configuration. `versions_retention_days` is the effective number;
    `raw_config` is the stored JSON, or null.
    """

    workspace_id: str
    versions_retention_days: int
    is_default: bool
    raw_config: str | None


class UpdateMemoryConfig(Input):
    """The keys to set; `versions_retention_days` is from 1 to 3650."""

    config: Annotated[dict[str, Any], within(MOST_BYTES), ENDS]


def days_of(document: dict[str, Any]) -> int | None:
    """The retention; None if the configuration has no valid one."""
    days = document.get(RETENTION)
    known = isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= LONGEST_DAYS
    return days if known else None


def _shown(ctx: Context, document: dict[str, Any] | None) -> MemoryConfiguration:
    days = days_of(document or {})
    return MemoryConfiguration(
        workspace_id=ctx.workspace_id or "",
        versions_retention_days=days or DEFAULT_DAYS,
        is_default=days is None,
        raw_config=None if document is None else orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode(),
    )


@procedure("admin.memory_config_get", Action.MANAGE)
async def get_memory_config(ctx: Context, data: NoInput) -> MemoryConfiguration:
    """Get the configuration of memories.

    Applies to the workspace.
    """
    stored = await ctx.select(MemoryConfig).first()
    return _shown(ctx, None if stored is None else stored.document)


@command("admin.memory_config_patch", Action.MANAGE, audit="memory_config.updated", errors=(Code.TOO_LARGE,))
async def update_memory_config(ctx: Context, data: UpdateMemoryConfig) -> MemoryConfiguration:
    """Update the configuration of memories.

    Omitted keys stay unchanged; null is stored as null. Versions older than `versions_retention_days` are
    deleted with their texts, except the newest of each memory.
    """
    await ctx.lock(f"memory configuration of {ctx.workspace_id}")
    stored = await ctx.select(MemoryConfig).first()
    before = {} if stored is None else stored.document
    after = before | data.config
    if RETENTION in after and days_of(after) is None:
        raise Refusal(Code.BAD_REQUEST, f"{RETENTION} must be a whole number from 1 to {LONGEST_DAYS}")
    if len(orjson.dumps(after)) > MOST_BYTES:
        raise Refusal(Code.TOO_LARGE, f"The configuration is larger than {MOST_BYTES >> 10} KiB")
    if not await _store(ctx, before, after):
        return _shown(ctx, None if stored is None else before)
    ctx.audit("MEMORY_CONFIG", None, keys=sorted(data.config))
    return _shown(ctx, after)


async def set_days(ctx: Context, days: int | None) -> None:
    """The retention alone, and none of the workspace's own without `days`."""
    await ctx.lock(f"memory configuration of {ctx.workspace_id}")
    stored = await ctx.select(MemoryConfig).first()
    before = {} if stored is None else stored.document
    rest = {key: value for key, value in before.items() if key != RETENTION}
    await _store(ctx, before, rest if days is None else rest | {RETENTION: days})


async def _store(ctx: Context, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Stores the configuration. Returns true if anything has changed; the journal records the change."""
    keys = [key for key in before | after if (key in before, before.get(key)) != (key in after, after.get(key))]
    if not keys:
        return False
    changes = {key: {"from": before.get(key), "to": after.get(key)} for key in keys}
    await ctx.upsert(MemoryConfig(document=after), "workspace_id")
    ctx.record(
        JournalEntry(
            entry_type="memory.config_updated",
            severity=Severity.notice,
            actor_type=JournalActor.user,
            actor_id=ctx.user_id or None,
            summary=f"memory configuration: {', '.join(keys)}"[:MOST_SUMMARY],
            payload={"workspace_id": ctx.workspace_id, "changes": changes},
        )
    )
    return True
