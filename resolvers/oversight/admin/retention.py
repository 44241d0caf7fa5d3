"""The retention settings of a workspace."""

from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models.retention import RetentionKind, RetentionRule
from models.staff.memory import MemoryConfig
from resolvers.kernel import Action, Code, Context, Input, NoInput, Output, Refusal, command, procedure
from resolvers.kernel.background.retention import LONGEST as LONGEST_RETENTION
from resolvers.kernel.background.retention import bounds as retention_bounds
from resolvers.kernel.background.retention import holds as retention_days
from resolvers.oversight.admin.memory_config import days_of, set_days

Days = Annotated[int, Field(strict=True, ge=0, le=LONGEST_RETENTION)]


class Retention(Output):
    """The retention of a kind of rows in the workspace, in days. `days` is the effective number; 0 keeps rows forever.
    `own_days` is the workspace's own setting, if any. It can be from `least_days` to `most_days`; a `most_days` of 0
    means no upper limit, and allows 0.
    """

    kind: RetentionKind
    days: int
    own_days: int | None
    default_days: int
    least_days: int
    most_days: int


class SetRetention(Input):
    """Without `days`, the default applies again."""

    kind: RetentionKind
    days: Days | None = None


def _shown(kind: RetentionKind, own: int | None) -> Retention:
    least, most, default = retention_bounds(kind)
    held = {"days": retention_days(kind, own), "own_days": own}
    return Retention(kind=kind, default_days=default, least_days=least, most_days=most, **held)


@procedure("admin.retention_list", Action.MANAGE)
async def list_retention(ctx: Context, data: NoInput) -> list[Retention]:
    """List the retention rules of the workspace.

    Lists every kind of rows with the effective and the permitted number of days.
    """
    own: dict[RetentionKind, int | None] = {rule.kind: rule.days for rule in await ctx.select(RetentionRule).all()}
    config = await ctx.select(MemoryConfig).first()
    own[RetentionKind.memory_versions] = None if config is None else days_of(config.document)
    return [_shown(kind, own.get(kind)) for kind in RetentionKind]


@command("admin.retention_set", Action.MANAGE, audit="retention.updated")
async def set_retention(ctx: Context, data: SetRetention) -> Retention:
    """Set how long the workspace keeps rows of a kind.

    `days` of 0 keeps rows forever, if the instance allows it. A smaller number deletes older rows within hours;
    this cannot be undone. Days are counted in UTC; rows may stay up to a day longer.
    """
    _judge(data.kind, data.days)
    await ctx.lock(f"retention of {ctx.workspace_id}")
    before = await _own(ctx, data.kind)
    if before != data.days:
        await _store(ctx, data.kind, data.days)
    ctx.audit("RETENTION", data.kind.value, before=before, after=data.days)
    return _shown(data.kind, data.days)


def _judge(kind: RetentionKind, days: int | None) -> None:
    least, most, _ = retention_bounds(kind)
    if days is None or least <= days <= (most or LONGEST_RETENTION) or (days == 0 and most == 0):
        return
    longest = f"to {most}" if most else "up, or 0 for no limit"
    told = f"The days of {kind.value} are from {least} {longest}"
    raise Refusal(Code.BAD_REQUEST, told, fields={"days": told})


async def _own(ctx: Context, kind: RetentionKind) -> int | None:
    if kind is RetentionKind.memory_versions:
        config = await ctx.select(MemoryConfig).first()
        return None if config is None else days_of(config.document)
    rule = await ctx.select(RetentionRule, col(RetentionRule.kind) == kind).first()
    return None if rule is None else rule.days


async def _store(ctx: Context, kind: RetentionKind, days: int | None) -> None:
    if kind is RetentionKind.memory_versions:
        await set_days(ctx, days)
    elif days is None:
        await ctx.delete_where(RetentionRule, col(RetentionRule.kind) == kind)
    else:
        values: dict[str, Any] = {"kind": kind, "days": days, "removed_until": None}
        await ctx.upsert(RetentionRule(**values), "workspace_id", "kind")
