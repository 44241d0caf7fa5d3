"""All code that starts a process uses the one launcher, or is listed here with a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resolvers.rules.services import Service
from resolvers.staff.crews.building import BuildPlan
from runtime.containers import services
from runtime.containers.build import Builder
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import ContainerPlace, CrewContainer
from runtime.containers.services import CrewServices
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from tests.architecture.source import PACKAGES, ROOT, name_of, nodes, python_files
from tests.every import each_of

LAUNCHER = "runtime/sandbox/spawning.py"
OUR_OWN = {
    (
        "crewship/process/dumps.py",
        "subprocess.Popen",
    ): "pg_dump and pg_restore of the embedded PostgreSQL",
    ("crewship/process/postgres_child.py", "subprocess.Popen"): "the embedded PostgreSQL, which limits would end",
    ("crewship/process/postgres_child.py", "subprocess.run"): "asks the embedded PostgreSQL which version it is",
    ("runtime/work/evaluation.py", "asyncio.create_subprocess_exec"): "our own program, which limits itself",
    (
        "resolvers/instance/bundles/passphrases.py",
        "asyncio.create_subprocess_exec",
    ): "derives the key of a passphrase, which holds an interpreter for a second",
    (
        "runtime/oversight/backups.py",
        "asyncio.create_subprocess_exec",
    ): "`crewship backup`, on schedule",
    (
        "crewship/process/postgres_programs.py",
        "asyncio.create_subprocess_exec",
    ): "programs of the embedded PostgreSQL, which copy and archive its data",
    ("crewship/process/postgres_upgrade.py", "subprocess.run"): "pg_upgrade of the embedded PostgreSQL",
    ("runtime/sandbox/programs.py", "subprocess.run"): "asks bubblewrap, of root, which version it is",
    ("crewship/process/serve.py", "uvicorn.supervisors.Multiprocess"): "processes of the service itself",
}
"""Code that starts our own programs, with fixed arguments."""

STARTS = {
    "subprocess": {"Popen", "run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"},
    "os": {"fork", "forkpty", "system", "popen", "posix_spawn", "posix_spawnp"}
    | {f"{kind}{how}" for kind in ("exec", "spawn") for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")},
    "pty": {"spawn", "fork"},
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "asyncio.subprocess": {"create_subprocess_exec", "create_subprocess_shell"},
    "multiprocessing": {"Process", "Pool", "get_context"},
    "concurrent.futures": {"ProcessPoolExecutor"},
    "uvicorn.supervisors": {"Multiprocess", "ChangeReload"},
    "anyio": {"run_process", "open_process"},
    "anyio.to_process": {"run_sync"},
}
LOOPS = {"subprocess_exec", "subprocess_shell"}
BOUNDARIES = {"Bubblewrap", "Unconfined", "ContainerSandbox", "Groups"}
MADE_IN = {"runtime/sandbox/detection.py", "runtime/containers/choice.py"}


def names(module: ast.Module) -> dict[str, str]:
    """The meanings of the names in a module."""
    found = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                found[each.asname or top] = each.name if each.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                found[each.asname or each.name] = f"{node.module}.{each.name}"
    return found


def called(module: ast.Module) -> Iterator[str]:
    """Full names of all that is used, called or handed on."""
    known = names(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute | ast.Name):
            parts, inner = [], node
            while isinstance(inner, ast.Attribute):
                parts.append(inner.attr)
                inner = inner.value  # type: ignore[assignment]
            if isinstance(inner, ast.Name):
                yield ".".join([known.get(inner.id, inner.id), *reversed(parts)])
            elif parts:
                yield f"?.{parts[0]}"


def starting(module: ast.Module) -> set[str]:
    """Which of these a module uses, but in annotations."""
    every = {f"{package}.{name}" for package, members in STARTS.items() for name in members}
    used = called(_Plain().visit(module))
    return {name for name in used if name in every or name.rpartition(".")[2] in LOOPS}


class _Plain(ast.NodeTransformer):
    """Without annotations."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Pass() if node.value is None else ast.Expr(self.visit(node.value))

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def sources() -> list[Path]:
    return python_files(*PACKAGES)


