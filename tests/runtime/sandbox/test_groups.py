"""Control groups: where they are made, what they hold, and what becomes of those of services that are gone."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolvers.instance.settings import load_settings
from runtime.sandbox import Limits, Unconfined, Workdir, describe, detect, groups
from runtime.sandbox.groups import LEAF, OF_THE_SANDBOX, PREFIX, Groups, NoGroups, memory_of_machine
from runtime.sandbox.namespace import Bubblewrap, NotStarted, Programs
from tests.runtime.sandbox.machine import limited, shell

pytestmark = pytest.mark.anyio
MIB = 1 << 20
SMALL = Limits(memory_sum=128 * MIB, processes=32)


@pytest.fixture
def real() -> Iterator[Groups]:
    """Those of this machine."""
    try:
        made = Groups.find(SMALL)
    except NoGroups as none:
        pytest.skip(f"NO CONTROL GROUPS, NOTHING IS PROVED: {none}")
    yield made
    made.close()


def kernel(root: Path, mounted: str, own: str, folders: dict[str, dict[str, str]]) -> Path:
    """What a kernel would show of its hierarchies."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounted)
    (root / "proc/self/cgroup").write_text(own)
    for folder, files in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (root / folder / name).write_text(content)
    return root


V2 = "30 20 0:26 {within} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "".join(
    f"{number} 20 0:3{number} {within} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for number, (name, within) in enumerate({"memory": "/", "pids": "/", "cpu": "/", "freezer": "/"}.items())
)
PASSED_ON = {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "cgroup.subtree_control": "",
    "cgroup.procs": "7\n8\n",
}


def written(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in folder.iterdir() if each.is_file()}


def homes(folder: Path) -> list[Path]:
    return sorted(each for each in folder.glob(f"{PREFIX}*") if each.name != LEAF)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of plain directories: they cannot be removed with their files, as groups can."""
    monkeypatch.setattr(groups, "_removed", lambda folder: True)


def test_one_hierarchy_in_a_container(tmp_path: Path, kept: None) -> None:
    root = kernel(tmp_path, V2.format(within="/"), "0::/\n", {"sys/fs/cgroup": PASSED_ON})
    at = root / "sys/fs/cgroup"
    made = Groups.find(SMALL, root)
    assert (made.version, made.controllers) == (2, ("memory", "pids", "cpu"))
    assert (at / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    (home,) = homes(at)
    given = written(home)
    assert given["cgroup.subtree_control"] == "+memory +pids +cpu"
    assert int(given["memory.max"]) == max(memory_of_machine() * 3 // 4, 128 * MIB)
    assert (given["memory.swap.max"], given["cpu.weight"]) == ("0", "50")
    group = made.make(SMALL)
    assert group.entries == [str(home / "2/cgroup.procs")]
    assert written(home / "2") == {
        "memory.max": str(128 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(32 + OF_THE_SANDBOX),
    }
    (home / "2/memory.events").write_text("low 0\noom 3\noom_kill 0\n")
    assert not group.ran_out()
    (home / "2/memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert group.ran_out()


def test_a_service_that_systemd_delegates_to_moves_down(
    tmp_path: Path, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group with processes passes on no controller."""
    unit = "sys/fs/cgroup/system.slice/crewship-server.service"
    root = kernel(
        tmp_path,
        V2.format(within="/"),
        "0::/system.slice/crewship-server.service\n",
        {"sys/fs/cgroup": PASSED_ON, unit: PASSED_ON},
    )
    refused = []
    real_write = Path.write_text

    def write(path: Path, text: str, *arguments: str) -> int:
        if path == root / unit / "cgroup.subtree_control" and not (root / unit / LEAF).exists():
            refused.append(text)
            raise OSError(16, "Device or resource busy")
        return real_write(path, text, *arguments)

    monkeypatch.setattr(Path, "write_text", write)
    monkeypatch.setattr(groups, "_is_left_to_us", lambda folder: folder == root / unit)
    made = Groups.find(SMALL, root)
    assert refused
    assert (root / unit / LEAF / "cgroup.procs").read_text() == "8"
    assert len(homes(root / unit)) == 1
    # the next one of the same unit begins there, and makes its own beside it
    (root / "proc/self/cgroup").write_text(f"0::/system.slice/crewship-server.service/{LEAF}\n")
    again = Groups.find(SMALL, root)
    assert len(homes(root / unit)) == 2
    made.close()
    again.close()


