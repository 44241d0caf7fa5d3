"""Texts of MCP servers that refer to credentials as `${NAME}` (contract: integrations, rules.runtime)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
NEVER: Final = ("INTERNAL_", "NEXTAUTH_", "ENCRYPTION_", "CREWSHIP_", "JWT_", "DATABASE_", "OLLAMA_")
MOST_ARGUMENTS, MOST_VARIABLES = 200, 200


@dataclass(frozen=True, slots=True)
class Filled:
    """A text as it is to be used; a `secret` one has the value of a credential in it."""

    text: str = field(repr=False)
    secret: bool = False


def arguments_of(text: str | None) -> tuple[str, ...]:
    """The arguments of a command, from the client's JSON. Anything but a list of texts counts as none."""
    found = _parsed(text)
    kept = [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
    return tuple(kept[:MOST_ARGUMENTS])


def variables_of(text: str | None) -> dict[str, str]:
    """The environment of a command, from the client's JSON. Anything but an object of texts counts as none."""
    found = _parsed(text)
    kept = [(name, one) for name, one in found.items() if isinstance(one, str)] if isinstance(found, dict) else []
    return dict(kept[:MOST_VARIABLES])


def names_in(*texts: str) -> Iterator[str]:
    """The credentials that are referred to, but for the names that are never filled in."""
    for text in texts:
        yield from (name for name in REFERENCE.findall(text) if not name.startswith(NEVER))


def filled(text: str, values: Mapping[str, str]) -> Filled:
    """An unknown reference becomes empty: the program that starts the server may expand texts itself, and has variables
    that the server must not see. Values are not expanded.
    """
    known = [name for name in names_in(text) if name in values]

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return "" if name.startswith(NEVER) else values.get(name, "")

    return Filled(REFERENCE.sub(value, text), bool(known))


def _parsed(text: str | None) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
