"""Each way to a process that is not the service's, by what opens it: there are the limits of a command."""

import ast
import asyncio

import pytest

from models.base import new_id
from models.staff.crews import Crew
from resolvers.instance.ports import CommandOfAgent, TerminalPlace
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.runs.terminals import SandboxedTerminals
from runtime.sandbox import Workdir
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.terminal import Terminal
from runtime.tools import tools_for
from runtime.tools.files import CrewPath, FileError
from runtime.tools.search import search_expression
from tests.architecture.source import ROOT, name_of, nodes, python_files
from tests.attacks.test_memory_of_commands import CALLING, HELD, MEMORY_FILES, MIB, MOST, grouped
from tests.runtime.adapters.sinks import job
from tests.runtime.sandbox.machine import data_dir, host_allows, programs, python, why_not, workdir
from tests.world import World

__all__ = ["data_dir", "grouped", "host_allows", "programs", "python", "why_not", "workdir"]
pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
HERE = "tests/attacks/test_ways_to_processes.py"
WAYS = {
    ("runtime/tools/__init__.py", "run"): (HERE, "test_a_command_of_an_agent"),
    ("runtime/tools/search.py", "run"): (HERE, "test_a_search"),
    ("runtime/oversight/keeper_commands.py", "run"): (HERE, "test_git_and_what_the_keeper_allows"),
    ("runtime/runs/terminals.py", "terminal"): (HERE, "test_a_terminal"),
    ("runtime/runs/mcp_programs.py", "program"): (
        "tests/resources/integrations/test_asking_programs.py",
        "test_a_server_has_no_more_memory_than_a_command",
    ),
    ("runtime/coding/adapter.py", "program"): (
        "tests/runtime/coding/test_runner.py",
        "test_one_that_takes_too_much_is_ended",
    ),
}
"""Who has a sandbox start something, and the test that it has limits there."""
OUR_OWN = {("runtime/sandbox/detection.py", "run"): "tries whether there is a sandbox, with a text of ours"}


def test_each_has_its_test() -> None:
    found = {
        (name_of(path), node.func.attr)
        for path in python_files("runtime", "resolvers", "crewship", "rest_compat", "schema")
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"run", "program", "terminal"}
        and _has_a_place(node)
    }
    assert found == WAYS.keys() | OUR_OWN.keys()
    for path, test in WAYS.values():
        assert test in {node.name for node in nodes(ROOT / path) if isinstance(node, ast.AsyncFunctionDef)}


def _has_a_place(call: ast.Call) -> bool:
    """Whether it is told of a folder to work in: by name, or among other things that are."""
    return any(keyword.arg == "workdir" or _named(keyword) == "how" for keyword in call.keywords)


def _named(keyword: ast.keyword) -> str:
    return keyword.value.id if keyword.arg is None and isinstance(keyword.value, ast.Name) else ""


def greedy(python: str) -> str:
    """A line of a shell; what it begins goes on if that alone is ended."""
    program = (CALLING + MEMORY_FILES + HELD).encode().hex()
    return f"{python} -c 'exec(bytes.fromhex(\"{program}\"))'; sleep 20; echo still-here"


@pytest.fixture
async def crew(world: World) -> Crew:
    made = Crew(workspace_id=world.workspace.id, name="C", slug=new_id())
    await world.add(made)
    return made


async def test_a_command_of_an_agent(grouped: Bubblewrap, workdir: Workdir, python: str) -> None:
    tool = tools_for(job("x"), grouped, workdir)["run_command"]
    result = await tool.run({"command": greedy(python), "timeout_seconds": 60})
    assert result.is_error
    assert f"more than {MOST} MiB of memory in total" in result.content
    assert "still-here" not in result.content


async def test_a_search(grouped: Bubblewrap, workdir: Workdir) -> None:
    """One line that is longer than a search may hold."""
    place = workdir.storage.joinpath(*workdir.output)
    place.mkdir(parents=True, exist_ok=True)
    with (place / "long").open("w") as file:
        for _ in range(MOST + 64):
            file.write("x" * MIB)
    with pytest.raises(FileError, match="nothing was searched"):
        await search_expression(grouped, workdir, CrewPath.of("/output", workdir), "y{3}", ignore_case=False)


@pytest.mark.parametrize("of_an_agent", [True, False])
async def test_git_and_what_the_keeper_allows(
    world: World, crew: Crew, grouped: Bubblewrap, python: str, of_an_agent: bool
) -> None:
    command = CommandOfAgent(
        world.workspace.id, new_id() if of_an_agent else "", "bob", crew.id, greedy(python), {}, timeout=60
    )
    ran = await SandboxedCommands(world.settings, grouped).run(command)
    assert ran.exit_code == 137
    assert "still-here" not in ran.output


async def test_a_terminal(world: World, crew: Crew, grouped: Bubblewrap, python: str) -> None:
    place = TerminalPlace(world.workspace.id, crew.id, "bob", rows=24, columns=80, read_only=False)
    async with SandboxedTerminals(world.settings, grouped).open(place) as terminal, asyncio.timeout(60):
        await terminal.write(f"{greedy(python)}\n".encode())
        while await terminal.read():
            pass
        assert isinstance(terminal, Terminal)
        assert f"more than {MOST} MiB of memory in total" in await terminal.excess()
