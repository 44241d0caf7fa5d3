"""What a hostile command tries, in the sandbox and without: where nothing stops it, it has to succeed."""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolvers.instance.confined import SANDBOX_UID
from runtime.sandbox import Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap, Programs
from tests.runtime.sandbox.machine import COUNTING, SECRET, output, shell, stands_still, until, workdir_at, workdir_in

pytestmark = pytest.mark.anyio

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: another user cannot be tried")


async def test_the_keys_of_the_service(
    sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir, data_dir: Path
) -> None:
    reading = f"cat {data_dir}/secrets.env; cat ../../../../../../../secrets.env"
    assert (await output(unconfined, workdir, reading)).count(SECRET) == 2
    found = await output(sandbox, workdir, reading)
    assert SECRET not in found
    assert found.count("No such file") == 2
    # And nowhere else: only what is mounted has a name. /proc/<pid>/root and cwd lead into the sandbox again.
    looking = (
        "find / -xdev -name secrets.env; for root in /proc/[0-9]*/root;"
        f" do cat $root{data_dir}/secrets.env; done; ls /proc/*/cwd/"
    )
    assert "ENCRYPTION_KEY" not in await output(sandbox, workdir, looking)


async def test_the_files_of_another_crew(
    sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir, data_dir: Path
) -> None:
    other = workdir_in(data_dir / "files", crew="crew2", agent="eve")
    os.close(other.open_output())
    (other.path / "plan").write_text(SECRET)
    (other.path / "plan").chmod(0o666)
    reading = f"cat {other.path}/plan ../../../crew2/output/eve/plan /output/../crew2/output/eve/plan; ls /output"
    assert (await output(unconfined, workdir, reading)).count(SECRET) == 2
    assert SECRET not in await output(sandbox, workdir, reading)
    assert (await output(sandbox, workdir, "ls /output")).split() == ["bob"]


