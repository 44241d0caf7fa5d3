"""Public text names who does what: words that hide the subject or the object are found."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import build_schema

from tests.architecture.source import ROOT
from tests.every import each_of

HIDING = re.compile(
    r"\b(told|tells|whoever|whatever|those of|somebody|nobody|good no more|goes on|put before)\b",
    re.IGNORECASE,
)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def hiding(text: str) -> list[str]:
    """Places of words that hide who does what to whom; code is not read."""
    plain = CODE.sub("", text)
    return [plain[max(0, found.start() - 40) : found.end() + 20] for found in HIDING.finditer(plain)]


@each_of("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_who_does_what(page: Path) -> None:
    assert hiding(page.read_text()) == []


def _described(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("description", "summary") and isinstance(value, str):
                yield value
            else:
                yield from _described(value)
    elif isinstance(node, list):
        for value in node:
            yield from _described(value)


def test_the_rest_description_says_who_does_what() -> None:
    texts = set(_described(orjson.loads((ROOT / "rest_compat" / "openapi.json").read_bytes())))
    assert len(texts) > 500
    assert {text: found for text in texts if (found := hiding(text))} == {}


def test_the_graphql_description_says_who_does_what() -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())
    found, texts = {}, 0
    for kind in schema.type_map.values():
        parts: list[Any] = [kind, *getattr(kind, "fields", {}).values(), *getattr(kind, "values", {}).values()]
        for part in parts:
            for each in (part, *getattr(part, "args", {}).values()):
                texts += bool(each.description)
                if each.description and not kind.name.startswith("__") and (seen := hiding(each.description)):
                    found[each.description] = seen
    assert texts > 1000
    assert found == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The old address is told.", 1),
        ("Whoever asks", 1),
        ("`told_of` names it; ```\nwhoever\n```", 0),
        ("Notifies the old address.", 0),
    ],
)
def test_it_is_seen(text: str, count: int) -> None:
    assert len(hiding(text)) == count
