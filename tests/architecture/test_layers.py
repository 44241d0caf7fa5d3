"""Who may import whom, and one name for a domain in every layer."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resolvers.kernel
from tests.architecture.source import GRAPHQL_MACHINERY, REST_MACHINERY, ROOT, domain_files, name_of, python_files, tree

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
DOMAINS = [path for path in python_files("resolvers") if not name_of(path).startswith(("resolvers/kernel/", "resolvers/live/"))]


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def _domains(package: str, machinery: set[str]) -> set[str]:
    return {path.relative_to(ROOT).parts[1].removesuffix(".py") for path in domain_files(package, machinery)}


@pytest.mark.parametrize(("package", "machinery"), [("rest_compat", REST_MACHINERY), ("schema", GRAPHQL_MACHINERY)])
def test_a_domain_has_one_name(package: str, machinery: set[str]) -> None:
    """What a surface shows of a domain stands in the module that is called like the domain's operations and tests."""
    domains = _domains(package, machinery)
    assert domains
    for domain in sorted(domains):
        assert (ROOT / "resolvers" / f"{domain}.py").exists() or (ROOT / "resolvers" / domain / "__init__.py").exists(), f"{package}/{domain}: no operations"
        assert list((ROOT / "tests" / domain).glob("test_*.py")), f"{package}/{domain}: no tests/{domain}"


def test_both_surfaces_know_the_same_domains() -> None:
    assert _domains("rest_compat", REST_MACHINERY) == _domains("schema", GRAPHQL_MACHINERY)


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name_of(path) for path in python_files() if {path.stem, *path.relative_to(ROOT).parts[:-1]} & VAGUE] == []


def kernel_names(module: ast.Module) -> set[str]:
    """What a module imports of the kernel: a name of the facade as it is, and whatever lies deeper with its path."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("resolvers.kernel")}
        if isinstance(node, ast.ImportFrom):
            paths = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {path.removeprefix("resolvers.kernel.") for path in paths if path.startswith("resolvers.kernel")}
    return found


@pytest.mark.parametrize("path", DOMAINS, ids=name_of)
def test_domains_know_the_facade_of_the_kernel_alone(path: Path) -> None:
    assert kernel_names(tree(path)) - set(resolvers.kernel.__all__) == set()


def test_the_facade_offers_what_domains_use() -> None:
    assert set().union(*(kernel_names(tree(path)) for path in DOMAINS)) == set(resolvers.kernel.__all__)


@pytest.mark.parametrize(
    ("text", "deeper"),
    [
        ("from resolvers.kernel import Action, query", False),
        ("from resolvers.kernel.query import query", True),
        ("from resolvers.kernel.reader.rows import Rows", True),
        ("from resolvers.kernel import statements", True),
        ("import resolvers.kernel.query", True),
        ("from resolvers import kernel", True),
        ("from resolvers.crews import crews", False),
    ],
)
def test_a_name_from_deeper_is_seen(text: str, deeper: bool) -> None:
    assert bool(kernel_names(ast.parse(text)) - set(resolvers.kernel.__all__)) is deeper
