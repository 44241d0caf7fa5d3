"""The cost of one more domain, field and operation: the number of files to change until all checks pass."""

from pathlib import Path

import pytest

from tests.architecture.growth import Copy, add_domain, add_field, add_operations

pytestmark = pytest.mark.slow
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "--follow-imports=silent"),  # as in the project, which is installed there: its tests are not checked
)
DEMANDING = (
    "tests/architecture/test_domains.py",
    "tests/architecture/test_operations.py",
    "tests/architecture/test_layers.py",
    "tests/contract/test_coverage.py",
    "tests/models/test_constraints.py",
    "tests/models/test_personal_data.py",
    "tests/models/test_row_security.py",
    "tests/reader/test_oracle.py::test_every_list_and_row_of_the_schema_is_known_to_the_oracle",
    "tests/work/berths",
)
"""Tests that fail where something that a table or an operation needs was left out."""
GENERATED = (
    "tests/contract",
    "tests/generation",
    "tests/parity",
    "tests/rbac",
    "tests/tenant",
    "tests/oversight/audit",
)


def test_what_is_added_touches_few_files(tmp_path: Path) -> None:
    copy, counted = Copy(tmp_path), dict[str, int]()
    for add in (add_domain, add_field, add_operations):
        add(copy)
        copy.document()
        counted[add.__name__] = len(copy.touched())
        copy.keep()
    for check in CHECKS:
        copy.run(*check)
    copy.judge_imports()
    quick = ("pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow")
    copy.run(*quick, *DEMANDING)
    copy.run(*quick, *GENERATED, "-k", "berth or Berth")
    assert counted["add_domain"] <= 15, counted
    assert counted["add_field"] <= 8, counted
    assert counted["add_operations"] <= 7, counted
