"""The runner of the public command line's commands, with a program in its place that asks as that one does."""

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.staff.crews import Crew
from tests.architecture.source import ROOT
from tests.world import World

pytestmark = pytest.mark.anyio

SCRIPT = ROOT / "scripts" / "replay_cli.py"
FAKE = """#!{python}
import json, os, sys, urllib.request
words, place = sys.argv[1:], os.environ["CREWSHIP_WORKSPACE"]
if words[:2] != ["workspace", "get"]:
    sys.exit(0 if words[0] != "fails" else 3)
named = words[2] if len(words) > 2 else place
address = os.environ["CREWSHIP_SERVER"] + "/api/v1/workspaces/" + named + "?workspace_id=" + place
request = urllib.request.Request(address, headers={{"authorization": "Bearer " + os.environ["CREWSHIP_TOKEN"]}})
try:
    print(json.load(urllib.request.urlopen(request))["slug"])
except urllib.error.HTTPError as error:
    sys.exit("HTTP %d" % error.code)
"""


@pytest.fixture(scope="module")
def runner() -> Any:
    specification = importlib.util.spec_from_file_location("replay_cli", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["replay_cli"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
async def place(world: World, runner: Any) -> Any:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id)
    await world.add(crew)
    return runner.Place(world.url, world.owner.token, world.workspace.id, world.workspace.slug, crew.slug)


@pytest.fixture
def fake(tmp_path: Path) -> str:
    path = tmp_path / "crewship"
    path.write_text(FAKE.format(python=sys.executable))
    path.chmod(0o700)
    return str(path)


async def run(runner: Any, fake: str, place: Any, commands: list[dict[str, Any]], directory: Path) -> list[Any]:
    return await asyncio.to_thread(lambda: list(runner.play(fake, place, commands, directory)))


async def test_a_workspace_opens_by_slug_with_its_id_beside(runner: Any, fake: str, place: Any, tmp_path: Path) -> None:
    commands = [command for command in runner.listed() if command["run"][:2] == ["workspace", "get"]]
    assert len(commands) == 3
    assert [ran.fault for ran in await run(runner, fake, place, commands, tmp_path)] == [None] * 3


async def test_what_differs_is_told(runner: Any, fake: str, place: Any, tmp_path: Path) -> None:
    commands = [
        {"run": ["fails"]},
        {"run": ["fails"], "exit": [2, 3]},
        {"run": ["works"], "exit": 1},
        {"run": ["workspace", "get"], "shows": "another"},
        {"run": ["workspace", "get", "no-such-workspace"], "shows": "x"},
    ]
    faults = [ran.fault for ran in await run(runner, fake, place, commands, tmp_path)]
    assert [fault is None for fault in faults] == [False, True, False, False, False]
    assert "HTTP 4" in faults[-1]


def test_a_binary_that_never_ends_is_given_up(runner: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "PATIENCE", 0.2)
    (ran,) = runner.play("/bin/sleep", runner.Place("", "", "", "", ""), [{"run": ["30"]}], tmp_path)
    assert "has not ended" in ran.fault


def test_every_exit_that_is_no_success_has_its_reason(runner: Any) -> None:
    assert [
        command["run"] for command in runner.listed() if command.get("exit", 0) != 0 and not command.get("why")
    ] == []


def test_without_a_binary_nothing_is_run() -> None:
    told = subprocess.run([sys.executable, str(SCRIPT)], env={"PATH": ""}, capture_output=True, text=True, check=True)
    assert "not run" in told.stdout
