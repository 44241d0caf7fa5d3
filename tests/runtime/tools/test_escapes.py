"""A crew's commands against the file tools, which have the service's rights: links, pipes and exchanges in between."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.sandbox import Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap
from runtime.tools import Tool, files, tools_for
from runtime.tools.files import CrewPath, FileError
from tests.runtime.sandbox.machine import SECRET
from tests.runtime.tools.test_tools import job, refused, use

pytestmark = pytest.mark.anyio


@pytest.fixture
def tools(workdir: Workdir) -> dict[str, Tool]:
    os.close(workdir.open_output())
    return tools_for(job(), Unconfined(), workdir)


OUTSIDE: list[str] = [
    "/etc/passwd",
    "../../x",
    "/output/../etc/passwd",
    "/",
    "../..",
    "/outputs/x",
    "/output/bob/../../../x",
    "//etc//passwd",
    "./../../../../../../../../etc/passwd",
    "/proc/self/environ",
    "a/../../../b",
]


@pytest.mark.parametrize("path", OUTSIDE)
async def test_paths_that_lead_out(tools: dict[str, Tool], path: str) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("read_file", {}),
        ("write_file", {"content": "x"}),
        ("list_files", {}),
        ("search_files", {"pattern": "a"}),
    ]
    for name, more in calls:
        assert "is outside /output" in await refused(tools, name, path=path, **more)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (".", ("bob",)),
        ("..", ()),
        ("../eve/f", ("eve", "f")),
        ("/output//bob/./f", ("bob", "f")),
        ("a/../b", ("bob", "b")),
        ("...", ("bob", "...")),
    ],
)
def test_paths_that_stay(workdir: Workdir, path: str, names: tuple[str, ...]) -> None:
    assert CrewPath.of(path, workdir) == CrewPath(names)


def test_a_path_with_nul(workdir: Workdir) -> None:
    with pytest.raises(FileError):
        CrewPath.of("a\0b", workdir)


async def test_links_that_a_command_has_made(sandbox: Bubblewrap, workdir: Workdir, data_dir: Path) -> None:
    """In the sandbox they lead nowhere. The tools see the host, where they would lead to the keys."""
    tools = tools_for(job(), sandbox, workdir)
    targets = [f"{data_dir}/secrets.env", "/etc/passwd", "../../../../../../../secrets.env", "/output/bob/real"]
    making = "; ".join(
        f"ln -s {target} link{number}; ln -s {os.path.dirname(target)} dir{number}"
        for number, target in enumerate(targets)
    )
    await use(tools, "run_command", command=f"echo real >real; {making}; ln -s link0 chain; ln -s . self")
    assert (workdir.path / "link0").read_text().count(SECRET) == 1, "the link leads to the key, for who follows it"
    assert (workdir.path / "dir2/secrets.env").read_text().count(SECRET) == 1
    before = (data_dir / "secrets.env").read_bytes()
    for number, target in enumerate(targets):
        name = os.path.basename(target)
        for path in (f"link{number}", f"dir{number}/{name}", f"self/link{number}", f"self/self/{name}"):
            assert SECRET not in await refused(tools, "read_file", path=path)
            assert SECRET not in await refused(tools, "search_files", path=path, pattern="s")
            await refused(tools, "write_file", path=path, content="overwritten")
        await refused(tools, "list_files", path=f"dir{number}")
        await refused(tools, "write_file", path=f"dir{number}/made-by-a-tool", content="x")
    await refused(tools, "read_file", path="chain")
    found = await use(tools, "search_files", path="/output", pattern="ENCRYPTION_KEY")
    assert found == "No line matches"
    assert (await use(tools, "search_files", path="/output", pattern="ENCRYPTION_KEY", regex=True)) == "No line matches"
    assert "link0 (symbolic link)" in await use(tools, "list_files", depth=16)
    assert (data_dir / "secrets.env").read_bytes() == before
    assert sorted(entry.name for entry in data_dir.iterdir()) == ["files", "secrets.env"]
    assert not Path("/etc/made-by-a-tool").exists()
    assert (workdir.path / "link3").is_symlink()
    assert await use(tools, "read_file", path="real") == "real\n"


async def test_what_is_no_file_is_not_opened_for_long(sandbox: Bubblewrap, workdir: Workdir) -> None:
    """Opening a pipe waits for its other end, reading from one for ever."""
    tools = tools_for(job(), sandbox, workdir)
    socket = "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
    await use(tools, "run_command", command=f'mkfifo pipe; python3 -c "{socket}" || perl -e 1')
    async with asyncio.timeout(30):
        for name in ("pipe", *(["socket"] if (workdir.path / "socket").exists() else [])):
            assert "is not a file" in await refused(tools, "read_file", path=name)
            assert "is not a file" in await refused(tools, "search_files", path=name, pattern="a")
            assert "is not a file" in await refused(tools, "search_files", path=name, pattern="a", regex=True)
            assert "is not a file" in await refused(tools, "write_file", path=name, content="a")
        assert await use(tools, "search_files", pattern="a") == "No line matches"
        assert await use(tools, "search_files", pattern="a", regex=True) == "No line matches"


async def test_a_file_that_a_tool_may_not_give_away(sandbox: Bubblewrap, workdir: Workdir) -> None:
    """What the tools make belongs to the user of commands, so that those can go on with it; folders on the way too."""
    tools = tools_for(job(), sandbox, workdir)
    await use(tools, "write_file", path="new/folder/f", content="x")
    assert (
        await use(
            tools,
            "run_command",
            command="echo y >>new/folder/f && mv new/folder/f new/g && rmdir new/folder && cat new/g",
        )
        == "Exit code 0\nxy"
    )


RACE = """
import ctypes, os, sys
os.chdir(sys.argv[1])
exchange, here = 2, -100  # RENAME_EXCHANGE, AT_FDCWD
libc = ctypes.CDLL(None)
while True:
    for one, other in ((b"swapped", b"evil"), (b"f", b"f.evil")):
        if libc.renameat2(here, one, here, other, exchange):
            sys.exit(1)
