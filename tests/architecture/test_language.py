"""Public text names who does what: words that hide the subject or the object are found."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.architecture.source import ROOT, tree
from tests.every import each_of
from tests.published import published

HIDING = re.compile(
    r"\b(told|tells|whoever|whatever|those of|somebody|nobody|good no more|goes on|put before)\b",
    re.IGNORECASE,
)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPENING = re.compile(r"^(Of|By|Those|Whether|What|How|Whose|Whoever|Whom)\b(?! default)")
"""A description that begins so has no noun or verb that says what is described."""
PRODUCT = ("models", "resolvers", "schema", "rest_compat", "runtime", "crewship")
OTHER_TEXTS = {
    "resolvers/oversight/keeper/consolidation.py": "what a model is asked",
    "resolvers/oversight/keeper/evaluation.py": "what a model is asked",
    "resolvers/oversight/keeper/verdicts.py": "what a model is asked",
    "resolvers/oversight/memory/deriving.py": "what a model is asked",
    "resolvers/resources/skills/generating.py": "what a model is asked",
    "resolvers/staff/crew_templates/suggesting.py": "what a model is asked",
    "resolvers/oversight/keeper/gatekeeper.py": "words that are searched for",
    "resolvers/rules/content_scan.py": "words that are searched for",
    "runtime/containers/launcher.py": "a program of the shell",
}


def _sentences_of_code(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts of several words that a program can show: errors, log events, help; no docstring."""
    shown = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in shown
            and " " in node.value.strip()
        ):
            yield node.lineno, node.value


@pytest.mark.parametrize("package", PRODUCT)
def test_errors_log_events_and_help_say_who_does_what(package: str) -> None:
    texts, found = 0, {}
    for path in sorted((ROOT / package).rglob("*.py")):
        named = str(path.relative_to(ROOT))
        if named in OTHER_TEXTS:
            continue
        for line, text in _sentences_of_code(tree(path)):
            texts += 1
            if seen := hiding(text):
                found[f"{named}:{line}"] = seen
    assert texts > 50
    assert found == {}


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts that stand as statements: docstrings, and the texts below attributes and constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


@pytest.mark.parametrize("package", PRODUCT)
def test_docstrings_say_who_does_what(package: str) -> None:
    texts, found = 0, {}
    for path in sorted((ROOT / package).rglob("*.py")):
        for line, text in _docstrings(tree(path)):
            texts += 1
            if seen := hiding(text) + OPENING.findall(text):
                found[f"{path.relative_to(ROOT)}:{line}"] = seen
    assert texts > 200
    assert found == {}


@pytest.mark.parametrize("package", PRODUCT)
def test_comments_say_who_does_what(package: str) -> None:
    texts, found = 0, {}
    for path in sorted((ROOT / package).rglob("*.py")):
        with path.open("rb") as source:
            for token in tokenize.tokenize(source.readline):
                if token.type == tokenize.COMMENT:
                    texts += 1
                    if seen := hiding(token.string):
                        found[f"{path.relative_to(ROOT)}:{token.start[0]}"] = seen
    assert texts > 20
    assert found == {}


def test_comments_of_functions_in_sql_say_who_does_what() -> None:
    lines = [
        (path.name, number, line)
        for path in sorted((ROOT / "models" / "sql").glob("*.sql"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.lstrip().startswith("--")
    ]
    assert len(lines) > 100
    assert [(name, number, seen) for name, number, line in lines if (seen := hiding(line))] == []


def test_exceptions_are_files_that_are_there() -> None:
    assert all((ROOT / path).is_file() for path in OTHER_TEXTS)


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
    assert [text for text in texts if OPENING.search(text)] == []


def test_the_graphql_description_says_who_does_what() -> None:
    schema = published()
    found, texts = {}, 0
    for kind in schema.type_map.values():
        parts: list[Any] = [kind, *getattr(kind, "fields", {}).values(), *getattr(kind, "values", {}).values()]
        for part in parts:
            for each in (part, *getattr(part, "args", {}).values()):
                texts += bool(each.description)
                if each.description and not kind.name.startswith("__") and (seen := hiding(each.description)):
                    found[each.description] = seen
                if any(OPENING.search(part) for part in (each.description or "").split("\n\n")):
                    found[each.description] = [each.description[:60]]
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
