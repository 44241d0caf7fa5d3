# ruff: noqa: F811 - fixtures are imported by their names
"""Memory of every kind, from a command and from a terminal: the kernel ends the command, and nothing else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.sandbox import Limits, Workdir
from runtime.sandbox.groups import Groups, NoGroups
from runtime.sandbox.namespace import Bubblewrap, Programs
from runtime.sandbox.program import Start
from tests.runtime.sandbox.machine import (  # noqa: F401
    data_dir,
    host_allows,
    programs,
    python,
    shell,
    why_not,
    workdir,
)

pytestmark = pytest.mark.anyio

MIB = 1 << 20
MOST = 256  # MiB of a command; each of these takes four times as much
CALLING = "import ctypes, mmap, os, socket, time; libc = ctypes.CDLL(None, use_errno=True); total = 1 << 30\n"
HELD = "\ntime.sleep(20)"
ANONYMOUS = "held = bytearray(b'x') * total"
MEMORY_FILES = """
held = [os.memfd_create("m") for _ in range(8)]
for each in held:
    for _ in range(128):
        os.write(each, b"x" * (1 << 20))
"""
SEGMENTS = """
libc.shmat.restype = ctypes.c_void_p
for _ in range(8):
    number = libc.shmget(0, ctypes.c_size_t(128 << 20), 0o1600)
    if number < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    at = libc.shmat(number, None, 0)
    ctypes.memset(ctypes.c_void_p(at), 1, 128 << 20)
    libc.shmdt(ctypes.c_void_p(at))
"""
FILES_IN_MEMORY = """
for place in ("/tmp", "/dev/shm"):
    for number in range(4):
        with open(f"{place}/f{number}", "wb") as file:
            for _ in range(60):
                file.write(b"x" * (1 << 20))
"""
SHARED_AND_DROPPED = """
held = []
for _ in range(16):
    one = mmap.mmap(-1, 64 << 20)
    for _ in range(64):
        one.write(b"x" * (1 << 20))
    one.madvise(mmap.MADV_DONTNEED)
    held.append(one)
"""
BUFFERS = """
held = []
for _ in range(400):
    pair = socket.socketpair()
    for each in pair:
        each.setblocking(False)
        for name in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            each.setsockopt(socket.SOL_SOCKET, name, 4 << 20)
        try:
            while True:
                each.send(b"x" * 4096)
        except BlockingIOError:
            pass
    held.append(pair)
    if len(held) % 100 == 0 and os.fork() == 0:
        held = []
"""
KINDS = {
    "anonymous": ANONYMOUS,
    "memory files": MEMORY_FILES,
    "segments": SEGMENTS,
    "files in memory": FILES_IN_MEMORY,
    "shared and dropped": SHARED_AND_DROPPED,
}


@pytest.fixture
def grouped(programs: Programs) -> Iterator[Bubblewrap]:
    limits = Limits(memory_sum=MOST * MIB)
    try:
        groups = Groups.find(limits)
    except NoGroups as none:
        pytest.skip(f"NO CONTROL GROUPS, NOTHING IS PROVED: {none}")
    yield Bubblewrap(programs, limits=limits, groups=groups)
    groups.close()


def available() -> int:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) // 1024


@pytest.mark.parametrize("kind", KINDS)
async def test_a_command_has_as_much_memory_as_it_may_have(
    grouped: Bubblewrap, workdir: Workdir, python: str, kind: str
) -> None:
    ended = await grouped.run([python, "-c", CALLING + KINDS[kind] + HELD], workdir=workdir, timeout=30)
    assert (ended.exit_code, ended.timed_out, ended.stderr) == (137, False, "")
    assert f"more than {MOST} MiB of memory in total" in ended.excess


@pytest.mark.parametrize("kind", ["memory files", "segments"])
async def test_nor_does_a_child_of_it_that_is_ended_alone(
    grouped: Bubblewrap, workdir: Workdir, python: str, kind: str
) -> None:
    """All of the command goes, not the one process that the kernel has chosen."""
    (workdir.storage.joinpath("x")).mkdir(parents=True)
    program = f"{python} -c '{(CALLING + KINDS[kind] + HELD)}'"
    ended = await grouped.run(shell(f"setsid {program} & wait; sleep 20; echo on"), workdir=workdir, timeout=30)
    assert (ended.exit_code, ended.timed_out, ended.stdout) == (137, False, "")
    assert "of memory in total" in ended.excess


@pytest.mark.parametrize("kind", KINDS)
async def test_a_terminal_has_no_more(grouped: Bubblewrap, workdir: Workdir, python: str, kind: str) -> None:
    """Where only the one that is greedy were ended, the shell would go on, and begin it again."""
    async with grouped.terminal(["/bin/sh"], workdir=workdir, size=(24, 80), read_only=True) as terminal:
        greedy = (CALLING + KINDS[kind] + HELD).encode().hex()
        line = f"echo 0 >/proc/self/oom_score_adj; {python} -c 'exec(bytes.fromhex(\"{greedy}\"))'\n"
        await terminal.write(line.encode())
        async with asyncio.timeout(30):
            while await terminal.read():
                pass
        assert "of memory in total" in await terminal.excess()


async def test_a_program_that_talks_has_no_more(grouped: Bubblewrap, workdir: Workdir, python: str) -> None:
    start = Start((python, "-c", CALLING + MEMORY_FILES + HELD), talks=True, for_people=True)
    async with grouped.program(start, workdir=workdir) as program, asyncio.timeout(30):
        while await program.read():
            pass
        assert "of memory in total" in program.excess


async def test_what_is_within_it_works(grouped: Bubblewrap, workdir: Workdir, python: str) -> None:
    modest = CALLING + MEMORY_FILES.replace("range(8)", "range(1)") + "\nprint('held')"
    ended = await grouped.run([python, "-c", modest], workdir=workdir, timeout=30)
    assert (ended.exit_code, ended.stdout, ended.excess) == (0, "held\n", "")


@pytest.mark.parametrize(
    "attempt",
    [
        'os.memfd_create("m")',
        "assert libc.syscall(447, 0) >= 0",
        "assert libc.shmget(0, ctypes.c_size_t(4096), 0o1600) >= 0",
        "assert libc.msgget(0, 0o1600) >= 0",
        "assert libc.syscall(240, b'/q', 66, 0o600, None) >= 0",
    ],
)
async def test_without_a_group_there_is_none_that_nobody_could_count(
    programs: Programs, workdir: Workdir, python: str, attempt: str
) -> None:
    ended = await Bubblewrap(programs).run([python, "-c", CALLING + attempt], workdir=workdir, timeout=20)
    assert ended.exit_code == 1
    assert "Operation not permitted" in ended.stderr or "AssertionError" in ended.stderr
