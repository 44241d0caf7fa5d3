"""Refusals name what is lacking: a FORBIDDEN without a text of its own names a role, a capability or a scope."""

import ast
from pathlib import Path

import resolvers
from tests.architecture.source import nodes

ROOT = Path(resolvers.__file__).parent
OF_MACHINES = {
    "identity/machine_tokens.py",
    "kernel/declarations/operation.py",
    "oversight/keeper/evaluation.py",
    "resources/credentials/internal.py",
}
"""A program with a wrong token learns nothing; GraphQL has no operations of programs."""


def test_who_is_refused_learns_what_is_lacking() -> None:
    silent = set()
    for path in ROOT.glob("**/*.py"):
        for node in nodes(path):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "forbidden"
            if called and not node.args and not node.keywords:
                silent.add(path.relative_to(ROOT).as_posix())
    assert silent == OF_MACHINES
