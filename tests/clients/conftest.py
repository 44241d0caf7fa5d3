"""Node.js tools of others, installed once per version of `package.json` into pytest's cache."""

import asyncio
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.npm import NODE, NPM, node_modules

HERE = Path(__file__).parent
RUN = 180.0  # seconds


@dataclass(frozen=True)
class Ran:
    code: int | None
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Tools:
    """A folder with the tools in `node_modules`, and this folder's scripts and documents beside them."""

    folder: Path

    async def run(self, tool: str, *arguments: str, **environment: str) -> Ran:
        """`tool`: a script of this folder, or a command that an installed package brings."""
        command = [str(NODE), tool] if Path(tool).suffix else [str(self.folder / "node_modules" / ".bin" / tool)]
        path = str(Path(str(NODE)).parent)
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            cwd=self.folder,
            env={"PATH": f"{path}:/usr/bin:/bin", "HOME": str(self.folder), "NO_COLOR": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), RUN)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Path:
    """`node_modules` for these versions; workers of one run wait for the one that installs."""
    if NODE is None or NPM is None:
        pytest.skip("GraphQL TOOLS OF OTHERS WERE NOT RUN: they need node and npm (Node.js 20 or newer) on the PATH")
    return node_modules(request.config, HERE / "package.json", "node")


@pytest.fixture
def tools(installed: Path, tmp_path: Path) -> Tools:
    """The tools with a folder of their own to write to."""
    (tmp_path / "node_modules").symlink_to(installed)
    for file in (*HERE.glob("*.mjs"), *HERE.glob("*.ts"), *HERE.glob("*.json")):
        shutil.copy(file, tmp_path)
    shutil.copytree(HERE / "documents", tmp_path / "documents")
    return Tools(tmp_path)
