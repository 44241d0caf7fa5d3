"""A coding agent that is none, where npm would have installed a real one, and a model's server for it to ask."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.staff.agents import CliAdapter, LlmProvider
from models.staff.crews import NetworkMode
from runtime.coding.adapter import CodingAdapter, Equipment, Model
from runtime.coding.installed import KNOWN, Installed, find
from runtime.egress import EgressGateway, Policy
from runtime.runs.keys import ProviderKey
from runtime.sandbox import Workdir
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.program import Mount
from tests.runtime.adapters.sinks import Journal, job
from tests.runtime.adapters.vendors import Vendor, vendor
from tests.runtime.sandbox.machine import host_allows, programs, why_not  # noqa: F401

KEY = "sk-ant-the-key-itself-0123456789"
FAKE = Path(__file__).with_name("fake.py")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return doubles_in(tmp_path_factory.mktemp("coding-agents"))


def doubles_in(made: Path) -> Path:
    """As `npm install --prefix` leaves it."""
    made.mkdir(exist_ok=True)
    made.chmod(0o755)
    for agent in KNOWN.values():
        program = made / "node_modules" / agent.program
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{FAKE.read_text()}")
        program.chmod(0o755)
        package = made / "node_modules" / agent.package
        package.mkdir(parents=True, exist_ok=True)
        (package / "package.json").write_text('{"version": "9.9.9"}')
    return made


def showing_python(made: Any) -> Any:
    """What the double needs to run in the sandbox, and no real one does."""

    def init(self: Installed, agent: Any, version: str, argv: Any, mounts: tuple[Mount, ...]) -> None:
        made(self, agent, version, argv, (*mounts, Mount(Path(sys.base_prefix), sys.base_prefix)))

    return init


@pytest.fixture(scope="module")
async def _running(anyio_backend: str) -> AsyncIterator[Vendor]:
    async with vendor("anthropic") as made:
        yield made


@pytest.fixture
def server(_running: Vendor) -> Vendor:
    _running.reset()
    return _running


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def boundary(programs: Any, why_not: str) -> Bubblewrap:  # noqa: F811
    if why_not:
        pytest.skip(why_not)
    return Bubblewrap(programs)


@pytest.fixture
def agent(folder: Path, server: Vendor, boundary: Bubblewrap, tmp_path: Path) -> Callable[..., CodingAdapter]:
    def made(
        adapter: CliAdapter = CliAdapter.CLAUDE_CODE,
        silence: float = 60.0,
        mcp: Any = None,
        ways: Any = None,
        **given: str,
    ) -> CodingAdapter:
        found = find(KNOWN[adapter], folder)
        assert isinstance(found, Installed)
        access = ProviderKey(SecretStr(KEY), server.url)
        model = Model(LlmProvider.ANTHROPIC, "Anthropic", "claude-sonnet-4-5", server.url, access, "ANTHROPIC_API_KEY")
        workdir = Workdir.of_job(tmp_path, job("x"))
        network = EgressGateway(Policy(NetworkMode.restricted, frozenset()))
        # Also where the real one is a script of another language.
        python = Mount(Path(sys.base_prefix), sys.base_prefix)
        found = replace(found, argv=found.argv[-1:], mounts=(*found.mounts, python))
        equipment = Equipment(found, boundary, workdir, network, {"MARK": str(tmp_path), **given})
        if mcp is not None:
            equipment = replace(equipment, mcp=mcp, ways=ways)
        return CodingAdapter(KNOWN[adapter], model, equipment, silence=silence)

    return made
