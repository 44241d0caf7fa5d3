# ruff: noqa: F811 - fixtures are imported by their names
"""What no limit of the kernel bounds: the sum of a command's processes, and of what its crew keeps."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from runtime.runs.job import Failed
from runtime.sandbox import Limits, Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap, Programs
from runtime.sandbox.reach import Reach, ShownDirectory
from runtime.sandbox.sums import HOPELESS, measure
from runtime.tools import tools_for
from tests.runtime.sandbox.machine import (  # noqa: F401
    data_dir,
    host_allows,
    limited,
    programs,
    python,
    unconfined,
    why_not,
    workdir,
    workdir_in,
)
from tests.runtime.sandbox.test_running import shell
from tests.runtime.tools.test_tools import job

pytestmark = pytest.mark.anyio

MIB = 1 << 20
HOLDING = "import sys, time; held = bytearray(b'x') * (int(sys.argv[1]) << 20); time.sleep(30)"
SHARING = """
import mmap, os, time
shared = mmap.mmap(-1, 120 << 20)
shared.write(b"x" * (120 << 20))
for _ in range(4):
    if os.fork() == 0:
        total = sum(shared[at] for at in range(0, len(shared), 4096))
        time.sleep(1)
        os._exit(0)
for _ in range(4):
    os.wait()
print("together")
"""


@pytest.mark.slow
async def test_processes_that_are_small_each_and_large_together(
    programs: Programs, workdir: Workdir, python: str
) -> None:
    sandbox = limited(programs, memory_sum=200 * MIB)
    alone = await sandbox.run([python, "-c", HOLDING.replace("30", "0.5"), "80"], workdir=workdir, timeout=20)
    assert (alone.exit_code, alone.excess) == (0, "")
    began = time.monotonic()
    four = f'for i in 1 2 3 4; do setsid {python} -c "{HOLDING}" 80 & done; wait'
    ended = await sandbox.run(shell(four), workdir=workdir, timeout=25)
    assert ended.exit_code == 137
    assert not ended.timed_out
    assert "more than 200 MiB of memory in total" in ended.excess
    assert time.monotonic() - began < 20


@pytest.mark.slow
async def test_what_processes_share_counts_once(programs: Programs, workdir: Workdir, python: str) -> None:
    ended = await limited(programs, memory_sum=300 * MIB).run([python, "-c", SHARING], workdir=workdir, timeout=30)
    assert (ended.stdout, ended.excess) == ("together\n", "")


FILLING = "while :; do head -c 4000000 /dev/zero >big$((n += 1)); done"


@pytest.mark.slow
async def test_many_files_that_are_allowed_each(programs: Programs, workdir: Workdir) -> None:
    sandbox = limited(programs, disk=20_000_000, file_size=5_000_000)
    ended = await sandbox.run(shell(f"{FILLING} & wait"), workdir=workdir, timeout=30)
    assert (ended.exit_code, ended.timed_out) == (137, False)
    assert "take more than 19 MiB" in ended.excess
    assert await stands_still_in(workdir.path)


async def stands_still_in(directory: Path) -> bool:
    before = len(os.listdir(directory))
    await asyncio.sleep(0.3)
    return len(os.listdir(directory)) == before


@pytest.mark.slow
@pytest.mark.parametrize("making", ["mkdir", "touch", "ln -s /nowhere", "mkfifo"])
async def test_entries_without_any_bytes(programs: Programs, workdir: Workdir, making: str) -> None:
    script = f"while :; do {making} ~/e$((n += 1)); done"
    ended = await limited(programs, files=100).run(shell(script), workdir=workdir, timeout=30)
    assert (ended.exit_code, ended.timed_out) == (137, False)
    assert "more than 100" in ended.excess


async def test_a_crew_that_is_full_can_delete_and_not_grow(programs: Programs, workdir: Workdir) -> None:
    """Else nobody but the operator could make room again."""
    sandbox = limited(programs, disk=4 * MIB)
    os.close(workdir.open_output())
    (workdir.path / "big").write_bytes(b"x" * (6 * MIB))
    refused = await sandbox.run(
        shell("echo more >more; (echo more >>big) 2>/dev/null; wc -c <big"), workdir=workdir, timeout=20
    )
    assert (workdir.path / "big").stat().st_size == 6 * MIB
    assert not (workdir.path / "more").exists() or (workdir.path / "more").stat().st_size == 0, refused.stderr
    assert (await sandbox.run(shell("rm big"), workdir=workdir, timeout=20)).exit_code == 0
    assert (await sandbox.run(shell("echo more >more; cat more"), workdir=workdir, timeout=20)).stdout == "more\n"


async def test_the_tool_that_writes_files_is_no_way_around(workdir: Workdir) -> None:
    write = tools_for(job(), Unconfined(limits=Limits(files=5)), workdir)["write_file"]
    answers = [await write.run({"path": f"f{number}", "content": "x"}) for number in range(8)]
    assert [answer.is_error for answer in answers[-2:]] == [True, True]
    assert "more than 5; delete some" in answers[-1].content
    assert len(list(workdir.path.iterdir())) <= 5


async def test_a_crew_that_is_hopelessly_full_runs_nothing(programs: Programs, workdir: Workdir) -> None:
    sandbox = limited(programs, files=10)
    os.close(workdir.open_output())
    for number in range(10 * HOPELESS + 1):
        (workdir.path / f"f{number}").touch()
    with pytest.raises(Failed, match="more than 10, by far"):
        await sandbox.run(["true"], workdir=workdir, timeout=20)
    other = workdir_in(workdir.storage, crew="crew2", agent="eve")
    assert (await sandbox.run(["true"], workdir=other, timeout=20)).exit_code == 0


def usage(workdir: Workdir, **limits: int) -> tuple[int, int]:
    found = measure(workdir, Limits(**limits), threading.Event())
    return found.disk, found.files


async def test_what_is_counted(workdir: Workdir) -> None:
    os.close(workdir.open_output())
    empty = usage(workdir)
    (workdir.path / "big").write_bytes(b"x" * MIB)
    os.link(workdir.path / "big", workdir.path / "again")
    (workdir.path / "link").symlink_to("/usr")
    os.truncate(os.open(workdir.path / "sparse", os.O_CREAT | os.O_WRONLY), 1 << 40)
    disk, files = usage(workdir)
    assert files == empty[1] + 4
    assert MIB <= disk - empty[0] < 2 * MIB


async def test_directories_without_end_are_too_much_and_cost_little(workdir: Workdir) -> None:
    here = workdir.open_output()
    for _ in range(200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert usage(workdir, files=1000)[1] > 1000 * HOPELESS
    wide = workdir_in(workdir.storage, crew="wide")
    os.close(wide.open_output())
    for number in range(3000):
        (wide.path / f"f{number}").touch()
    assert usage(wide, files=100)[1] == 100 * HOPELESS + 1, "the walk ends where the answer is known"


async def test_a_short_command_is_not_looked_at(
    programs: Programs, workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for its crew's files beforehand."""
    looks = []
    monkeypatch.setattr("runtime.sandbox.sums.memory_of", lambda *arguments: looks.append(arguments) or 0)
    monkeypatch.setattr("runtime.sandbox.sums.MEMORY_EVERY", 5.0)
    before = len(os.listdir("/proc/self/fd"))
    sandbox = limited(programs)
    for _ in range(5):
        assert (await sandbox.run(["true"], workdir=workdir, timeout=20)).exit_code == 0
    assert looks == []
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
async def test_looking_costs_little(programs: Programs, workdir: Workdir) -> None:
    sandbox = limited(programs)
    os.close(workdir.open_output())
    for number in range(2000):
        (workdir.path / f"f{number}").touch()
    used = time.process_time()
    await sandbox.run(shell("for i in $(seq 50); do sleep 3 & done; wait"), workdir=workdir, timeout=20)
    assert time.process_time() - used < 0.6, "a fifth of one processor"


