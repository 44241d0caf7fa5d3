"""`${…}` in the texts of a manifest: the allowed names, and their replacement.

A value is inserted unchanged and never searched for placeholders: text in a form expands to nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping

PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
INSTANCE_URL = "instance_url"
FIELD, DERIVED = "field.", "derived."


def named(text: str) -> list[str]:
    """The names that a text refers to. Raises ValueError if a `${` begins no placeholder."""
    found = PLACEHOLDER.findall(text)
    if len(found) != text.count("${"):
        raise ValueError("it has a ${ without a placeholder")
    return found


def filled(text: str, value_of: Callable[[str], str]) -> str:
    return PLACEHOLDER.sub(lambda match: value_of(match[1]), text)


def check(texts: Iterable[str], fields: Iterable[str], derived: Mapping[str, str]) -> None:
    """Raises ValueError for a reference to nothing, and for derived texts that lead back to themselves."""
    known = {INSTANCE_URL, *(FIELD + key for key in fields), *(DERIVED + name for name in derived)}
    for text in (*texts, *derived.values()):
        for name in named(text):
            if name not in known:
                raise ValueError(f"${{{name}}} refers to nothing")
    in_order(derived)


def in_order(derived: Mapping[str, str]) -> list[str]:
    """The names of derived texts, each behind those that it refers to."""
    ordered, begun = dict[str, None](), set[str]()

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in begun:
            raise ValueError(f"derived: {name} refers to itself")
        begun.add(name)
        for other in named(derived[name]):
            if other.startswith(DERIVED):
                visit(other.removeprefix(DERIVED))
        ordered[name] = None

    for name in derived:
        visit(name)
    return list(ordered)
