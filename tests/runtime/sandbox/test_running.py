"""What a command in the sandbox can do, and what becomes of it."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from runtime.runs.job import Failed
from runtime.sandbox import Isolation, Workdir
from runtime.sandbox.namespace import Bubblewrap, NotStarted, Programs
from runtime.sandbox.process import Outputs, ready, to_the_end
from tests.runtime.sandbox.machine import COUNTING, limited, shell, stands_still, until, workdir_in

pytestmark = pytest.mark.anyio


async def test_files_are_there_afterwards(sandbox: Bubblewrap, workdir: Workdir) -> None:
    ended = await sandbox.run(
        shell("pwd; mkdir -p sub; echo mine >sub/made; echo ours >../shared; echo kept >~/state"),
        workdir=workdir,
        timeout=10,
    )
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "/output/bob\n", "")
    assert (workdir.path / "sub" / "made").read_text() == "mine\n"
    assert (workdir.path.parent / "shared").read_text() == "ours\n"
    again = await sandbox.run(shell("cat sub/made /output/shared ~/state"), workdir=workdir, timeout=10)
    assert again.stdout == "mine\nours\nkept\n"


async def test_a_crew_shares_its_files_and_not_the_homes(sandbox: Bubblewrap, data_dir: Path) -> None:
    bob, eve = (workdir_in(data_dir / "files", agent=agent) for agent in ("bob", "eve"))
    await sandbox.run(shell("echo for all >note; echo for me >~/note"), workdir=bob, timeout=10)
    ended = await sandbox.run(shell("cat /output/bob/note; cat ~/note"), workdir=eve, timeout=10)
    assert ended.stdout == "for all\n"
    assert "No such file" in ended.stderr


async def test_an_agent_without_a_crew_has_files_too(sandbox: Bubblewrap, data_dir: Path) -> None:
    alone = workdir_in(data_dir / "files", crew=None)
    ended = await sandbox.run(shell("echo here >made; pwd"), workdir=alone, timeout=10)
    assert ended.stdout == "/output/bob\n"
    assert (data_dir / "files/workspaces/ws1/agents/id-bob/output/bob/made").read_text() == "here\n"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
async def test_exit_codes(sandbox: Bubblewrap, workdir: Workdir, script: str, code: int) -> None:
    ended = await sandbox.run(shell(script), workdir=workdir, timeout=10)
    assert (ended.exit_code, ended.timed_out, ended.truncated) == (code, False, False)


async def test_a_program_that_does_not_exist(sandbox: Bubblewrap, workdir: Workdir) -> None:
    ended = await sandbox.run(["no-such-program"], workdir=workdir, timeout=10)
    assert ended.exit_code == 127
    assert "no-such-program" in ended.stderr


async def test_arguments_arrive_as_they_are(sandbox: Bubblewrap, workdir: Workdir) -> None:
    given = ["--help", "", "a b", "$HOME", "-n", "ünï ☃", "'\"\\"]
    ended = await sandbox.run(["printf", "[%s]", *given], workdir=workdir, timeout=10)
    assert ended.stdout == "".join(f"[{argument}]" for argument in given)


async def test_text_of_any_language_and_bytes_of_none(sandbox: Bubblewrap, workdir: Workdir) -> None:
    ended = await sandbox.run(
        shell("printf 'žluťoučký 🐴'; printf 'ok\\377' >&2; echo x >日本.txt"), workdir=workdir, timeout=10
    )
    assert (ended.stdout, ended.stderr) == ("žluťoučký 🐴", "ok\ufffd")
    assert (workdir.path / "日本.txt").exists()


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_stdin(sandbox: Bubblewrap, workdir: Workdir, size: int) -> None:
    ended = await sandbox.run(["wc", "-c"], workdir=workdir, timeout=10, stdin=b"x" * size)
    assert ended.stdout.strip() == str(size)


async def test_without_stdin_there_is_nothing_to_read(sandbox: Bubblewrap, workdir: Workdir) -> None:
    ended = await sandbox.run(["cat"], workdir=workdir, timeout=10)
    assert (ended.exit_code, ended.stdout, ended.timed_out) == (0, "", False)


async def test_long_output_is_cut_with_a_note(programs: Programs, workdir: Workdir) -> None:
    ended = await limited(programs, output=1000).run(
        shell("head -c 200000 /dev/zero | tr '\\0' a; echo short >&2; exit 3"), workdir=workdir, timeout=10
    )
    assert ended.truncated
    assert ended.stdout == "a" * 1000 + "\n[199000 more bytes of output were omitted]\n"
    assert (ended.stderr, ended.exit_code) == ("short\n", 3)


@pytest.mark.slow
async def test_the_time_is_limited(sandbox: Bubblewrap, workdir: Workdir) -> None:
    began = time.monotonic()
    ended = await sandbox.run(shell(f"echo begun; {COUNTING}"), workdir=workdir, timeout=0.5)
    assert (ended.timed_out, ended.exit_code, ended.stdout) == (True, 137, "begun\n")
    assert time.monotonic() - began < 3
    assert await stands_still(workdir.path / "counter")


async def test_cancelling_kills_before_it_returns(sandbox: Bubblewrap, workdir: Workdir) -> None:
    counter = workdir.path / "counter"
    task = asyncio.ensure_future(
        sandbox.run(shell(f"trap '' TERM INT HUP; ({COUNTING}) & ({COUNTING}) & wait"), workdir=workdir, timeout=60)
    )
    await until(lambda: counter.exists() and counter.read_text().strip() not in ("", "1"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stands_still(counter)


def running_with(marker: str) -> list[int]:
    """Processes of this machine with a word in their command line. Those that are ending have none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.slow
