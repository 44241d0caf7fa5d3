"""Who may import whom, and one name for a domain in every layer."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import GRAPHQL_MACHINERY, REST_MACHINERY, ROOT, domain_files, name_of, python_files

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}


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