async def test_the_environment_of_the_service(
    sandbox: Bubblewrap, workdir: Workdir, monkeypatch: pytest.MonkeyPatch, decoy: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setenv("CREWSHIP_INTERNAL_TOKEN", SECRET)
    reading = "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; cat /proc/self/mountinfo /proc/*/cmdline"
    assert (
        SECRET in subprocess.run(shell(reading), capture_output=True, text=True, errors="replace", check=False).stdout
    )
    found = await output(sandbox, workdir, reading)
    assert SECRET not in found
    assert "PATH=/usr/local/bin:/usr/bin:/bin" in found
    names = {line.partition("=")[0] for line in (await output(sandbox, workdir, "env")).splitlines()}
    assert names <= {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "TERM",
        "TMPDIR",
        "PWD",
        "SHLVL",
        "OLDPWD",
        "_",
    }


@contextlib.contextmanager
def listening(family: socket.AddressFamily, address: str | tuple[str, int]) -> Iterator[socket.socket]:
    """A server that answers everybody with the secret."""
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()
        server.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(SECRET.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield server
        ended.set()
        thread.join()


CONNECT = (
    "import socket; s = socket.socket(socket.{family}); s.settimeout(3);"
    " s.connect({address!r}); print(s.recv(100).decode())"
)


async def test_loopback(sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir, python: str) -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as server:
        connecting = [python, "-c", CONNECT.format(family="AF_INET", address=server.getsockname())]
        assert SECRET in (await unconfined.run(connecting, workdir=workdir, timeout=20)).stdout
        ended = await sandbox.run(connecting, workdir=workdir, timeout=20)
    assert "ConnectionRefusedError" in ended.stderr
    assert ended.exit_code == 1


async def test_the_way_out(sandbox: Bubblewrap, workdir: Workdir) -> None:
    """No device but a loopback of its own."""
    assert [
        line.split(":")[0].strip() for line in (await output(sandbox, workdir, "tail -n +3 /proc/net/dev")).splitlines()
    ] == ["lo"]
    assert len(Path("/proc/net/dev").read_text().splitlines()) > 3, "this machine has no network itself"


@pytest.mark.parametrize("abstract", [False, True], ids=["file", "abstract"])
async def test_unix_sockets_of_the_service(
    sandbox: Bubblewrap,
    unconfined: Unconfined,
    workdir: Workdir,
    data_dir: Path,
    python: str,
    abstract: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(data_dir)
    address = "\0crewship-test" if abstract else "crewship.sock"
    with listening(socket.AF_UNIX, address):
        path = address if abstract else os.path.relpath(data_dir / address, workdir.path)
        connecting = [python, "-c", CONNECT.format(family="AF_UNIX", address=path)]
        assert SECRET in (await unconfined.run(connecting, workdir=workdir, timeout=20)).stdout
        ended = await sandbox.run(connecting, workdir=workdir, timeout=20)
    assert "ConnectionRefusedError" in ended.stderr if abstract else "FileNotFoundError" in ended.stderr


async def test_other_processes(
    sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir, decoy: subprocess.Popen[bytes]
) -> None:
    looking = "cat /proc/[0-9]*/comm; ls -d /proc/[0-9]*"
    outside = await output(unconfined, workdir, looking)
    assert f"/proc/{decoy.pid}\n" in outside
    assert f"/proc/{os.getpid()}\n" in outside
    inside = await output(sandbox, workdir, looking)
    assert {int(line.removeprefix("/proc/")) for line in inside.splitlines() if line.startswith("/proc/")} <= set(
        range(1, 20)
    )
    assert "sleep" not in inside


async def test_writing_elsewhere(sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir, data_dir: Path) -> None:
    places = [
        "/",
        "/usr",
        "/usr/bin",
        "/bin",
        "/etc",
        "/etc/ssl/certs",
        "/dev",
        "/dev/pts",
        "/home",
        "/run",
        "/proc",
        "/proc/sys/kernel",
    ]
    trying = "; ".join(f"(echo x >{place}/made-by-a-command) 2>/dev/null && echo wrote {place}" for place in places)
    assert await output(sandbox, workdir, trying) == ""
    changing = "; ".join(
        f"(chmod 777 {place} && echo changed {place}) 2>/dev/null"
        for place in ("/", "/usr", "/etc", "/etc/passwd", "/dev", "/run")
    )
    assert await output(sandbox, workdir, changing) == ""
    allowed = "for place in /output . /tmp /dev/shm ~; do echo x >$place/made && echo wrote $place; done"
    assert (
        await output(sandbox, workdir, allowed)
        == "wrote /output\nwrote .\nwrote /tmp\nwrote /dev/shm\nwrote /home/agent\n"
    )
    outside = f"(echo x >{data_dir}/made) 2>/dev/null && echo wrote"
    assert await output(unconfined, workdir, outside) == "wrote\n"
    (data_dir / "made").unlink()
    await output(sandbox, workdir, f"mkdir -p {data_dir}; {outside}")
    assert not (data_dir / "made").exists()
    assert sorted(entry.name for entry in data_dir.iterdir()) == ["files", "secrets.env"]


async def test_what_is_mounted_to_be_written_to(sandbox: Bubblewrap, workdir: Workdir) -> None:
    """Also where the rights of files would not allow it: those are the host's, and may be anything."""
    mounted = [line.split() for line in (await output(sandbox, workdir, "cat /proc/self/mountinfo")).splitlines()]
    options = {fields[4]: set(fields[5].split(",")) for fields in mounted}
    writable = {place for place, flags in options.items() if "rw" in flags}
    devices = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "pts")}
    assert writable - devices == {"/output", "/home/agent", "/tmp", "/dev/shm"}
    assert {"/", "/usr", "/dev"} <= options.keys() - writable
    assert all("nosuid" in flags for flags in options.values())
    assert all("nodev" in flags for place, flags in options.items() if place not in devices)


async def test_rights(sandbox: Bubblewrap, workdir: Workdir) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in (await output(sandbox, workdir, "cat /proc/self/status")).splitlines()
        if ":\t" in line
    )
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Groups"].split() in ([], ["1000"], ["65534"])


