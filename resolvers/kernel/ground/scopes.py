"""Scopes of CLI tokens: their names, who may grant them, and which ones an operation needs (contract: auth.TokenScope).

A scope limits the rights of a token's user and never adds any. A token without scopes has all rights of its user. The
scope of an operation follows from its domain and kind: a query of the domain "crews" needs `crews:read`, a command
`crews:write`. An operation that differs declares its scopes; the graph of a model declares the scope of edges to its
rows. See docs/kernel.md.
"""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from models.people.workspaces import Role
from resolvers.errors import forbidden
from resolvers.kernel.ground.policy import ADMINS, MANAGERS, MEMBERS

EVERYTHING = "*"
SCOPES: dict[str, frozenset[Role]] = {
    EVERYTHING: ADMINS,
    "agents:run": MANAGERS,
    "workspace:*": ADMINS,
    "workspace:admin": ADMINS,
    "workspace:read": MEMBERS,
}
"""Scope -> the roles that may hand it out. A domain that has scopes of its own adds them."""

IMPLIED: dict[str, frozenset[str]] = {"agents:run": frozenset({"chats:read", "chats:write", "runs:read"})}
"""Scope -> further scopes that it implies: running an agent requires sending it messages and reading the results."""

Scopes = frozenset[str] | None
"""The scopes that a token with scopes must have; None if no token with scopes may pass."""
OPEN: Scopes = frozenset()
Said = str | Collection[str] | None
"""A declaration of scopes: "issues" for `issues:read` and `issues:write`, by the kind of the operation; several names,
all needed for both kinds; OPEN for none; None if no token with scopes may pass. OWN: the scopes of the domain, or of
its name.
"""
OWN: Final = ""


@dataclass(frozen=True)
class Domain:
    """The common facts of the operations of a module, or of a package and its modules. The variable is called `DOMAIN`.

    `scopes`: the scopes that a token with scopes needs. Without it, a domain has scopes of its own name.
    """

    name: str
    scopes: Said = OWN

    def __post_init__(self) -> None:
        if self.scopes == OWN:
            for kind, roles in {"*": MANAGERS, "read": MEMBERS, "write": MANAGERS}.items():
                SCOPES[f"{self.name}:{kind}"] = roles

    def needs(self, kind: str) -> Scopes:
        return needed(self.name if self.scopes == OWN else self.scopes, kind)


def domain_of(module: str) -> Domain | None:
    """The domain of a module: its own, or its package's."""
    while module:
        if isinstance(found := getattr(sys.modules.get(module), "DOMAIN", None), Domain):
            return found
        module = module.rpartition(".")[0]
    return None


def needed(said: Said, kind: str) -> Scopes:
    """The scopes a token must have to call an operation; None where no token with scopes may."""
    if said is None or not isinstance(said, str):
        return None if said is None else frozenset(said)
    write = "admin" if said == "workspace" else "write"
    return frozenset({f"{said}:{write if kind == 'command' else 'read'}"})


def granted(scopes: Collection[str]) -> frozenset[str]:
    """All that a token's scopes open; a scope that is not known opens nothing."""
    made = set[str]()
    for scope in scopes:
        domain, _, kind = scope.partition(":")
        if scope == EVERYTHING:
            made |= SCOPES.keys()
        elif kind == "*":
            made |= {name for name in SCOPES if name.startswith(f"{domain}:")}
        else:
            made.add(scope)
    return frozenset(made.union(*[IMPLIED[scope] for scope in made if scope in IMPLIED]))


def together(one: Scopes, other: Scopes) -> Scopes:
    """The scopes needed for both."""
    return None if one is None or other is None else one | other


def check(scopes: Collection[str], needs: Scopes) -> None:
    """Refuses FORBIDDEN a token that has scopes, and not the one that is asked for."""
    if needs is None:
        raise forbidden("A token with scopes cannot be used for accounts, sessions and tokens")
    missing = sorted(needs - granted(scopes))
    if missing:
        raise forbidden(f"The token lacks the scope {missing[0]}", scope=" ".join(missing))
