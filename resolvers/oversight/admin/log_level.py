"""The log level, which can be changed at run time: a fact of the instance that every process follows.

The following is done in crewship/process/log_level.py.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator
from sqlmodel import col

from models.kernel import LOG_LEVEL, InstanceFact
from resolvers.instance.log_level import LogLevel
from resolvers.kernel import (
    Absent,
    Action,
    Context,
    Input,
    Int,
    NoInput,
    Output,
    Reach,
    Topic,
    command,
    instance,
    procedure,
)

LONGEST: Final = timedelta(days=1)
ALIASES: Final = {"warning": LogLevel.warn, "fatal": LogLevel.error}


def _known_as(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    written = raw.strip().lower()
    return ALIASES.get(written, written)


class LogLevelState(Output):
    """The log level of the server. `baseline` is the configured level (CREWSHIP_LOG_LEVEL). With `expires_at`, the
    level returns to it then.
    """

    level: LogLevel
    baseline: LogLevel
    expires_at: Annotated[datetime | None, Absent()] = None


class SetLogLevel(Input):
    """`level` is case-insensitive; over REST `warning` and `fatal` mean `warn` and `error`. `ttl_seconds` is the
    duration, at most a day; 0 means until the next change.
    """

    level: Annotated[LogLevel, BeforeValidator(_known_as)]
    ttl_seconds: Int = 0


def written(level: LogLevel, until: datetime | None) -> str:
    return level.value if until is None else f"{level.value} {until.isoformat()}"


def holding(stored: str | None, now: datetime) -> LogLevelState:
    """The log level that is in effect at a time."""
    baseline = LogLevel(instance.settings.log_level)
    level, _, until = (stored or "").partition(" ")
    expires_at = datetime.fromisoformat(until) if until else None
    if not level or (expires_at is not None and expires_at <= now):
        return LogLevelState(level=baseline, baseline=baseline)
    return LogLevelState(level=LogLevel(level), baseline=baseline, expires_at=expires_at)


async def log_level_of(ctx: Context) -> LogLevelState:
    fact = await ctx.select(InstanceFact, col(InstanceFact.name) == LOG_LEVEL).first()
    return holding(None if fact is None else fact.value, await ctx.now())


@procedure("admin.log_level_get", Action.MANAGE)
async def get_log_level(ctx: Context, data: NoInput) -> LogLevelState:
    """Get the log level.

    Applies to all processes of the server.
    """
    return await log_level_of(ctx)


@command("admin.log_level_set", Action.MANAGE, audit="log_level.updated", reach=Reach.INSTANCE)
async def set_log_level(ctx: Context, data: SetLogLevel) -> LogLevelState:
    """Set the log level.

    Applies to all processes of the server, without a restart. A level without an end survives restarts.
    """
    now, lasts = await ctx.now(), min(timedelta(seconds=max(data.ttl_seconds, 0)), LONGEST)
    value = written(data.level, now + lasts if lasts else None)
    await ctx.upsert(InstanceFact(name=LOG_LEVEL, value=value), "name")
    ctx.audit("INSTANCE", None, level=data.level.value, ttl_seconds=int(lasts.total_seconds()))
    ctx.ring(Topic.settings, LOG_LEVEL)
    return holding(value, now)
