"""The network of a crew's container: its mode, the domains of restricted mode, and how hosts match them."""

import re
from collections.abc import Sequence

from models.staff.crews import NetworkMode
from resolvers.kernel import invalid
from resolvers.rules.config_text import shown

ALWAYS_ALLOWED = (
    "api.anthropic.com",
    "console.anthropic.com",
    "api.openai.com",
    "auth.openai.com",
    "chatgpt.com",
    "generativelanguage.googleapis.com",
    "oauth2.googleapis.com",
    "accounts.google.com",
    "api.cursor.sh",
    "api2.cursor.sh",
    "api.factory.ai",
    "app.factory.ai",
)
"""Hosts of model vendors that restricted mode lets through beside the crew's own; never part of `allowed_domains`."""

_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#]*)")
_PORT = re.compile(r":[0-9]*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def parse_network_mode(text: str) -> NetworkMode:
    """The mode, in any case; an empty text is refused here, where creating a crew takes it as the default."""
    try:
        return NetworkMode(text.lower())
    except ValueError:
        raise invalid("network_mode", "must be free or restricted") from None


def normalise_domain(entry: str) -> str:
    """The host that an entry names (contract: crews.create, domain rule).

    Lenient on purpose: wildcards, addresses and paths without a scheme stay, although the proxy never matches them.
    """
    text = entry.strip()
    if "://" in text or text.startswith("//"):
        url = _SCHEME.match(text)
        text = url[1].rpartition("@")[2] if url else ""
    host = _PORT.sub("", text, count=1).lower()
    if "." not in host or any(c.isspace() for c in host) or _CONTROL.search(host):
        raise invalid("allowed_domains", f"{shown(entry)} is not a domain")
    return host


def normalise_domains(entries: Sequence[str]) -> list[str]:
    """Order and duplicates are kept."""
    return [normalise_domain(entry) for entry in entries]


def domains_on_create(mode: NetworkMode, given: Sequence[str] | None) -> list[str]:
    """In free mode the given domains are neither checked nor stored."""
    return normalise_domains(given or ()) if mode == NetworkMode.restricted else []


def domains_on_update(
    given_mode: NetworkMode | None, stored_mode: NetworkMode, given: Sequence[str] | None, stored: Sequence[str]
) -> list[str]:
    """The value of `allowed_domains` after an update (contract: crews.update, network rule); None: not sent."""
    if given_mode == NetworkMode.free:
        return []
    if given is None or (given_mode is None and stored_mode == NetworkMode.free):
        return list(stored)
    return normalise_domains(given)


def permits(allowed_domains: Sequence[str], host: str) -> bool:
    """Returns true if restricted mode permits a connection to `host` or `host:port`: exact match, ignoring case."""
    name = _PORT.sub("", host, count=1).lower()
    return name in ALWAYS_ALLOWED or name in allowed_domains