def test_one_place_starts_processes() -> None:
    found = {(name_of(path), name) for path in sources() for name in starting(ast.parse(path.read_text()))}
    assert found - set(OUR_OWN) == {(LAUNCHER, "subprocess.Popen")}
    assert set(OUR_OWN) - found == set(), "reasons for what is not there"


@each_of(
    "text",
    [
        "import subprocess\nsubprocess.run(['x'])",
        "import subprocess as s\ns.Popen(['x'])",
        "from subprocess import check_output as ask\nask(['x'])",
        "import os\nos.system('x')",
        "from os import execvp\nexecvp('x', [])",
        "import asyncio\nasyncio.create_subprocess_exec('x')",
        "loop.subprocess_exec(None, 'x')",
        "import asyncio\nasyncio.get_running_loop().subprocess_shell(None, 'x')",
        "from concurrent.futures import ProcessPoolExecutor\nProcessPoolExecutor()",
        "import multiprocessing\nmultiprocessing.Process()",
        "from functools import partial\nimport subprocess\npartial(subprocess.run, ['x'])",
    ],
)
def test_it_is_seen_however_it_is_written(text: str) -> None:
    assert len(starting(ast.parse(text))) == 1
    assert starting(ast.parse("import subprocess\nmade: subprocess.Popen | None = None")) == set()


def test_boundaries_are_made_where_the_machine_is_looked_at() -> None:
    """So that none is without the groups that were found."""
    made = {
        (name_of(path), node.func.id)
        for path in sources()
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BOUNDARIES
    }
    assert {where for where, _ in made} <= MADE_IN
    given = {
        keyword.arg
        for node in nodes(ROOT / "runtime/sandbox/detection.py")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Unconfined"
        for keyword in node.keywords
    }
    assert "groups" in given


def test_what_launches_names_a_group() -> None:
    """None is said, not left out."""
    calls = [
        (name_of(path), node)
        for path in sources()
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "spawn"
    ]
    assert {where for where, _ in calls} == {"runtime/sandbox/namespace.py", "runtime/sandbox/unconfined.py"}
    assert all(isinstance(call.args[1], ast.Name) and call.args[1].id == "group" for _, call in calls)


def _containers(tmp_path: Path) -> dict[str, dict[str, Any]]:
    limits, crew = Limits(), CrewContainer("w", "c", "image", memory_mb=128, cpus=1.5)
    workdir = Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="a", crew_id="c")
    builder = Builder(ContainerEngine(str(tmp_path / "none.sock")), BuildPlan("image", (), (), ()), "b", "i", limits)
    whose = services._Whose("i", "w", "c")
    service = Service(name="db", image="image")
    return {
        "agent": dict(ContainerPlace.of(crew, workdir).configuration(limits, keep_id=False)),
        "build": dict(builder._configuration()),
        "service": services._configuration(CrewServices((service,), {}, 128, 1.5), service, whose, limits),
    }


@pytest.mark.parametrize("kind", ["agent", "build", "service"])
def test_every_container_has_what_the_kernel_holds(tmp_path: Path, kind: str) -> None:
    host = _containers(tmp_path)[kind]["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] > 0
    assert 0 < host["PidsLimit"] <= 4096
    assert host["NanoCpus"] > 0
    assert host["OomScoreAdj"] == 1000
    assert host["Privileged"] is False
    assert {"nofile", "core"} <= {each["Name"] for each in host["Ulimits"]}


def test_configurations_of_containers_are_those() -> None:
    creating = {
        name_of(path)
        for path in python_files("runtime")
        for node in nodes(path)
        if isinstance(node, ast.Dict)
        and any(isinstance(key, ast.Constant) and key.value == "CapDrop" for key in node.keys)
    }
    assert creating == {f"runtime/containers/{name}.py" for name in ("place", "build", "services")}
