"""Modules whose every test is deselected are not loaded; all other tests are collected."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.conftest import pytest_ignore_collect
from tests.every import each_of

QUICK = "not slow and not thorough"
MODULES = {
    "one": "pytestmark = pytest.mark.thorough\n",
    "many": "pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(X is None, reason='')]\n",
    "lines": "pytestmark = [\n    pytest.mark.anyio,\n    pytest.mark.slow,\n]\n",
    "partly": "pytestmark = [pytest.mark.anyio]\n\n\n@pytest.mark.slow\ndef test_a() -> None: ...\n",
    "none": "def test_a() -> None: ...\n",
}


def ignored(folder: Path, name: str, marks: str, *arguments: str) -> bool | None:
    path = folder / f"test_{name}.py"
    path.write_text(MODULES[name])
    config = SimpleNamespace(
        option=SimpleNamespace(markexpr=marks), args=arguments, invocation_params=SimpleNamespace(dir=folder)
    )
    return pytest_ignore_collect(path, cast(Any, config))


@each_of("name", MODULES)
def test_only_modules_that_are_wholly_left_out_are_ignored(tmp_path: Path, name: str) -> None:
    whole = name in ("one", "many", "lines")
    assert ignored(tmp_path, name, QUICK) is (True if whole else None)
    assert ignored(tmp_path, name, "") is None
    assert ignored(tmp_path, name, "slow or thorough") is None
    assert ignored(tmp_path, name, "not slow") is (True if name in ("many", "lines") else None)


def test_a_module_that_the_command_line_names_is_collected(tmp_path: Path) -> None:
    for argument in ("test_one.py", "test_one.py::test_a", str(tmp_path / "test_one.py")):
        assert ignored(tmp_path, "one", QUICK, argument) is None