# Options of bubblewrap that make something at their last argument, and how many arguments each option has.
MAKING = {
    "--file": 2,
    "--ro-bind": 2,
    "--ro-bind-try": 2,
    "--bind": 2,
    "--bind-fd": 2,
    "--dev-bind": 2,
    "--symlink": 2,
    "--proc": 1,
    "--dev": 1,
    "--tmpfs": 1,
}
OTHERS = {
    "--perms": 1,
    "--size": 1,
    "--uid": 1,
    "--gid": 1,
    "--hostname": 1,
    "--cap-drop": 1,
    "--chdir": 1,
    "--unsetenv": 1,
    "--seccomp": 1,
    "--remount-ro": 1,
}
PLAIN = {
    "--unshare-user",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--disable-userns",
    "--new-session",
}
PLAIN |= {"--die-with-parent"}
AGENTS = ("/output", "/home/agent", "/run/output", "/run/home")


def made_by(options: list[str]) -> list[str]:
    """The places that options make, in their order. An option that is not known here fails: judge it first."""
    places, at = [], 0
    while at < len(options):
        name = options[at]
        assert name in MAKING or name in OTHERS or name in PLAIN, name
        count = MAKING.get(name, OTHERS.get(name, 0))
        if name in MAKING:
            places.append(options[at + count])
        at += 1 + count
    return places


async def test_nothing_is_made_below_what_an_agent_controls(programs: Programs, data_dir: Path) -> None:
    """There a link could lead what is made while the sandbox is set up to a file of the host."""
    for setpriv in (programs.setpriv, None, Path("/usr/bin/setpriv")):
        sandbox = Bubblewrap(
            Programs(programs.bwrap, programs.prlimit, setpriv, programs.release),
            private=(data_dir, Path("/usr/share")),
        )
        outside, shared = sandbox._reach(
            Reach((ShownDirectory(7, "output", "/output"), ShownDirectory(8, "home", "/home/agent")), in_memory=())
        )
        inner = made_by(sandbox._options(shared, {"/etc/passwd": 9, "/run/stdin": 10}, "/output/bob"))
        before = outside[1 : outside.index("--")] if "--" in outside else []
        for places in (inner, made_by(before)):
            assert [
                place
                for place in places
                if any(Path(place).is_relative_to(above) and place != above for above in AGENTS)
            ] == []
        assert {"/output", "/home/agent"} <= set(inner)
        assert max(inner.index(place) for place in ("/etc/passwd", "/run/stdin")) < inner.index("/output")
