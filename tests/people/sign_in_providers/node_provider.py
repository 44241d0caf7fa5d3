"""oidc-provider in a process of its own."""

import asyncio
import contextlib
import shutil
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.npm import NODE, NPM, node_modules

HERE = Path(__file__).parent / "npm"
PATIENCE = 60.0  # seconds
CLIENT, SECRET = "crewship", "a secret of the client: 0123456789/+%"


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Path:
    if NODE is None or NPM is None:
        pytest.skip("A PROVIDER OF OTHERS WAS NOT MET: it needs node and npm (Node.js 20 or newer) on the PATH")
    return node_modules(request.config, HERE / "package.json", "node-sign-in-provider")


@contextlib.asynccontextmanager
async def running(
    folder: Path, installed: Path, kind: tuple[str, str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    shutil.copy(HERE / "provider.mjs", folder)
    (folder / "node_modules").symlink_to(installed)
    method, algorithm, short = kind
    chosen = {"METHOD": method, "ALGORITHM": algorithm, "SHORT": short, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET}
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        "provider.mjs",
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **chosen},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode().strip()
