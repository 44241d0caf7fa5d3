"""The names in pages exist: paths, `make` targets, commands of `crewship`, environment variables, and pages that code
refers to.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer

from crewship.cli.main import app
from tests.architecture.source import ROOT
from tests.every import each_of

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PRODUCT = ("models", "resolvers", "schema", "rest_compat", "runtime", "crewship")
FOLDERS = (*PRODUCT, "tests", "docs", "bench", "scripts", "requirements", ".ci")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
PATH = re.compile(rf"(?<![\w./<:-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*{{}},-]*")
MAKE = re.compile(r"(?:^|[`;&|] *|\n)make ((?:[a-z][a-z-]*\b(?!=))(?: [a-z][a-z-]*\b(?!=))*)")
COMMAND = re.compile(r"(?:^|[`(/ ])crewship ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
VARIABLE = re.compile(r"\bCREWSHIP_[A-Z0-9]+(?:_[A-Z0-9]+)*\b(?!_)")
MADE_LATER = {"bench/mutations.md"}  # `make mutations` writes it


@cache
def _sources(names: tuple[str, ...] = (*PRODUCT, "scripts", "tests", "bench")) -> str:
    folders = [ROOT / name for name in names]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".sh", "")]
    return "\n".join(path.read_text(errors="replace") for path in files if path.is_file())


def _code(page: Path) -> str:
    return "\n".join(CODE.findall(page.read_text()))


def _spread(path: str) -> Iterator[str]:
    """`a/{b,c}.py` as a/b.py and a/c.py."""
    parts = [part.split(",") for part in re.split(r"[{}]", path)]
    yield from ("".join(one) for one in product(*[[",".join(p)] if n % 2 == 0 else p for n, p in enumerate(parts)]))


@each_of("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_lead_somewhere(page: Path) -> None:
    named = {one.rstrip(".,") for found in PATH.findall(_code(page)) for one in _spread(found)}
    assert [one for one in sorted(named - MADE_LATER) if not any(ROOT.glob(one.rstrip("/")))] == []


@each_of("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_of_make_are_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {name for line in re.findall(r"^([a-z][a-z -]*):(?!=)", makefile, re.MULTILINE) for name in line.split()}
    assert len(targets) > 15
    named = {name for found in MAKE.findall(_code(page)) for name in found.split()}
    assert named - targets == set()


@each_of("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_there(page: Path) -> None:
    commands: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    missing = []
    for found in COMMAND.findall(_code(page)):
        name, *rest = found.removeprefix("crewship ").split()
        inner = getattr(commands.get(name), "commands", None)
        if name not in commands or (inner and rest and rest[0] not in inner):
            missing.append(found)
    assert missing == []


@each_of("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_variables_are_read_by_something(page: Path) -> None:
    named = set(VARIABLE.findall(page.read_text()))
    fields = {name: name.removeprefix("CREWSHIP_").lower() for name in named}
    assert [name for name, field in sorted(fields.items()) if name not in _sources() and field not in _sources()] == []


def test_pages_that_code_refers_to_are_there() -> None:
    named = set(re.findall(r"\bdocs/[\w/-]+\.md\b", _sources(PRODUCT)))
    assert len(named) > 8
    assert [one for one in sorted(named) if not (ROOT / one).is_file()] == []


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("`make check test`", ["check test"]),
        ("```\nmake demo    # talk\n```", ["demo"]),
        ("`made by podman`", []),
    ],
)
def test_it_is_seen(text: str, seen: list[str]) -> None:
    assert MAKE.findall("\n".join(CODE.findall(text))) == seen
