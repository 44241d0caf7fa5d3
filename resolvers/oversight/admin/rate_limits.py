"""Limiters at run time: settings of the instance, by which every process limits at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.oversight.instance_settings import InstanceSetting
from resolvers.instance import live_settings
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Input,
    Int,
    NoInput,
    Output,
    Reach,
    Refusal,
    Topic,
    command,
    instance,
    invalid,
    procedure,
)
from resolvers.oversight.instance_settings.events import InstanceSettingDeleted, InstanceSettingUpdated
from resolvers.oversight.instance_settings.settings import check_live, check_value

TAKEN: Final = "instance_settings_key_key"
HTTP, LOGIN, BUILDS, WEBHOOKS = "HTTP (per-IP)", "Login", "Provisioning", "Webhooks"


@dataclass(frozen=True, slots=True)
class LimiterKind:
    """A limiter that this server has: the setting that holds its number, and its words for people."""

    setting: str
    group: str
    name: str
    text: str
    unit: str
    most: int = 100_000


KINDS: Final[Mapping[str, LimiterKind]] = {
    "http.auth_per_min": LimiterKind(
        "ratelimit_auth", HTTP, "Sign-in", "Requests of an address to routes of sign-in", "req/min"
    ),
    "http.api_per_min": LimiterKind("ratelimit_api", HTTP, "API", "Requests of an address to the API", "req/min"),
    "http.cred_test_per_min": LimiterKind(
        "ratelimit_credential_test", HTTP, "Tests of credentials", "Tests of credentials by an address", "req/min"
    ),
    "http.cred_reveal_per_min": LimiterKind(
        "ratelimit_credential_reveal",
        HTTP,
        "Revealed values",
        "Credentials that an address reveals",
        "req/min",
    ),
    "login.lockout_threshold": LimiterKind(
        "lockout_failures", LOGIN, "Failures", "Wrong passwords in a row that lock an account", "attempts", 1_000
    ),
    "login.lockout_duration_sec": LimiterKind(
        "lockout_seconds", LOGIN, "Duration", "Time for which an account is locked", "seconds", 86_400
    ),
    "provisioning.max_concurrent_per_ws": LimiterKind(
        "builds_at_once", BUILDS, "Builds at once", "Builds of images of a workspace at the same time", "jobs"
    ),
    "provisioning.max_starts_per_min": LimiterKind(
        "ratelimit_builds", BUILDS, "Starts of builds", "Builds of images that a workspace starts", "starts/min"
    ),
    "webhook.agent_per_min": LimiterKind(
        "ratelimit_webhooks", WEBHOOKS, "Deliveries", "Deliveries that start a run of an agent", "req/min"
    ),
}
"""In the order of the list."""


class Limiter(Output):
    """A limiter. `default` is the configured value, which applies unless the limiter is `overridden`."""

    key: str
    group: str
    display_name: str
    description: str
    unit: str
    default: int
    min: int
    max: int
    value: int
    overridden: bool


class Limiters(Output):
    """The limiters of the server."""

    limiters: list[Limiter]


class ByLimiter(Input):
    """`key` names a limiter of the list."""

    key: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]


class SetRateLimit(ByLimiter):
    """`value` is from `min` to `max` of the limiter."""

    value: Int = 0


async def by_the_operator(ctx: Context, named: ByLimiter) -> None:
    """Limits apply to every workspace, so the first user's decide. An unknown limiter is reported first."""
    _kind(named.key)
    await check_live(ctx)


def _kind(key: str) -> LimiterKind:
    if (kind := KINDS.get(key)) is None:
        raise Refusal(Code.NOT_FOUND, "unknown rate limiter")
    return kind


def _limiter(key: str, stored: Mapping[str, str]) -> Limiter:
    kind = KINDS[key]
    held = {kind.setting: stored[kind.setting]} if kind.setting in stored else {}
    return Limiter(
        key=key,
        group=kind.group,
        display_name=kind.name,
        description=kind.text,
        unit=kind.unit,
        default=getattr(instance.configured, kind.setting),
        min=1,
        max=kind.most,
        value=getattr(live_settings.overridden(instance.configured, held), kind.setting),
        overridden=bool(held),
    )


@procedure("admin.rate_limits", Action.MANAGE)
async def list_rate_limits(ctx: Context, data: NoInput) -> Limiters:
    """List rate limits.

    Lists the limiters of the server, with their present values. Limiters of HTTP requests have no effect where
    CREWSHIP_RATELIMIT_DISABLED is on.
    """
    named = col(InstanceSetting.key).in_([kind.setting for kind in KINDS.values()])
    rows = await ctx.select(InstanceSetting, named).all()
    stored = {row.key: row.plain for row in rows if row.plain is not None}
    return Limiters(limiters=[_limiter(key, stored) for key in KINDS])


@command(
    "admin.rate_limit_set",
    Action.MANAGE,
    audit="instance_setting.set",
    emits=InstanceSettingUpdated,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND),
    allow=by_the_operator,
    reach=Reach.INSTANCE,
)
async def set_rate_limit(ctx: Context, data: SetRateLimit) -> Limiter:
    """Set a rate limit.

    Applies to the whole server at once and survives restarts. In a workspace of the instance's first user only.
    """
    kind = _kind(data.key)
    if not 1 <= data.value <= kind.most:
        raise invalid("value", f"must be from 1 to {kind.most}")
    text = str(data.value)
    check_value(kind.setting, text)
    await ctx.upsert(InstanceSetting(key=kind.setting, plain=text), "key")
    ctx.audit("INSTANCE", None, key=kind.setting, value=data.value)
    ctx.emit(InstanceSettingUpdated(key=kind.setting))
    ctx.ring(Topic.settings)
    return _limiter(data.key, {kind.setting: text})


@command(
    "admin.rate_limit_reset",
    Action.MANAGE,
    audit="instance_setting.deleted",
    emits=InstanceSettingDeleted,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND),
    allow=by_the_operator,
    reach=Reach.INSTANCE,
)
async def reset_rate_limit(ctx: Context, data: ByLimiter) -> Limiter:
    """Delete the override of a rate limit.

    Returns to the configured value, also if it applies already. In a workspace of the instance's first user only.
    """
    kind = _kind(data.key)
    await ctx.delete_where(InstanceSetting, col(InstanceSetting.key) == kind.setting)
    ctx.audit("INSTANCE", None, key=kind.setting)
    ctx.emit(InstanceSettingDeleted(key=kind.setting))
    ctx.ring(Topic.settings)
    return _limiter(data.key, {})
