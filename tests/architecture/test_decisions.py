"""Decisions are short, in the index, and named by the code they explain; links in the documentation lead somewhere."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

DECISIONS = ROOT / "docs" / "adr"
INDEX = DECISIONS / "README.md"
FILES = sorted(DECISIONS.glob("0*.md"))
CODE = ("models", "resolvers", "schema", "rest_compat", "runtime", "crewship", "tests")
NAMED = re.compile(r"\bADRs? (\d+(?:(?:, | and )\d+)*)")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _named(text: str) -> set[int]:
    return {int(number) for found in NAMED.findall(text) for number in re.findall(r"\d+", found)}


@cache
def _named_by_code() -> frozenset[int]:
    paths = [path for package in CODE for path in sorted((ROOT / package).rglob("*.py"))]
    return frozenset(number for path in paths for number in _named(path.read_text()))


def test_numbers_are_unique_and_few() -> None:
    """A hundred decisions are too many to read: 25 stay, and the page of each subject has the reasons for everything
    else.
    """
    numbers = [path.name[:4] for path in FILES]
    assert 20 < len(numbers) == len(set(numbers)) <= 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_decision_is_short_indexed_and_named_by_code(path: Path) -> None:
    number, lines = int(path.name[:4]), path.read_text().splitlines()
    assert len(lines) <= 40
    assert lines[0].startswith(f"# {number}. "), "the title begins with the number"
    assert f"[{lines[0].removeprefix('# ')}]({path.name})" in INDEX.read_text(), "the index has the title and the file"
    assert number in _named_by_code(), "the file that carries the decision out says so: see ADR n"


def test_what_names_a_decision_names_one_that_is_there() -> None:
    there = {int(path.name[:4]) for path in FILES}
    assert _named_by_code() <= there
    for page in PAGES:
        assert _named(page.read_text()) <= there, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [one for one in targets if "://" not in one and not (page.parent / one).exists()] == []