@as_root
async def test_a_program_that_gives_rights(sandbox: Bubblewrap, workdir: Workdir, python: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        asking = f"{directory}/id"
        shutil.copy("/usr/bin/id", asking)
        os.chmod(asking, 0o4755)
        outside = subprocess.run(
            [asking, "-u"],
            user=SANDBOX_UID,
            group=SANDBOX_UID,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        if outside.stdout.strip() != "0":
            pytest.skip(f"{directory} IS MOUNTED nosuid: nothing to try")
        shutil.copy(asking, workdir_at(workdir) / "id")
        os.chmod(workdir.path / "id", 0o4755)
    assert (workdir.path / "id").stat().st_uid == 0
    assert stat.S_IMODE((workdir.path / "id").stat().st_mode) == 0o4755
    assert (await output(sandbox, workdir, "./id -u")).strip() == "1000"


@as_root
async def test_the_user_of_commands_owns_nothing_of_the_service(sandbox: Bubblewrap, workdir: Workdir) -> None:
    """Seen from outside they are of a user of no account; what they make is theirs."""
    await output(sandbox, workdir, "echo x >made")
    assert (workdir.path / "made").stat().st_uid == SANDBOX_UID
    assert workdir.path.parent.stat().st_uid == SANDBOX_UID
    assert workdir.path.parent.parent.stat().st_uid == 0
    assert stat.S_IMODE(workdir.path.parent.stat().st_mode) == 0o700


async def test_signals_to_the_service(
    sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir, decoy: subprocess.Popen[bytes]
) -> None:
    killing = (
        f"kill -KILL {decoy.pid} || echo refused; kill -KILL {os.getpid()} 2>/dev/null;"
        " kill -KILL 1 2>/dev/null; kill -KILL -1"
    )
    assert "refused" in await output(sandbox, workdir, killing)
    assert decoy.poll() is None
    assert await output(unconfined, workdir, f"kill -KILL {decoy.pid} || echo refused") == ""
    assert decoy.wait(5) == -signal.SIGKILL


@pytest.mark.slow
async def test_outliving_the_command(sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir) -> None:
    leaving = (
        'setsid sh -c \'trap "" TERM HUP; (echo $$ >pid;'
        f" {COUNTING}) & exit' </dev/null >/dev/null 2>&1 & until test -s counter; do sleep 0.01; done"
    )
    counter = workdir.path / "counter"
    assert await output(unconfined, workdir, leaving) == ""
    try:
        assert not await stands_still(counter)
    finally:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and Path(os.readlink(entry / "cwd")) == workdir.path:
                    os.kill(int(entry.name), signal.SIGKILL)
    await until(lambda: True)
    counter.unlink()
    (workdir.path / "pid").unlink()
    assert await output(sandbox, workdir, leaving) == ""
    assert int(counter.read_text()) > 0
    assert await stands_still(counter)


async def test_inherited_descriptors(sandbox: Bubblewrap, workdir: Workdir, data_dir: Path) -> None:
    """An open directory of the host would be a way out."""
    opened = os.open(data_dir, os.O_RDONLY)
    os.set_inheritable(opened, True)
    try:
        looking = "ls -l /proc/self/fd /proc/1/fd 2>&1 | grep -v ^total"
        outside = subprocess.run(
            shell("ls -l /proc/self/fd"), close_fds=False, capture_output=True, text=True, check=True
        ).stdout
        assert str(data_dir) in outside
        found = await output(sandbox, workdir, looking)
    finally:
        os.close(opened)
    assert "/data" not in found
    own = [line.split()[-3:] for line in found.split("/proc/self/fd:")[1].splitlines() if "->" in line]
    assert [number for number, _, _ in own] == ["0", "1", "2", "3"]  # 3 is the listing itself
    assert own[0][2] == "/run/stdin"


async def test_the_program_that_makes_the_sandbox(
    sandbox: Bubblewrap, programs: Programs, workdir: Workdir, python: str
) -> None:
    """/proc/1/exe is a way past all mounts to the file it was started from."""
    before = programs.bwrap.read_bytes()
    writing = "import os; print(os.readlink('/proc/1/exe')); os.write(os.open('/proc/1/exe', os.O_WRONLY), b'x')"
    ended = await sandbox.run([python, "-c", writing], workdir=workdir, timeout=20)
    assert ended.exit_code == 1
    assert "Error" in ended.stderr
    assert str(programs.bwrap) not in ended.stdout
    assert programs.bwrap.read_bytes() == before
    if sandbox._program is not None:
        with pytest.raises(PermissionError):  # also when it is not running
            os.write(os.open(f"/proc/self/fd/{sandbox._program}", os.O_WRONLY), b"x")


TERMINAL = """
import asyncio, subprocess, sys
from pathlib import Path
from runtime.sandbox import Workdir
from runtime.sandbox.namespace import Bubblewrap, Programs
workdir = Workdir.of(Path(sys.argv[1]), workspace_id="ws1", agent_id="id-bob", agent_slug="bob", crew_id="crew1")
argv = ["/bin/sh", "-c", "echo typed by $0 >/dev/tty", sys.argv[2]]
if sys.argv[2] == "anybody":
    subprocess.run(argv, check=True)
else:
    print("ended with", asyncio.run(Bubblewrap(Programs.find()).run(argv, workdir=workdir, timeout=20)).exit_code)
"""


def in_terminal(*arguments: str) -> str:
    """What a program prints that has a terminal."""
    ours, theirs = os.openpty()
    taking = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", taking, sys.executable, "-c", TERMINAL, *arguments]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the last one has left the terminal
        while piece := os.read(ours, 4096):
            seen += piece
    process.wait()
    os.close(ours)
    return seen.decode()


@pytest.mark.slow
async def test_the_terminal_of_the_service(programs: Programs, workdir: Workdir) -> None:
    assert "typed by anybody" in in_terminal(str(workdir.storage), "anybody")
    seen = in_terminal(str(workdir.storage), "a command")
    assert "ended with 2" in seen or "ended with 1" in seen
    assert "typed" not in seen


async def test_the_code_and_packages_of_the_service(
    sandbox: Bubblewrap, unconfined: Unconfined, workdir: Workdir
) -> None:
    if Path(sys.prefix).resolve().is_relative_to("/usr"):
        pytest.skip("THE ENVIRONMENT IS UNDER /usr, which is shown")
    looking = f"ls {sys.prefix}"
    assert "lib" in await output(unconfined, workdir, looking)
    assert "No such file" in await output(sandbox, workdir, looking)


async def test_a_data_directory_under_usr_is_covered(programs: Programs, workdir: Workdir) -> None:
    private = Path("/usr/share/doc")
    if not private.is_dir() or not any(private.iterdir()):
        pytest.skip("NO /usr/share/doc to stand for a data directory")
    looking = f"ls {private}; echo x >{private}/made"
    assert len((await output(Bubblewrap(programs), workdir, looking)).splitlines()) > 1
    covered = await output(Bubblewrap(programs, private=(private,)), workdir, looking)
    assert len(covered.splitlines()) == 1, "something is shown"
    assert "made" in covered
    assert not (private / "made").exists()


async def test_places_of_the_host(sandbox: Bubblewrap, workdir: Workdir) -> None:
    seen = set((await output(sandbox, workdir, "ls -A /")).split())
    assert seen <= {
        "bin",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "output",
        "proc",
        "run",
        "sbin",
        "tmp",
        "usr",
    }
    assert (await output(sandbox, workdir, "ls -A /run /home; id -un; getent passwd | wc -l")).split() == [
        "/home:",
        "agent",
        "/run:",
        "stdin",
        "agent",
        "2",
    ]
    assert "private" not in await output(sandbox, workdir, "ls /etc/ssl; ls /etc/shadow /etc/crewship 2>/dev/null")
