"""Values that are taken out of texts are made ready beside the loop: a bundle of certificates takes a while."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import PACKAGES, name_of, python_files, tree

MAKERS = {"Redactor", "KnownValues", "of_forms"}
BESIDE = {
    "resolvers/rules/known_sets.py": "in the thread that makes them",
    "resolvers/rules/redaction.py": "what they are used by",
    "resolvers/oversight/keeper/execution.py": "called in a thread",
}


def made(module: ast.Module) -> Iterator[int]:
    """Lines at which values are made ready. A Redactor of none has nothing to make."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and (node.args or node.keywords):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in MAKERS:
                yield node.lineno


def test_values_are_made_ready_beside_the_loop() -> None:
    found = [(name_of(path), line) for path in python_files(*PACKAGES) for line in made(tree(path))]
    assert [(path, line) for path, line in found if path not in BESIDE] == []
    assert {path for path, _ in found} == BESIDE.keys()


@pytest.mark.parametrize(
    ("text", "lines"),
    [("Redactor([key])", [1]), ("rules.Redactor(known=keys)", [1]), ("KnownValues(keys)", [1]), ("Redactor()", [])],
)
def test_it_is_seen(text: str, lines: list[int]) -> None:
    assert list(made(ast.parse(text))) == lines
