"""What a start costs and what an idle process keeps: `python scripts/budget.py`.

At two sizes: this program, and this program with as many operations as the contract has. These are copies of its
smallest domain, of ten columns each, with a migration for their tables, in a folder that goes away afterwards. Seconds
are of the processor, but for those to the first answers. Exits with 1 beyond the bars.
"""

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

from models import migrations

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "resolvers", "rest_compat", "schema", "runtime", "crewship")
ROOM, COPIED, EACH = "work", "labels", 4  # the domain, and its operations
COLUMN = re.compile(r"^( +)label_group(:.*)$", re.MULTILINE)
LISTED = re.compile(r'^( +fields = ".*label_group)', re.MULTILINE)
EDGE = re.compile(r'^( +fields = ".*) issues"$', re.MULTILINE)  # declared by another domain, for the original alone
NAME = re.compile(r"([Ll]abels?)(?!_|:read|s)")
WHOLE = 800  # operations: the contract's, ours, and room for more
FIRST_ANSWER, IDLE = 1.8, 130.0  # the bars: seconds of the clock, and MB
SETTLED = 3.0  # seconds after which a process that nobody asks for anything is idle
PATIENCE = 60.0  # seconds for an answer

COMPOSED = """
import json, sys, time
from resolvers.instance.settings import load_settings
{statements}
seconds, modules = time.process_time(), sorted(sys.modules)
import psutil
print(json.dumps([seconds, psutil.Process().memory_info().rss / 2**20, modules]))
"""
SERVER = (
    "import crewship.cli.main, crewship.process.serve; from crewship.process.app import create_app;"
    " create_app(load_settings(role='api'))"
)
WORKER = "from crewship.process.probes import create_worker; create_worker(load_settings(role='worker'))"
COUNT = """
from resolvers import domains
from resolvers.kernel.declarations.operation import OPERATIONS
domains.load()
print(len(OPERATIONS))
"""


@dataclass(frozen=True)
class Composed:
    """A fresh interpreter that has imported and composed an application, and opened nothing."""

    seconds: float
    rss: float
    modules: frozenset[str]


@dataclass(frozen=True)
class Served:
    """`crewship serve` on a database at the head: seconds to the first answers, and what it uses until it is idle."""

    rest: float
    graphql: float
    seconds: float
    idle: float


def grow(tree: Path, whole: int = WHOLE) -> None:
    """Makes `tree` this program with at least `whole` operations."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("static"))
    (tree / "crewship" / "static").symlink_to(ROOT / "crewship" / "static")
    missing = whole - int(_python(tree, COUNT))
    numbers = [f"{number:02}" for number in range(-(-missing // EACH))]
    for package in ("models", "resolvers", "rest_compat", "schema"):
        text = (ROOT / package / ROOM / f"{COPIED}.py").read_text()
        text = COLUMN.sub(r"\1label_group\2\n\1label_origin\2\n\1label_source\2", text)
        text = EDGE.sub(r'\1"', LISTED.sub(r"\1 label_origin label_source", text))
        for number in numbers:
            (tree / package / ROOM / f"{COPIED}{number}.py").write_text(NAME.sub(rf"\g<1>{number}", text))
    with (tree / "resolvers" / "domains.py").open("a") as listed:
        listed.write(f"PLACES.update({ {COPIED + number: f'{ROOM}.{COPIED}{number}' for number in numbers} })\n")
    _migration(tree / "models" / "migrations" / "versions", numbers)
    compileall.compile_dir(tree, quiet=2)


def _migration(versions: Path, numbers: list[str]) -> None:
    revision = f"{migrations.head()[:10]}_99"
    lines = ["from alembic import op", f'revision = "{revision}"', f'down_revision = "{migrations.head()}"']
    lines += ["def upgrade():"]
    columns = f"LIKE {COPIED} INCLUDING ALL, label_origin varchar(100), label_source varchar(100)"
    lines += [f'    op.execute("CREATE TABLE {COPIED}{number} ({columns})")' for number in numbers]
    (versions / f"{revision}_copies.py").write_text("\n".join(lines))


@cache
def compiled(tree: Path) -> None:
    """So that no start that is measured compiles what somebody has changed, and keeps memory of it."""
    for package in PACKAGES:
        compileall.compile_dir(tree / package, quiet=2)


def compose(tree: Path, statements: str = SERVER) -> Composed:
    compiled(tree)
    seconds, rss, modules = json.loads(_python(tree, COMPOSED.format(statements=statements)))
    return Composed(seconds, rss, frozenset(modules))


def serve(tree: Path, data: Path) -> Served:
    """Its database is in `data`; the first start makes it."""
    began = time.monotonic()
    command = [sys.executable, "-m", "crewship", "serve"]
    environment = _environment(tree, data)
    with subprocess.Popen(command, env=environment, cwd=tree, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            _ask(f"{url}/api/health")
            rest = time.monotonic() - began
            _ask(f"{url}/graphql", {"query": "{ __typename }"})
            graphql = time.monotonic() - began
            time.sleep(SETTLED)
            seen = psutil.Process(process.pid)
            used = seen.cpu_times()
            return Served(rest, graphql, used.user + used.system, seen.memory_info().rss / 2**20)
        finally:
            process.terminate()


def _ask(url: str, body: Any = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"content-type": "application/json"}), timeout=PATIENCE) as answer:  # noqa: S310
        answer.read()


def _python(tree: Path, code: str) -> str:
    command, environment = [sys.executable, "-c", code], _environment(tree)
    return subprocess.run(command, env=environment, cwd=tree, check=True, stdout=subprocess.PIPE, text=True).stdout


def _environment(tree: Path, data: Path | None = None) -> dict[str, str]:
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "CREWSHIP_PORT": "0", "CREWSHIP_LOG_LEVEL": "error"}
    return given | ({} if data is None else {"CREWSHIP_DATA_DIR": str(data)})


def measure(tree: Path, tries: int = 3) -> tuple[Composed, Served]:
    """The best of some tries: what else the machine does makes it only slower."""
    with tempfile.TemporaryDirectory(prefix="crewship-") as data:
        serve(tree, Path(data))  # makes the database and migrates it
        composed = min((compose(tree) for _ in range(tries)), key=lambda made: made.seconds)
        return composed, min((serve(tree, Path(data)) for _ in range(tries)), key=lambda made: made.rest)


def main() -> None:
    heads = f"{'composed: s':>13}{'MB':>6}{'serving: s':>13}{'REST after':>12}{'GraphQL':>9}{'idle MB':>9}"
    print(f"{'operations':12}{heads}")
    beyond = False
    with tempfile.TemporaryDirectory(prefix="crewship-") as directory:
        grown = Path(directory) / "grown"
        grow(grown)
        for tree in (ROOT, grown):
            composed, served = measure(tree)
            figures = f"{composed.seconds:13.2f}{composed.rss:6.0f}{served.seconds:13.2f}"
            answers = f"{served.rest:12.2f}{served.graphql:9.2f}{served.idle:9.1f}"
            print(f"{int(_python(tree, COUNT)):<12}{figures}{answers}", flush=True)
            beyond |= served.rest > FIRST_ANSWER or served.idle > IDLE
    if beyond:
        sys.exit(f"beyond the bars: {FIRST_ANSWER} s to the first answer, {IDLE:.0f} MB idle")


if __name__ == "__main__":
    main()