async def test_cancelling_at_any_moment_leaves_nothing(sandbox: Bubblewrap, workdir: Workdir) -> None:
    marker = f"{random.SystemRandom().randrange(10**6, 10**7)}.5"
    before = sorted(os.listdir("/proc/self/fd"))
    for moment in range(40):
        task = asyncio.ensure_future(sandbox.run(["sleep", marker], workdir=workdir, timeout=60))
        await asyncio.sleep(moment / 1500)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert running_with(marker) == []
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_a_second_cancellation_does_not_cut_the_cleaning_short() -> None:
    done = []

    async def cleaning() -> None:
        await asyncio.sleep(0.1)
        done.append(True)

    task = asyncio.ensure_future(to_the_end(cleaning()))
    for _ in range(3):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_many_at_once(sandbox: Bubblewrap, data_dir: Path) -> None:
    async def one(number: int) -> str:
        workdir = workdir_in(data_dir / "files", crew=f"crew{number % 4}", agent=f"agent{number}")
        return (await sandbox.run(shell(f"echo {number} >made; cat made"), workdir=workdir, timeout=30)).stdout

    before = len(os.listdir("/proc/self/fd"))
    assert await asyncio.gather(*(one(number) for number in range(24))) == [f"{number}\n" for number in range(24)]
    assert len(os.listdir("/proc/self/fd")) <= before  # what other tests left open may be closed meanwhile


def test_another_event_loop(sandbox: Bubblewrap, workdir: Workdir) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ended = runner.run(sandbox.run(["cat"], workdir=workdir, timeout=10, stdin=b"over"))
        assert (ended.stdout, ended.exit_code) == ("over", 0)
        assert runner.run(sandbox.run(["sleep", "60"], workdir=workdir, timeout=0.2)).timed_out


