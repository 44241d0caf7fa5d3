"""Sizes, generated files, and what the repository does not say."""

import ast
import importlib.metadata
import re
from pathlib import Path

import orjson
import pytest

from resolvers.kernel.declarations.events import Event
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import Input
from rest_compat.http import openapi
from schema.bridge.root import sdl
from tests.architecture.source import PACKAGES, ROOT, name_of, nodes, python_files, sql_files, tracked, tree
from tests.every import for_every
from tests.published import published

LONGEST_FILE, LONGEST_FUNCTION = 500, 60

HOSTS = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "yarnpkg" + ".com",
    "crates" + ".io",
    "deb.debian" + ".org",
    "proxy.go" + "lang.org",
)
MACHINES = re.compile(
    "|".join(
        (
            "/tmp" + "/w/",
            r"(?<![\w.-])/work" + "/(?:main|shared)",
            "/root" + "/",
            r"/home/(?!user|crewship|app|agent|vscode|node)\w+/",
            "ticketboo" + "th",
        )
    )
)
BINARY = {".ico", ".gz", ".png", ".woff2"}


@for_every(python_files() + sql_files(), ids=name_of)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@for_every(python_files(), ids=name_of)
def test_a_function_is_short(path: Path) -> None:
    functions = [n for n in nodes(path) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert [(f.name, _length(f)) for f in functions if _length(f) > LONGEST_FUNCTION] == []


@for_every(python_files(*PACKAGES), ids=name_of)
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)) or not tree(path).body


def test_the_repository_names_no_package_registry_and_no_machine() -> None:
    found = []
    for path in tracked():
        if path.suffix not in BINARY:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if any(host in line for host in HOSTS) or MACHINES.search(line):
                    found.append(f"{name_of(path)}:{number}")
    assert found == []


def test_the_packages_belong_to_this_project_alone() -> None:
    """Another distribution may install a package called `schema`."""
    owners = importlib.metadata.packages_distributions()
    if "crewship" not in {name for names in owners.values() for name in names}:
        pytest.skip("the project is not installed, only checked out")
    assert {package: sorted(set(owners.get(package, []))) for package in PACKAGES} == {
        package: ["crewship"] for package in PACKAGES
    }


def test_the_published_schema_is_the_one_that_is_served() -> None:
    path = ROOT / "schema" / "schema.graphql"
    if not path.exists():
        pytest.skip("schema/schema.graphql is missing: run `make schema`")
    assert path.read_text().strip() == sdl().strip(), "run `make schema`"


def test_no_public_type_has_the_text_of_its_base() -> None:
    published = sdl()
    first = {base: (base.__doc__ or "").strip().splitlines()[0] for base in (Input, Output, Event)}
    assert [base for base, text in first.items() if text in published] == []


def test_every_public_type_says_what_it_is() -> None:
    types = published().type_map.items()
    assert [name for name, kind in types if not name.startswith("__") and not kind.description] == []


def test_the_published_openapi_document_is_the_one_that_is_served() -> None:
    path = ROOT / "rest_compat" / "openapi.json"
    if not path.exists():
        pytest.skip("rest_compat/openapi.json is missing: run `make openapi`")
    assert orjson.loads(path.read_bytes()) == orjson.loads(orjson.dumps(openapi.document())), "run `make openapi`"


def test_the_readme_names_the_command_that_changes_have_to_pass() -> None:
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1].removeprefix("exec ")
    assert command == "make check test-merge"
    assert re.search(rf"^{command} ", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert f"`{command}`" in (ROOT / "CONTRIBUTING.md").read_text()
