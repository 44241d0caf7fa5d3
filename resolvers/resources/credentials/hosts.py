"""The hosts of a credential, if known: only to these a program that never sees the value may send it."""

import importlib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from models.resources.credentials import CredentialType
from resolvers.kernel import at_most, invalid

MOST_HOSTS: Final = 10
LONGEST_HOST: Final = 253
_NAME: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9])")
"""No address is one: the last label of a name is no number."""
_NOT_PUBLIC: Final = frozenset(
    {
        "alt", "arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain",
        "localhost", "mail", "onion", "private", "test",
    }
)  # fmt: skip
"""Last labels of names that the public DNS does not have, or that networks use for themselves."""

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
"""Hosts by provider. Each accepts a token in a header from a client that is not a browser."""


def _host(text: str) -> str:
    name = text.lower()
    if not name.isascii() or "xn--" in name:
        try:
            name = importlib.import_module("idna").encode(text, uts46=True).decode()  # which no start needs
        except UnicodeError:
            name = ""
    if len(name) > LONGEST_HOST or not _NAME.fullmatch(name) or name.rpartition(".")[2] in _NOT_PUBLIC:
        raise PydanticCustomError(
            "host", "it must be a public DNS name, such as api.example.com, without a wildcard, port or path"
        )
    return name


Host = Annotated[str, Field(strict=True, max_length=LONGEST_HOST), AfterValidator(_host)]
Hosts = Annotated[list[Host], at_most(MOST_HOSTS), AfterValidator(lambda hosts: sorted(set(hosts)))]
"""In lower case and in ASCII (IDNA), each once, in the order of the alphabet."""


def check_hosts(type: CredentialType, hosts: Iterable[str]) -> None:
    """Any other type is given to agents as it is, wherever they send it."""
    if hosts and type is not CredentialType.SECRET:
        raise invalid("hosts", "require a credential of type SECRET")


def hosts_of(credential: Any) -> frozenset[str]:
    """The credential's own hosts, otherwise its provider's; empty if neither is known."""
    return frozenset(credential.hosts) or HOSTS.get(credential.provider, frozenset())