@pytest.mark.parametrize("program", ["python3", "git", "node", "perl", "gcc"])
async def test_programs_of_the_host_work(sandbox: Bubblewrap, workdir: Workdir, program: str) -> None:
    scripts = {
        "python3": (
            "python3 -c 'import ssl, threading; t = threading.Thread(target=print,"
            ' args=("works",)); t.start(); t.join()\''
        ),
        "git": (
            "git init -q . && echo x >f && git add f"
            " && git -c user.email=a@b.c -c user.name=a commit -qm works && git log --format=%s"
        ),
        "node": 'node -e \'fetch("http://127.0.0.1:9").catch(() => console.log("works"))\'',
        "perl": "perl -e 'print \"works\\n\"'",
        "gcc": (
            "echo 'int puts(const char *); int main(void) { puts(\"works\"); return 0; }' >a.c && gcc a.c -o a && ./a"
        ),
    }
    if shutil.which(program, path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip(f"this machine has no {program}")
    ended = await sandbox.run(shell(scripts[program]), workdir=workdir, timeout=60)
    assert (ended.stdout, ended.exit_code) == ("works\n", 0), ended.stderr


async def test_temporary_files_are_gone_with_the_command(sandbox: Bubblewrap, workdir: Workdir) -> None:
    ended = await sandbox.run(
        shell("echo x >/tmp/made; cat /tmp/made; mkdir /dev/shm/a; touch /dev/shm/a/b"), workdir=workdir, timeout=10
    )
    assert (ended.stdout, ended.stderr) == ("x\n", "")
    assert (await sandbox.run(shell("ls /tmp /dev/shm/"), workdir=workdir, timeout=10)).stdout.split() == [
        "/dev/shm/:",
        "/tmp:",
    ]


async def test_a_sandbox_that_cannot_be_made_is_said_to_be_so(
    programs: Programs, workdir: Workdir, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Bubblewrap(programs)
    broken._masks = ["--ro-bind", "/does/not/exist", "/x"]
    with pytest.raises(NotStarted) as refused:
        await broken.run(["true"], workdir=workdir, timeout=10)
    assert "/does/not/exist" in refused.value.detail
    assert "/does/not/exist" not in str(refused.value)
    assert isinstance(refused.value, Failed)
    assert "no sandbox was made" in caplog.text


@pytest.mark.parametrize("argv", [["echo", "x" * 300_000], ["echo", "\0"]])
async def test_arguments_that_no_program_can_have(sandbox: Bubblewrap, workdir: Workdir, argv: list[str]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Failed):
        await sandbox.run(argv, workdir=workdir, timeout=10)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_nothing_is_begun_for_a_service_that_is_gone(sandbox: Bubblewrap, workdir: Workdir) -> None:
    """As when it is killed during the start: the gate is closed and not passed."""
    outputs = Outputs(1000)
    child = sandbox._launch(["touch", "made"], workdir, None, outputs, sandbox.limits, {})
    await child._meet()
    os.close(child._gate)
    child._gate = os.open(os.devnull, os.O_WRONLY)
    await ready(child.pidfd)
    await child.end()
    await outputs.close()
    assert child._process.returncode == 125
    assert os.listdir(workdir.path) == []


SERVICE = """
import asyncio, sys
from pathlib import Path
from runtime.egress import EgressGateway, Policy
from runtime.sandbox import Workdir
from runtime.sandbox.namespace import Bubblewrap, Programs
workdir = Workdir.of(Path(sys.argv[1]), workspace_id="ws1", agent_id="id-bob", agent_slug="bob", crew_id="crew1")
async def run():
    network = EgressGateway(Policy()) if sys.argv[3] else None
    sandbox = Bubblewrap(Programs.find())
    await sandbox.run(["/bin/sh", "-c", sys.argv[2]], workdir=workdir, timeout=60, network=network)
asyncio.run(run())
"""


@pytest.mark.slow
@pytest.mark.parametrize("network", ["", "network"])
async def test_nothing_outlives_a_service_that_is_killed(network: str, sandbox: Bubblewrap, workdir: Workdir) -> None:
    assert sandbox.isolation is Isolation.namespace
    counter = workdir.path / "counter"
    command = f"({COUNTING}) & setsid sh -c '{COUNTING}' & wait"
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(workdir.storage), command, network],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        await until(lambda: counter.exists() and counter.read_text().strip() not in ("", "1"))
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait()
    await asyncio.sleep(0.2)
    assert await stands_still(counter)
