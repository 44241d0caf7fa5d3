"""The hosts that a credential is for, where that is known: to them alone its value may be sent by who never sees it."""

from collections.abc import Mapping
from typing import Final

HOSTS: Final[Mapping[str, frozenset[str]]] = {
    "GITHUB": frozenset(
        {
            "github.com",
            "api.github.com",
            "uploads.github.com",
            "codeload.github.com",
            "raw.githubusercontent.com",
            "npm.pkg.github.com",
            "ghcr.io",
        }
    ),
    "GITLAB": frozenset({"gitlab.com", "registry.gitlab.com"}),
    "VERCEL": frozenset({"api.vercel.com"}),
}
"""By provider. Each takes a token in a header, from a client that is no browser."""


def hosts_of(provider: str) -> frozenset[str]:
    """Nothing where they are not known."""
    return HOSTS.get(provider, frozenset())
