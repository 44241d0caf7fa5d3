"""Reports of errors: an exception is true even with an empty text, so `error or …` prints nothing for one. Code that
catches every error must report it: in the log, to its caller, or by raising it.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import PACKAGES, ROOT, name_of, python_files, tree
from tests.every import each_of

EVERY = {"Exception", "BaseException"}
SILENT = {
    "crewship/process/watchdog.py:_judge": "what failed is the log itself",
}
"""Functions that ignore an error of any kind, with the reason."""


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


# ---- what is passed over ---------------------------------------------------------------------------------------------


def _names(node: ast.expr | None) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node is not None else EVERY


def _tells(handler: ast.ExceptHandler) -> bool:
    """It raises, uses the error, or logs."""
    for node in (each for statement in handler.body for each in ast.walk(statement)):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Name) and node.id == handler.name):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            if isinstance(of, ast.Name) and of.id == "log":
                return True
    return False


def _passes_over(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return bool(_names(node.type) & EVERY) and not _tells(node)
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called == "suppress" and any(_names(each) & EVERY for each in node.args)


def passed_over(node: ast.AST, function: str = "") -> Iterator[str]:
    """The innermost functions in which an error of any kind disappears."""
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        if _passes_over(child):
            yield inner
        yield from passed_over(child, inner)


def test_no_error_of_any_kind_disappears() -> None:
    found = {f"{name_of(path)}:{name}" for path in python_files(*PACKAGES) for name in passed_over(tree(path))}
    assert found - SILENT.keys() == set()
    assert SILENT.keys() - found == set(), "it is told now"


@each_of(
    ("handler", "silent"),
    [
        ("except Exception:\n  pass", True),
        ("except:\n  value = None", True),
        ("except (OSError, Exception):\n  return 1", True),
        ("except BaseException as error:\n  stop()", True),
        ("except Exception as error:\n  log.warning('no', error=error)", False),
        ("except Exception as error:\n  answer(error)", False),
        ("except Exception:\n  stop()\n  raise", False),
        ("except OSError:\n  pass", False),
        ("finally:\n  with contextlib.suppress(Exception):\n   stop()", True),
        ("finally:\n  with suppress(OSError, BaseException):\n   stop()", True),
        ("finally:\n  with suppress(OSError):\n   stop()", False),
    ],
)
def test_it_is_seen(handler: str, silent: bool) -> None:
    module = ast.parse(f"def work():\n try:\n  work()\n {handler}\n")
    assert list(passed_over(module)) == (["work"] if silent else [])