"""


@pytest.mark.slow
async def test_a_race_against_exchanged_names(
    tools: dict[str, Tool], workdir: Workdir, data_dir: Path, tmp_path: Path
) -> None:
    """A folder and file are exchanged for links to the keys, thousands of times a second, while the tools use them."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "f").write_text(SECRET)
    (workdir.path / "swapped").mkdir()
    (workdir.path / "swapped/f").write_text("harmless")
    (workdir.path / "f").write_text("harmless")
    (workdir.path / "evil").symlink_to(secrets)
    (workdir.path / "f.evil").symlink_to(secrets / "f")
    followed = attempts = 0
    racer = subprocess.Popen([sys.executable, "-c", RACE, str(workdir.path)])
    try:
        while attempts < 150 or (followed < 10 and attempts < 3000):
            attempts += 1
            for name, arguments in (
                ("read_file", {"path": "swapped/f"}),
                ("read_file", {"path": "f"}),
                ("write_file", {"path": "swapped/f", "content": "harmless"}),
                ("write_file", {"path": "f.new", "content": "harmless"}),
                ("search_files", {"pattern": "cret", "path": "swapped"}),
                ("search_files", {"pattern": "cret"}),
                ("list_files", {"path": "swapped"}),
            ):
                result = await tools[name].run(arguments)
                assert SECRET not in result.content, name
            try:
                followed += SECRET in (workdir.path / "swapped/f").read_text()
                followed += SECRET in (workdir.path / "f").read_text()
            except OSError:
                continue
    finally:
        assert racer.poll() is None
        racer.kill()
        racer.wait()
    assert followed > 0, "the race was never on"
    assert (secrets / "f").read_text() == SECRET
    assert sorted(os.listdir(secrets)) == ["f"]


async def test_an_exchange_in_the_middle_of_a_walk(workdir: Workdir, tmp_path: Path) -> None:
    """A folder that was listed as one and is a link by the time it is opened."""
    os.close(workdir.open_output())
    (workdir.path / "sub").mkdir()
    (workdir.path / "sub/f").write_text("x")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text(SECRET)
    with files.directory(workdir, CrewPath(("bob",))) as start:
        walking = files.walk(start, depth=5)
        _, entries = next(walking)
        assert [entry.kind for entry in entries] == ["directory"]
        (workdir.path / "sub").rename(workdir.path / "gone")
        (workdir.path / "sub").symlink_to(tmp_path / "secrets")
        assert list(walking) == []


async def test_a_folder_without_bottom(tools: dict[str, Tool], workdir: Workdir) -> None:
    """Deeper than any path may be long: made step by step, as a command would."""
    here = os.open(workdir.path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("deep-in-a-folder", dir_fd=here)
        below = os.open("deep-in-a-folder", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    listed = await use(tools, "list_files", depth=16)
    assert listed.count("\n") == 15
    assert await use(tools, "search_files", pattern="x") == "No line matches"
    assert len(os.listdir("/proc/self/fd")) <= before[1] + 1


async def test_a_file_that_grows_while_it_is_read(tools: dict[str, Tool], workdir: Workdir) -> None:
    growing = subprocess.Popen(["sh", "-c", f"exec yes >{workdir.path}/grows"])
    try:
        async with asyncio.timeout(20):
            while not (workdir.path / "grows").exists() or (workdir.path / "grows").stat().st_size < 9 << 20:
                await asyncio.sleep(0.01)
            assert "longer than 8 MiB" in await refused(tools, "read_file", path="grows")
            assert await use(tools, "search_files", pattern="nowhere", path="grows") == "No line matches"
    finally:
        growing.kill()
        growing.wait()
        (workdir.path / "grows").unlink()


async def test_what_is_left_of_a_write_that_fails(
    tools: dict[str, Tool], workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workdir.path / "f").write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runtime.tools.files.os.rename", full)
    assert "the disk is full" in await refused(tools, "write_file", path="f", content="new")
    assert os.listdir(workdir.path) == ["f"]
    assert (workdir.path / "f").read_text() == "old"
