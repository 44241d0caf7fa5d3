"""The project's own text, for the tests that read it."""

import ast
import gc
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from resolvers.domains import PLACES, ROOMS

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
    """Kept from the collector, which would walk two million nodes again and again."""
    running = gc.isenabled()
    gc.disable()
    parsed = ast.parse(path.read_text(), str(path))
    if running:
        gc.freeze()
        gc.enable()
    return parsed


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All of the file, walked once."""
    return tuple(ast.walk(tree(path)))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def place_of(path: Path) -> str:
    """The room and the name that a module of a domain has in a package; else what it is called there."""
    room, *rest = path.relative_to(ROOT).with_suffix("").parts[1:]
    return f"{room}.{rest[0]}" if room in ROOMS and rest else room


def domain_of(path: Path) -> str:
    return place_of(path).rpartition(".")[2]


def domain_files(package: str) -> list[Path]:
    return [path for path in python_files(package) if place_of(path) in PLACES.values()]


def strings(path: Path) -> Iterator[str]:
    """String constants that are no docstrings."""
    documentation = set()
    for node in nodes(path):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        ):
            documentation.add(node.body[0].value)
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
            yield node.value
