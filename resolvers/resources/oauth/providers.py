"""Authorization servers that are known beforehand (contract: integrations, oauth_providers)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from resolvers.kernel import Action, Context, NoInput, Output, Tenancy, procedure


class OAuthProvider(Output):
    """The authorization and token endpoints, and the usual scopes."""

    auth_url: str
    token_url: str
    default_scopes: str


class OAuthProviders(Output):
    """The built-in authorization servers."""

    google: OAuthProvider
    slack: OAuthProvider
    github: OAuthProvider
    microsoft: OAuthProvider
    linear: OAuthProvider
    gitlab: OAuthProvider
    cloudflare: OAuthProvider
    stripe: OAuthProvider
    notion: OAuthProvider


def _known(auth_url: str, token_url: str, default_scopes: str = "") -> OAuthProvider:
    return OAuthProvider(auth_url=auth_url, token_url=token_url, default_scopes=default_scopes)


_GOOGLE = "https://www.googleapis.com/auth"
_MICROSOFT = "https://login.microsoftonline.com/common/oauth2/v2.0"
_STRIPE = "https://connect.stripe.com/oauth"
PROVIDERS: Final[Mapping[str, OAuthProvider]] = MappingProxyType(
    {
        "google": _known(
            "https://accounts.google.com/o/oauth2/v2/auth",
            "https://oauth2.googleapis.com/token",
            f"https://mail.google.com/ {_GOOGLE}/calendar {_GOOGLE}/drive",
        ),
        "slack": _known(
            "https://slack.com/oauth/v2/authorize", "https://slack.com/api/oauth.v2.access", "channels:read chat:write"
        ),
        "github": _known(
            "https://github.com/login/oauth/authorize", "https://github.com/login/oauth/access_token", "repo user"
        ),
        "microsoft": _known(
            f"{_MICROSOFT}/authorize", f"{_MICROSOFT}/token", "Mail.Read Mail.Send Calendars.ReadWrite"
        ),
        "linear": _known("https://linear.app/oauth/authorize", "https://api.linear.app/oauth/token", "read write"),
        "gitlab": _known("https://gitlab.com/oauth/authorize", "https://gitlab.com/oauth/token", "api read_user"),
        "cloudflare": _known(
            "https://dash.cloudflare.com/oauth2/authorize", "https://dash.cloudflare.com/oauth2/token"
        ),
        "stripe": _known(f"{_STRIPE}/authorize", f"{_STRIPE}/token", "read_write"),
        "notion": _known("https://api.notion.com/v1/oauth/authorize", "https://api.notion.com/v1/oauth/token"),
    }
)
HOSTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "linear.app": "linear",
        "gitlab.com": "gitlab",
        "cloudflare.com": "cloudflare",
        "stripe.com": "stripe",
        "notion.com": "notion",
        "github.com": "github",
        "googleapis.com": "google",
    }
)


def provider_of(host: str) -> OAuthProvider | None:
    """The provider of a host that has one of its names, or is a subdomain of one."""
    name = host.lower().rstrip(".")
    return next((PROVIDERS[key] for known, key in HOSTS.items() if name == known or name.endswith(f".{known}")), None)


@procedure("oauth.providers", Action.NONE, tenancy=Tenancy.NONE)
async def list_oauth_providers(ctx: Context, data: NoInput) -> OAuthProviders:
    """List OAuth providers.

    Lists the built-in authorization servers, sorted by name.
    """
    return OAuthProviders(**PROVIDERS)
