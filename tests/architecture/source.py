"""The project's own text, for the tests that read it."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from resolvers.domains import DOMAINS

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "resolvers", "schema", "rest_compat", "runtime", "crewship")


@cache
def tracked() -> list[Path]:
    """Files of the repository, those not committed yet included; ignored ones are not."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in sorted(set(listed.stdout.splitlines())) if (path := ROOT / line).is_file()]


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for path in tracked()
        if path.suffix == ".py" and (not folders or path.relative_to(ROOT).parts[0] in folders)
    ]


def sql_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".sql"]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def domain_of(path: Path) -> str:
    """The name that a module of a package has there."""
    return path.relative_to(ROOT).parts[1].removesuffix(".py")


def domain_files(package: str) -> list[Path]:
    return [path for path in python_files(package) if domain_of(path) in DOMAINS]


def strings(path: Path) -> Iterator[str]:
    """String constants that are no docstrings."""
    documentation = set()
    for node in ast.walk(tree(path)):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        ):
            documentation.add(node.body[0].value)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
            yield node.value
