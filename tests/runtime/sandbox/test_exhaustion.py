"""What a hostile command tries to use up: processes, the disk, memory, the processor, and the service's patience."""

import asyncio
import signal
import subprocess
import time

import pytest

from runtime.sandbox import Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap, Programs
from tests.runtime.sandbox.machine import limited, output, shell, workdir_at, workdir_in

pytestmark = pytest.mark.anyio


async def test_a_fork_bomb(programs: Programs, unconfined: Unconfined, workdir: Workdir, python: str) -> None:
    forking = """
import os, sys, time
made = 0
try:
    while made < 100:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError as error:
    print(error.strerror)
print("made", made)
"""
    outside = await unconfined.run([python, "-c", forking], workdir=workdir, timeout=20)
    assert outside.stdout == "made 100\n"
    inside = await limited(programs, processes=30).run([python, "-c", forking], workdir=workdir, timeout=20)
    refused, made = inside.stdout.splitlines()
    assert refused == "Resource temporarily unavailable"
    assert int(made.split()[1]) < 30


@pytest.mark.slow
async def test_a_fork_bomb_that_never_ends(programs: Programs, workdir: Workdir) -> None:
    """While it goes on, another crew's command is not affected: each sandbox counts for itself."""
    bombed = limited(programs, processes=60)
    bomb = asyncio.ensure_future(
        bombed.run(shell("bomb() { bomb | bomb & }; bomb; while :; do :; done"), workdir=workdir, timeout=1.5)
    )
    await asyncio.sleep(0.7)
    other = workdir_in(workdir.storage, crew="crew2", agent="eve")
    assert (
        await bombed.run(shell("for i in 1 2 3; do sleep 0.01 & done; wait; echo fine"), workdir=other, timeout=20)
    ).stdout == "fine\n"
    ended = await bomb
    assert ended.timed_out


async def test_filling_the_disk_with_a_file(programs: Programs, workdir: Workdir) -> None:
    filling = shell("head -c 3000000 /dev/zero >big; echo $?")
    outside = subprocess.run(filling, cwd=workdir_at(workdir), capture_output=True, text=True, check=True)
    assert outside.stdout == "0\n"
    assert (workdir.path / "big").stat().st_size == 3_000_000
    (workdir.path / "big").unlink()
    ended = await limited(programs, file_size=1_000_000).run(filling, workdir=workdir, timeout=20)
    assert ended.stdout != "0\n"
    assert (workdir.path / "big").stat().st_size <= 1_000_000


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
async def test_filling_the_memory_with_temporary_files(programs: Programs, workdir: Workdir, place: str) -> None:
    filling = f"head -c 3000000 /dev/zero >{place}/big; echo $?; wc -c <{place}/big"
    assert (await output(limited(programs, temporary=4_000_000), workdir, filling)).split() == ["0", "3000000"]
    refused = await output(limited(programs, temporary=1_000_000), workdir, filling)
    assert "No space left on device" in refused


async def test_using_up_memory(programs: Programs, workdir: Workdir, python: str) -> None:
    using = [python, "-c", "x = bytearray(300 << 20); print(len(x))"]
    assert (await limited(programs, memory=1 << 30).run(using, workdir=workdir, timeout=20)).stdout == f"{300 << 20}\n"
    ended = await limited(programs, memory=100 << 20).run(using, workdir=workdir, timeout=20)
    assert "MemoryError" in ended.stderr
    shared = [python, "-c", "import mmap; mmap.mmap(-1, 300 << 20); print('mapped')"]
    assert (await limited(programs).run(shared, workdir=workdir, timeout=20)).stdout == "mapped\n"
    assert (await limited(programs, address_space=200 << 20).run(shared, workdir=workdir, timeout=20)).exit_code == 1


@pytest.mark.slow
async def test_using_up_the_processor(programs: Programs, workdir: Workdir) -> None:
    began = time.monotonic()
    ended = await limited(programs, cpu_seconds=1).run(shell("while :; do :; done"), workdir=workdir, timeout=30)
    assert ended.exit_code in (128 + signal.SIGXCPU, 128 + signal.SIGKILL)
    assert not ended.timed_out
    assert time.monotonic() - began < 25
    # The service goes first, also where memory runs out.
    assert (await output(limited(programs), workdir, "nice; cat /proc/self/oom_score_adj")).split() == ["5", "1000"]


async def test_raising_a_limit_again(programs: Programs, workdir: Workdir) -> None:
    raising = (
        "for limit in 'n 100000' 'v unlimited' 'd unlimited' 'f unlimited';"
        " do ulimit -$limit && echo raised $limit; done"
    )
    assert "raised" not in await output(limited(programs), workdir, raising)


async def test_opening_files_without_end(programs: Programs, workdir: Workdir, python: str) -> None:
    opening = [python, "-c", "import os\nwhile True: os.open('/dev/null', 0)"]
    ended = await limited(programs, open_files=50).run(opening, workdir=workdir, timeout=20)
    assert "Too many open files" in ended.stderr


@pytest.mark.slow
async def test_endless_output_does_not_hold_up_the_service(sandbox: Bubblewrap, workdir: Workdir) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    used = time.process_time()
    ended = await sandbox.run(["yes", "x" * 500], workdir=workdir, timeout=1.5)
    used = time.process_time() - used
    ticking.cancel()
    assert ended.timed_out
    assert ended.truncated
    assert len(ended.stdout) < 300_000
    assert ticks > 30
    assert used < 0.75
