"""How errors are told: an exception is true also where it has no words, so `error or …` says nothing of one that has
none.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import ROOT, python_files, tree


def words_never_said(module: ast.Module) -> Iterator[int]:
    """Lines at which something stands in for an exception, and never does."""
    for handler in ast.walk(module):
        if isinstance(handler, ast.ExceptHandler) and handler.name:
            for node in ast.walk(handler):
                if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
                    named = [value.id for value in node.values[:-1] if isinstance(value, ast.Name)]
                    if handler.name in named:
                        yield node.lineno


def test_words_in_place_of_an_error_are_said() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}" for path in python_files() for line in words_never_said(tree(path))]
    assert found == []


@pytest.mark.parametrize(
    ("said", "lines"),
    [("f'{error or type(error)}'", [4]), ("str(error) or 'none'", []), ("other or error", [])],
)
def test_they_are_seen(said: str, lines: list[int]) -> None:
    module = ast.parse(f"try:\n    work()\nexcept OSError as error:\n    print({said})\n")
    assert list(words_never_said(module)) == lines
