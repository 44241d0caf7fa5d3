"""The directories of crews: where they are, whose they are, and that no link leads out of them."""

import os
import stat
from pathlib import Path

import pytest

from models.staff.agents import CliAdapter, ToolProfile
from resolvers.instance.confined import open_directory
from runtime.runs.job import Failed, Job, Worker
from runtime.sandbox import Workdir
from tests.runtime.sandbox.machine import workdir_in


def opened(workdir: Workdir) -> Path:
    """Makes the directories."""
    os.close(workdir.open_output())
    os.close(workdir.open_home())
    return workdir.path


def test_where_files_are(tmp_path: Path) -> None:
    assert opened(workdir_in(tmp_path)) == tmp_path / "workspaces/ws1/crews/crew1/output/bob"
    assert opened(workdir_in(tmp_path, crew=None)) == tmp_path / "workspaces/ws1/agents/id-bob/output/bob"
    assert (tmp_path / "workspaces/ws1/agents/id-bob/home").is_dir()


def test_the_directories_of_a_job(tmp_path: Path) -> None:
    worker = Worker("a1", "bob", "Bob", "c1", "crew", "", CliAdapter.CLAUDE_CODE, None, None, ToolProfile.CODING)
    assert (
        Workdir.of_job(tmp_path, Job("r1", "w1", None, worker, "")).path
        == tmp_path / "workspaces/w1/crews/c1/output/bob"
    )


def test_nobody_else_may_look(tmp_path: Path) -> None:
    path = opened(workdir_in(tmp_path / "files"))
    while path != tmp_path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
        path = path.parent


@pytest.mark.parametrize("bad", ["", ".", "..", "../x", "a/b", "/", "a\0", "Ä", "A", "a b", "a.b", "x" * 201, "a\n"])
@pytest.mark.parametrize("which", ["workspace", "crew", "agent"])
def test_ids_that_are_no_names(tmp_path: Path, which: str, bad: str) -> None:
    with pytest.raises(Failed):
        workdir_in(tmp_path, **{which: bad})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "level", ["workspaces", "workspaces/ws1", "workspaces/ws1/crews", "workspaces/ws1/crews/crew1", "output", "agent"]
)
@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_a_link_on_the_way_is_refused(tmp_path: Path, level: str, kind: str) -> None:
    storage, elsewhere = tmp_path / "files", tmp_path / "elsewhere"
    elsewhere.mkdir()
    workdir = workdir_in(storage)
    place = workdir.path if level == "agent" else workdir.path.parent if level == "output" else storage / level
    place.parent.mkdir(parents=True)
    if kind == "file":
        place.write_text("")
    else:
        place.symlink_to(elsewhere if kind == "link" else tmp_path / "nowhere")
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(Failed):
        workdir.open_output()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert list(elsewhere.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_the_storage_itself_may_be_a_link_of_the_operator(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "files").symlink_to(tmp_path / "disk")
    opened(workdir_in(tmp_path / "files"))
    assert (tmp_path / "disk/workspaces/ws1/crews/crew1/output/bob").is_dir()


def test_a_storage_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("")
    with pytest.raises(Failed, match="cannot be used"):
        workdir_in(tmp_path / "files").open_output()


def test_a_directory_that_is_exchanged_for_a_link_is_not_followed(tmp_path: Path) -> None:
    """Each step starts from the open directory before it, so what its name means by now does not matter."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "secret/b").mkdir(parents=True)
    start = os.open(tmp_path, os.O_RDONLY)
    inner = open_directory(start, ("a",))
    (tmp_path / "a").rename(tmp_path / "moved")
    (tmp_path / "a").symlink_to(tmp_path / "secret")
    try:
        reached = open_directory(inner, ("b",))
        assert os.path.samestat(os.fstat(reached), (tmp_path / "moved/b").stat())
        os.close(reached)
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            open_directory(start, ("a", "b"))
    finally:
        os.close(inner)
        os.close(start)
