"""The settings of this instance that weaken it, without any secret."""

import asyncio
from enum import StrEnum
from typing import Final

from sqlmodel import col

from models.kernel import AuditLog, InstanceFact
from resolvers.instance.bundles.records import MADE
from resolvers.instance.settings import Settings
from resolvers.kernel import Action, Context, NoInput, Output, instance, procedure

BACKED_UP: Final = "backup.create"
KEY: Final = "ENCRYPTION_KEY="


class PostureSeverity(StrEnum):
    """The severity of a setting that weakens the instance."""

    high = "high"
    medium = "medium"
    info = "info"


class PostureKey(StrEnum):
    """A setting that weakens the instance."""

    rate_limit_disabled = "rate_limit_disabled"
    signup_open = "signup_open"
    private_endpoints_ceiling_open = "private_endpoints_ceiling_open"
    encryption_key_generated = "encryption_key_generated"
    no_backup_recorded = "no_backup_recorded"


class PostureWarning(Output):
    """Something that weakens the instance, and the remedy."""

    key: PostureKey
    severity: PostureSeverity
    message: str


class Posture(Output):
    """`environment` is CREWSHIP_ENV. `private_endpoints_ceiling`: workspaces may call servers with private addresses.
    `warnings` begin with the most severe.
    """

    environment: str
    encryption_key_configured: bool
    plaintext_secrets_allowed: bool
    private_endpoints_ceiling: bool
    signup_open: bool
    oauth_configured: bool
    email_configured: bool
    rate_limit_disabled: bool
    rate_limit_effectively_disabled: bool
    warnings: list[PostureWarning]


MESSAGES: Final = {
    PostureKey.rate_limit_disabled: "Rate limits are off. Unset CREWSHIP_RATELIMIT_DISABLED",
    PostureKey.signup_open: "Anybody can create an account. Unset CREWSHIP_ALLOW_SIGNUP unless this is intended",
    PostureKey.private_endpoints_ceiling_open: (
        "Workspaces may call servers with private addresses. Unset CREWSHIP_MCP_ALLOW_PRIVATE and"
        " CREWSHIP_HOOKS_ALLOW_PRIVATE unless they need it"
    ),
    PostureKey.encryption_key_generated: (
        "The encryption key is a file beside the data. Set ENCRYPTION_KEY, or use a transit engine"
    ),
    PostureKey.no_backup_recorded: "No backup of the instance or of this workspace is recorded",
}
_ORDER: Final = list(PostureSeverity)


def weaknesses(settings: Settings, *, key_in_data: bool, backed_up: bool) -> list[PostureWarning]:
    """The warnings about an instance, the most severe ones first."""
    strict = PostureSeverity.high if settings.production else PostureSeverity.medium
    found = {
        PostureKey.rate_limit_disabled: (settings.ratelimit_disabled, PostureSeverity.medium),
        PostureKey.signup_open: (settings.allow_signup, strict),
        PostureKey.private_endpoints_ceiling_open: (reaches_private(settings), PostureSeverity.info),
        PostureKey.encryption_key_generated: (key_in_data, strict),
        PostureKey.no_backup_recorded: (not backed_up, PostureSeverity.medium),
    }
    warnings = [
        PostureWarning(key=key, severity=severity, message=MESSAGES[key])
        for key, (holds, severity) in found.items()
        if holds
    ]
    return sorted(warnings, key=lambda each: _ORDER.index(each.severity))


def reaches_private(settings: Settings) -> bool:
    return settings.mcp_allow_private or settings.hooks_allow_private


def _key_in_data(settings: Settings) -> bool:
    """Returns true if the key that opens the stored secrets was generated, and lies beside them."""
    if settings.transit_address is not None:
        return False
    try:
        lines = (settings.data_dir / "secrets.env").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith(KEY) for line in lines)


async def _is_backed_up(ctx: Context) -> bool:
    if await ctx.select(InstanceFact, col(InstanceFact.name) == MADE).exists():
        return True
    return bool(await ctx.select(AuditLog, col(AuditLog.action) == BACKED_UP).exists())


@procedure("admin.security_posture", Action.MANAGE, late=True)
async def get_security_posture(ctx: Context, data: NoInput) -> Posture:
    """Get the security posture.

    Lists the settings of the server that weaken it. Contains no secret.
    """
    settings, backed_up = instance.settings, await _is_backed_up(ctx)
    in_data = await asyncio.to_thread(_key_in_data, settings)
    return Posture(
        environment=settings.env,
        encryption_key_configured=True,
        plaintext_secrets_allowed=False,
        private_endpoints_ceiling=reaches_private(settings),
        signup_open=settings.allow_signup,
        oauth_configured=bool(settings.providers),
        email_configured=instance.mailer is not None,
        rate_limit_disabled=settings.ratelimit_disabled,
        rate_limit_effectively_disabled=settings.ratelimit_disabled,
        warnings=weaknesses(settings, key_in_data=in_data, backed_up=backed_up),
    )
