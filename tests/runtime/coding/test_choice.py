"""Where a coding agent cannot work, our own loop does; where that is ruled out, the run says why."""

import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.attention.approvals import ApprovalMode
from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from resolvers.rules.consent import ConsentGate
from runtime.coding.claude_code import CLAUDE_CODE
from runtime.containers.choice import Sandboxes
from runtime.runs.job import Failed, Job, Worker
from runtime.runs.outfit import InstanceOutfit
from runtime.sandbox import Limits, Sandbox, Unconfined
from runtime.sandbox.namespace import Bubblewrap
from tests.runtime.coding.conftest import KEY
from tests.runtime.estate import Estate, estate_on

pytestmark = pytest.mark.anyio
Change = Callable[["Case"], None]


class Case:
    """A run that its coding agent could do, before it is changed."""

    def __init__(self, estate: Estate, folder: Path, sandbox: Sandbox, agent: Worker) -> None:
        self.settings = estate.settings.model_copy(
            update={"run_adapter": "auto", "coding_agents": folder, "anthropic_api_key": SecretStr(KEY)}
        )
        self.folder, self.sandbox, self.agent = folder, sandbox, agent
        self.job = Job("r1", estate.workspace.id, None, agent, "hello")

    def set(self, **settings: Any) -> None:
        self.settings = self.settings.model_copy(update=settings)

    def of(self, **agent: Any) -> None:
        self.job = replace(self.job, agent=replace(self.agent, **agent))

    @property
    def program(self) -> Path:
        return self.folder / "node_modules" / CLAUDE_CODE.program

    async def adapter(self, choice: str) -> str:
        outfit = InstanceOutfit(self.settings.model_copy(update={"run_adapter": choice}))
        outfit._sandboxes = Sandboxes(self.settings, self.sandbox)
        return (await outfit.fit(self.job)).adapter.name


@pytest.fixture
async def case(database: Any, tmp_path: Path, folder: Path, boundary: Bubblewrap) -> AsyncIterator[Case]:
    async with estate_on(database, tmp_path) as estate:
        agent = await estate.agent()
        own = shutil.copytree(folder, tmp_path / "coding-agents", symlinks=True)
        worker = Worker(agent.id, "bob", "Bob", None, None, "", CliAdapter.CLAUDE_CODE, None, None, ToolProfile.CODING)
        yield Case(estate, own, boundary, worker)


def no_sandbox(case: Case) -> None:
    case.sandbox = Unconfined(unsafe=True, limits=Limits())


def gated(case: Case) -> None:
    case.job = replace(case.job, gates=(ConsentGate("*", ApprovalMode.sync),))


def of_another_provider(case: Case) -> None:
    case.set(openai_api_key=SecretStr("sk-openai"))
    case.of(llm_provider=LlmProvider.OPENAI)


def of_another_processor(case: Case) -> None:
    case.program.write_bytes(b"\x7fELF" + bytes(14) + (40).to_bytes(2, "little") + bytes(64))


SAYS: dict[str, tuple[Change, str]] = {
    "no folder": (lambda case: case.set(coding_agents=None), "Claude Code cannot run: CREWSHIP_CODING_AGENTS"),
    "not installed": (lambda case: case.program.unlink(), "Claude Code cannot run: it is not installed."),
    "not executable": (lambda case: case.program.chmod(0o644), (
        "Claude Code cannot run: its program cannot be executed."
    )),
    "half a download": (lambda case: case.program.write_bytes(b"\x7fE"), "its program is not for this machine."),
    "another processor": (of_another_processor, "its program is not for this machine."),
    "not run by this release": (lambda case: case.of(cli_adapter=CliAdapter.CURSOR_CLI,
                                                     llm_provider=LlmProvider.ANTHROPIC), "does not run CURSOR_CLI"),
    "no sandbox": (no_sandbox, "Claude Code requires a sandbox"),
    "another provider": (of_another_provider, "Claude Code works with models of ANTHROPIC, not of OPENAI."),
    "gates": (gated, "Claude Code does not ask before it uses a tool"),
}  # fmt: skip


async def test_a_coding_agent_that_can_work_does(case: Case) -> None:
    assert [await case.adapter(choice) for choice in ("auto", "cli", "native")] == ["cli", "cli", "native"]


@pytest.mark.parametrize("why", list(SAYS))
async def test_our_own_loop_works_where_it_cannot(case: Case, why: str) -> None:
    change, says = SAYS[why]
    change(case)
    assert await case.adapter("auto") == "native"
    with pytest.raises(Failed) as failed:
        await case.adapter("cli")
    assert says in str(failed.value)
    assert str(case.folder) not in str(failed.value)


async def test_without_a_key_neither_works(case: Case) -> None:
    case.set(anthropic_api_key=None, anthropic_base_url=None, local_model=False)
    for choice in ("auto", "cli"):
        with pytest.raises(Failed, match=r"No key for ANTHROPIC is configured\. Set ANTHROPIC_API_KEY"):
            await case.adapter(choice)


@pytest.mark.parametrize("choice", ["auto", "cli"])
async def test_a_provider_that_our_loop_does_not_know_is_left_to_its_coding_agent(case: Case, choice: str) -> None:
    """What is missing is told then, and not that another provider is to be chosen."""
    case.of(cli_adapter=CliAdapter.GEMINI_CLI)
    with pytest.raises(Failed, match=r"No key for GOOGLE is configured\. Set GEMINI_API_KEY"):
        await case.adapter(choice)
    case.set(gemini_api_key=SecretStr("g-key"))
    assert await case.adapter(choice) == "cli"
    shutil.rmtree(case.folder / "node_modules" / "@google")
    with pytest.raises(Failed, match=r"Gemini CLI cannot run: it is not installed\. `crewship doctor` explains how"):
        await case.adapter(choice)
