"""A command that takes away what work hangs on says so: `end_work` stands in every function that removes it."""

import ast
from pathlib import Path

import resolvers
from tests.architecture.source import nodes

ROOT = Path(resolvers.__file__).parent
HOLDERS = {"Membership", "Agent", "Crew"}
REMOVES = {"delete", "delete_where"}
ELSEWHERE = {
    ("admin/erasure.py", "_erase"): "erase_person has ended the work before",
}
"""Functions whose caller ends the work."""


def _removes(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    first = node.args[0] if node.args else None
    named = first.id if isinstance(first, ast.Name) else ""
    if node.func.attr in REMOVES and named in HOLDERS:
        return True
    return named == "Workspace" and node.func.attr == "update" and any(k.arg == "deleted_at" for k in node.keywords)


def _ends(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "end_work"


def functions() -> list[tuple[str, str, bool]]:
    """Each function that removes a holder of rights, and whether it ends the work."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for function in nodes(path):
            if isinstance(function, ast.AsyncFunctionDef) and any(map(_removes, ast.walk(function))):
                found.append((f"{path.relative_to(ROOT)}", function.name, any(map(_ends, ast.walk(function)))))
    return found


def test_whoever_removes_ends_the_work() -> None:
    found = functions()
    assert {name for _, name, _ in found} >= {"delete_agent", "delete_crew", "remove_member", "_leave_workspaces"}
    assert [(path, name) for path, name, ends in found if not ends and (path, name) not in ELSEWHERE] == []
