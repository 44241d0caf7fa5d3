"""Connections keep the statements of the console's documents: a longer one is parsed and planned each time."""

import re
from typing import Any

import pytest

from crewship.perimeter import console
from resolvers.kernel.store.connection import LARGEST
from tests.console.deck import place
from tests.scale.plans import listening
from tests.world import World

__all__ = ["place"]
pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
SPARE = 0.95
"""Share of the limit that a statement may take, so that one more condition does not cross it."""


def values(head: str) -> dict[str, Any]:
    """A value for each variable that the document needs, beside the workspace."""
    needed = re.findall(r"\$(\w+):(\[?)(\w+)!", head)
    made = {name: 1 if type_ == "Int" else "x" for name, _, type_ in needed if name != "ws"}
    return made | {name: [made[name]] for name, listed, _ in needed if listed and name in made}


async def test_a_connection_keeps_each_statement_of_the_console(place: World) -> None:
    sizes: dict[str, int] = {}
    for text in console.documents().values():
        if found := re.match(r"query (\w+)", text):
            with listening() as heard:
                await place.graphql(place.owner, text, values(text.partition("{")[0]))
            sizes[found[1]] = max([len(sql) for sql, _ in heard], default=0)
    assert min(sizes[name] for name in ("Now", "Find", "Shell")) > 10_000
    assert {name: size for name, size in sizes.items() if size > LARGEST * SPARE} == {}