def test_root_divides_nothing_that_is_somebody_elses(
    tmp_path: Path, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = "sys/fs/cgroup/user.slice/session-1.scope"
    folders = {"sys/fs/cgroup": {**PASSED_ON, "cgroup.subtree_control": "cpu memory pids"}, session: PASSED_ON}
    root = kernel(tmp_path, V2.format(within="/"), "0::/user.slice/session-1.scope\n", folders)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = Groups.find(SMALL, root)
    assert len(homes(root / "sys/fs/cgroup")) == 1
    assert written(root / session) == PASSED_ON
    assert not (root / "sys/fs/cgroup" / LEAF).exists()
    made.close()


def test_a_user_without_any_that_may_be_divided(tmp_path: Path, kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    session = "sys/fs/cgroup/user.slice/session-1.scope"
    folders = {"sys/fs/cgroup": PASSED_ON, session: PASSED_ON}
    root = kernel(tmp_path, V2.format(within="/"), "0::/user.slice/session-1.scope\n", folders)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(NoGroups, match="no control group"):
        Groups.find(SMALL, root)
    assert written(root / session) == PASSED_ON


def test_a_hierarchy_for_each_controller(tmp_path: Path, kept: None) -> None:
    own = "4:memory:/apps/one\n8:pids:/\n1:cpu:/\n6:freezer:/\n0::/\n"
    at = "sys/fs/cgroup"
    folders = {f"{at}/memory/apps/one": {"memory.stat": "cache 1\nhierarchical_memory_limit 536870912\n"}}
    root = kernel(tmp_path, V1, own, {**folders, f"{at}/pids": {}, f"{at}/cpu": {}, f"{at}/freezer": {}})
    assert memory_of_machine(root) == 512 * MIB
    made = Groups.find(SMALL, root)
    assert (made.version, set(made.controllers)) == (1, {"memory", "pids", "cpu"})
    (of_memory,), (of_pids,), (of_cpu,) = (homes(root / at / where) for where in ("memory/apps/one", "pids", "cpu"))
    assert of_memory.name == of_pids.name == of_cpu.name
    assert written(of_cpu) == {"cpu.shares": "1024"}
    assert written(of_memory)["memory.limit_in_bytes"] == str(384 * MIB)
    group = made.make(SMALL)
    assert len(group.entries) == 3
    given = written(of_memory / "2")
    assert given["memory.limit_in_bytes"] == given["memory.memsw.limit_in_bytes"] == str(128 * MIB)
    assert given["memory.kmem.tcp.limit_in_bytes"] == str(128 * MIB)
    assert written(of_pids / "2") == {"pids.max": str(32 + OF_THE_SANDBOX)}
    (of_memory / "2/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert group.ran_out()
    assert homes(root / at / "freezer") == []


def test_a_container_that_sees_the_hierarchy_of_its_host(tmp_path: Path, kept: None) -> None:
    """What is mounted is its own part of it, by the path that the host has for it."""
    root = kernel(tmp_path, V2.format(within="/docker/abc"), "0::/docker/abc\n", {"sys/fs/cgroup": {**PASSED_ON}})
    made = Groups.find(SMALL, root)
    assert len(homes(root / "sys/fs/cgroup")) == 1
    made.close()


@pytest.mark.parametrize(("unified", "most"), [("max", None), (str(256 * MIB), 256 * MIB)])
def test_the_memory_of_a_container_is_the_machines(tmp_path: Path, unified: str, most: int | None) -> None:
    folders = {
        "sys/fs/cgroup": {},
        "sys/fs/cgroup/a": {"memory.max": unified},
        "sys/fs/cgroup/a/b": {"memory.max": "max"},
    }
    root = kernel(tmp_path, V2.format(within="/"), "0::/a/b\n", folders)
    assert memory_of_machine(root) == (most or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


async def test_nothing_of_a_group_is_left(real: Groups, programs: Programs, workdir: Workdir) -> None:
    sandbox = Bubblewrap(programs, limits=SMALL, groups=real)
    looking = "sleep 30 & cat /proc/self/cgroup"
    home = real.make(SMALL)
    below = {folder.parent for folder in home.distinct}
    home.remove()
    ended = await sandbox.run(shell(looking), workdir=workdir, timeout=20)
    assert ended.exit_code == 0
    assert [each for folder in below for each in folder.iterdir() if each.is_dir()] == []
    real.close()
    assert not any(folder.exists() for folder in below)


@pytest.mark.slow
async def test_a_command_is_in_its_group_from_its_first_process_on(
    real: Groups, programs: Programs, workdir: Workdir
) -> None:
    sandbox = Bubblewrap(programs, limits=SMALL, groups=real)
    running = asyncio.ensure_future(sandbox.run(shell("touch there; sleep 30 & sleep 30"), workdir=workdir, timeout=5))
    while not (workdir.path / "there").exists():
        await asyncio.sleep(0.02)
    (folder,) = [each for each in Path(real._home.folders["memory"]).iterdir() if each.is_dir()]
    inside = {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
    ours = {int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()}
    assert inside & ours
    for pid in inside - ours:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert parent in inside
    assert len(inside) >= 4
    await running


@pytest.mark.slow
async def test_what_leaves_its_session_without_a_sandbox(real: Groups, workdir: Workdir) -> None:
    """Nothing else holds it there."""
    escaping = "setsid sh -c 'while :; do date +%s%N >counter; sleep 0.02; done' & sleep 0.5"
    ended = await Unconfined(unsafe=True, groups=real).run(shell(escaping), workdir=workdir, timeout=20)
    assert ended.exit_code == 0
    before = (workdir.path / "counter").read_text()
    await asyncio.sleep(0.3)
    assert (workdir.path / "counter").read_text() == before


HOLDING = """
import sys, time
from runtime.sandbox import Limits
from runtime.sandbox.groups import Groups
made = Groups.find(Limits(memory_sum=128 << 20))
group = made.make(Limits(memory_sum=128 << 20))
import subprocess
from runtime.sandbox.spawning import spawn
spawn(["sleep", "300"], group, stdin=subprocess.DEVNULL, outputs=(1, 2), environment={}, folder="/")
time.sleep(0.5)
print(*group.distinct, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_groups_of_a_killed_service_go_at_the_next_start_and_those_of_a_living_one_stay(real: Groups) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        lines = [each.stdout.readline() for each in started if each.stdout]
        killed, living = ([Path(folder) for folder in line.split()] for line in lines)
        (pid,) = (killed[0] / "cgroup.procs").read_text().split()
        started[0].kill()
        started[0].wait()
        assert all(folder.exists() for folder in killed + living)
        Groups.find(SMALL).close()
        assert not any(folder.exists() or folder.parent.exists() for folder in killed)
        assert all(folder.exists() for folder in living)
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()
        assert (living[0] / "cgroup.procs").read_text().split()
    finally:
        for each in started:
            each.kill()
            each.wait()
            for pipe in (each.stdin, each.stdout):
                if pipe is not None:
                    pipe.close()
        Groups.find(SMALL).close()


async def test_the_score_of_a_command_cannot_be_lowered(programs: Programs, workdir: Workdir) -> None:
    now, trying = "cat /proc/$$/oom_score_adj", "for n in 0 999; do echo $n >/proc/self/oom_score_adj; done"
    ended = await limited(programs).run(shell(f"{now}; {trying}; {now}"), workdir=workdir, timeout=20)
    assert ended.stdout.split() == ["1000", "1000"]
    assert ended.stderr.count("Read-only file system") == 2


@pytest.mark.slow
async def test_detection_says_what_holds(
    real: Groups, programs: Programs, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(data_dir=data_dir)
    sandbox, report = await detect(settings), await describe(settings)
    assert isinstance(sandbox, Bubblewrap)
    assert sandbox.groups is not None
    sandbox.groups.close()
    assert (f"(v{real.version}: " in report.limits, report.no_groups) == (True, "")
    monkeypatch.setenv("CREWSHIP_CONTROL_GROUPS", "false")
    settings = load_settings(data_dir=data_dir)
    sandbox, report = await detect(settings), await describe(settings)
    assert isinstance(sandbox, Bubblewrap)
    assert sandbox.groups is None
    assert (report.limits, report.no_groups) == ("", "CREWSHIP_CONTROL_GROUPS is false")


async def test_groups_that_nothing_can_be_put_into_are_not_used(
    real: Groups, programs: Programs, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command without the kernel's limits is one that is told as such, never one that only seems to have them."""
    monkeypatch.setattr(groups.Group, "entries", ["/nowhere/cgroup.procs"])
    settings = load_settings(data_dir=data_dir)
    sandbox, report = await detect(settings), await describe(settings)
    assert isinstance(sandbox, Bubblewrap)
    assert sandbox.groups is None
    assert report.limits == ""
    assert "/nowhere" in report.no_groups


async def test_a_group_that_was_taken_away_starts_nothing(real: Groups, programs: Programs, workdir: Workdir) -> None:
    sandbox = Bubblewrap(programs, limits=SMALL, groups=real)
    real.close()
    with pytest.raises(NotStarted, match="could not be started"):
        await sandbox.run(shell("touch made"), workdir=workdir, timeout=20)
    assert not (workdir.path / "made").exists()
