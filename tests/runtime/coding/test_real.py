"""Each coding agent for real, in the sandbox, against a mock of vendors that others wrote.

`make coding-agents` installs them and runs this. By hand: `scripts/coding-agents FOLDER` installs, CODING_AGENTS=FOLDER
says where, and one that is missing there is a failure. CODING_AGENTS_TABLE=FILE keeps what was measured.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from models.staff.crews import NetworkMode
from models.staff.runs import ChatEventType as E
from resolvers.instance.prices import price
from resolvers.rules.agent_folders import HOME
from runtime.coding.adapter import CodingAdapter, Equipment, Model
from runtime.coding.choice import VENDORS
from runtime.coding.declaration import FILES, FOLDER, Task
from runtime.coding.installed import KNOWN, Missing, find
from runtime.egress import EgressGateway, Policy
from runtime.runs.job import Charge, Outcome
from runtime.runs.keys import ProviderKey
from runtime.sandbox import Workdir
from runtime.sandbox.namespace import Bubblewrap
from tests.npm import node_modules
from tests.runtime.adapters.sinks import Journal, job

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PROVIDERS = Path(__file__).parents[1] / "adapters" / "package.json"
KEY = "good-key-0123456789"
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 34,
    "total_tokens": 1234,
    "input_tokens": 1200,
    "output_tokens": 34,
}


@dataclass(frozen=True)
class Real:
    """`tool`: what its model calls to run a command, and the argument that holds it."""

    provider: LlmProvider
    model: str
    base: str
    tool: str
    argument: str
    extra: tuple[tuple[str, Any], ...] = ()


SAID = (("description", "look"),)
REAL = {
    CliAdapter.CLAUDE_CODE: Real(LlmProvider.ANTHROPIC, "claude-sonnet-4-5", "", "Bash", "command", SAID),
    CliAdapter.CODEX_CLI: Real(LlmProvider.OPENAI, "gpt-5.2-codex", "/v1", "exec_command", "cmd"),
    CliAdapter.GEMINI_CLI: Real(LlmProvider.GOOGLE, "gemini-2.5-pro", "", "run_shell_command", "command", SAID),
    CliAdapter.OPENCODE: Real(LlmProvider.OPENAI, "gpt-5", "/v1", "bash", "command", SAID),
}


def _fixtures() -> list[dict[str, Any]]:
    made = []
    for name, real in REAL.items():
        call = {
            "name": real.tool,
            "arguments": {real.argument: "echo found > made.txt; cat made.txt", **dict(real.extra)},
        }
        waits = {"name": real.tool, "arguments": {real.argument: "tail -f /dev/null", **dict(real.extra)}}
        said = {"content": "I will look.", "usage": USAGE}
        answered = {"match": {"userMessage": f"{name} LOOK", "hasToolResult": True}}
        made += [
            answered | {"response": {"content": "It is there.", "usage": USAGE}},
            {"match": {"userMessage": f"{name} LOOK"}, "response": said | {"toolCalls": [call]}},
            {"match": {"userMessage": f"{name} LOOP"}, "response": said | {"toolCalls": [call]}},
            {"match": {"userMessage": f"{name} WAIT"}, "response": said | {"toolCalls": [waits]}},
        ]
    return [*made, {"match": {}, "response": {"content": "Hello.", "usage": USAGE}}]


@pytest.fixture(scope="module")
def mock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mocked(request.config, tmp_path_factory.mktemp("mock"), _fixtures()) as address:
        yield address


@contextlib.contextmanager
def mocked(config: pytest.Config, folder: Path, answers: list[dict[str, Any]]) -> Iterator[str]:
    """The address of the mock."""
    if shutil.which("npm") is None:
        pytest.skip("THE MOCK OF VENDORS WAS NOT RUN: it needs node and npm on the PATH")
    program = node_modules(config, PROVIDERS, "providers-of-coding-agents") / ".bin" / "llmock"
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": answers}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [program, "-p", str(port), "-f", fixtures],
        env={**os.environ, "AIMOCK_API_KEYS": KEY},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=list(REAL))
def real(request: pytest.FixtureRequest, mock: str, boundary: Bubblewrap, tmp_path: Path) -> CodingAdapter:
    adapter: CliAdapter = request.param
    folder = os.environ.get("CODING_AGENTS")
    found = find(KNOWN[adapter], Path(folder) if folder else None)
    if folder is None:
        pytest.skip(f"{found.agent.name} WAS NOT RUN: make coding-agents installs and runs it")
    assert not isinstance(found, Missing), f"{found.agent.name}: {found.why}"
    assert found.version == found.agent.version
    told = REAL[adapter]
    access = ProviderKey(SecretStr(KEY), None)
    model = Model(told.provider, "Vendor", told.model, f"{mock}{told.base}", access, "KEY")
    network = EgressGateway(Policy(NetworkMode.restricted))
    return CodingAdapter(found.agent, model, Equipment(found, boundary, Workdir.of_job(tmp_path, job("x")), network))


async def ask(real: CodingAdapter, message: str, journal: Journal, **limits: Any) -> Outcome:
    text = f"{real.agent.adapter} {message}"
    return await real.run(replace(job(text, **limits), chat_id="c1"), journal.attempt())


@dataclass(frozen=True)
class Measured:
    agent: str
    version: str
    turn: str
    frames: str
    cost: str
    seconds: float
    bare: float | None = None

    def __str__(self) -> str:
        over = "" if self.bare is None else f"{self.seconds - self.bare:+.1f}"
        bare = "" if self.bare is None else f"{self.bare:.1f}"
        cells = (self.agent, self.version, self.turn, self.frames, self.cost, f"{self.seconds:.1f}", bare, over)
        return f"| {' | '.join(cells)} |"


@pytest.fixture(scope="module")
def table() -> Iterator[list[Measured]]:
    made = list[Measured]()
    yield made
    if made and (file := os.environ.get("CODING_AGENTS_TABLE")):
        Path(file).write_text(HEAD + "\n".join(map(str, made)) + "\n")


HEAD = """# Coding agents, run for real

Against a mock of the vendors' APIs, in the sandbox, by `make coding-agents`. Seconds are of the whole turn; bare: of the same command line without a sandbox, a gateway or a run, called right after it.
A cancelled turn is counted from the cancellation to its end. Costs are of the mock's tokens by the vendors' prices, but for the turn over its budget, whose calls are given a price of $0.001.

| coding agent | version | turn | frames | cost | seconds | bare | over it |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""  # noqa: E501


def measured(real: CodingAdapter, turn: str, journal: Journal, began: float, bare: float | None = None) -> Measured:
    seconds = time.monotonic() - began
    cost = f"${sum(cost_of(real, charge) for charge in journal.charges.values()):.6f}"
    agent, version = real.agent.name, real.equipment.installed.version
    return Measured(agent, version, turn, ", ".join(journal.kinds), cost, seconds, bare)


def cost_of(real: CodingAdapter, charge: Charge) -> float:
    """As it was booked; else by the vendor's prices, as the mock has none."""
    if charge.cost_micros is not None:
        return charge.cost_micros / 1_000_000
    read, wrote = charge.input_tokens, charge.output_tokens
    return price(VENDORS[real.model.provider][1], charge.model, read=read, wrote=wrote) or 0.0


def called_bare(real: CodingAdapter, folder: Path) -> float:
    """Seconds of a turn of text without us: on this machine, with the mock's own address and key."""
    etc, home = folder / "etc", folder / "home"
    home.mkdir(parents=True)
    (folder / "work").mkdir()
    stand_in = real.model.access.key
    assert stand_in is not None
    task = Task(
        f"{real.agent.adapter} hello", "You write clearly.", real.model.name, real.model.provider, str(uuid.uuid4()),
        False, ToolProfile.CODING, real.model.address, stand_in.get_secret_value(),
    )  # fmt: skip

    modules = real.equipment.installed.mounts[0].source

    def here(text: str) -> str:
        for there, place in ((FILES, etc), ("/etc/codex", etc / "codex"), (HOME, home), (FOLDER, modules)):
            text = text.replace(there, str(place))
        return text

    line = real.agent.command(task)
    for path, content in line.files.items():
        file = Path(here(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(here(content))
    environment = {name: here(value) for name, value in line.environment.items()}
    environment |= {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(etc / "codex"), "IS_SANDBOX": "1"}
    (etc / "codex").mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    ended = subprocess.run(
        [here(part) for part in line.argv(real.equipment.installed.argv)], input=line.prompt or task.prompt, text=True,
        capture_output=True, env=environment, cwd=folder / "work", timeout=120, check=False,
    )  # fmt: skip
    assert "Hello." in ended.stdout, ended.stdout + ended.stderr
    return time.monotonic() - began


async def test_a_conversation_of_two_turns(
    real: CodingAdapter, journal: Journal, table: list[Measured], tmp_path: Path
) -> None:
    began = time.monotonic()
    assert (await ask(real, "hello", journal)).error is None
    made = measured(real, "text", journal, began)
    table.append(replace(made, bare=await asyncio.to_thread(called_bare, real, tmp_path / "bare")))
    assert journal.text == "Hello."
    assert [(one.input_tokens, one.output_tokens) for one in journal.charges.values()][-1] == (1200, 34)
    again = Journal()
    assert (await ask(real, "once more", again)).error is None
    assert (again.text, len(again.charges)) == ("Hello.", 1)


async def test_a_turn_with_a_tool(real: CodingAdapter, journal: Journal, table: list[Measured]) -> None:
    began = time.monotonic()
    assert (await ask(real, "LOOK", journal)).error is None
    table.append(measured(real, "tool calls", journal, began))
    [call] = journal.of(E.tool_call)
    [result] = journal.of(E.tool_result)
    assert "made.txt" in json.dumps(call.metadata)
    assert result.content.strip().endswith("found")
    assert journal.text == "I will look.It is there."
    assert [one.input_tokens for one in journal.charges.values()] == [1200, 1200]


async def test_a_turn_over_its_budget(
    real: CodingAdapter, journal: Journal, monkeypatch: pytest.MonkeyPatch, table: list[Measured]
) -> None:
    async def cost(*_: object) -> float:
        return 0.001

    monkeypatch.setattr(CodingAdapter, "cost", cost)
    began = time.monotonic()
    outcome = await ask(real, "LOOP", journal, max_cost=1500)
    table.append(measured(real, "over budget", journal, began))
    assert "that its budget left to it" in (outcome.error or "")
    assert (len(journal.charges), journal.result["total_cost_usd"]) == (2, 0.002)


async def test_a_turn_that_is_cancelled(real: CodingAdapter, journal: Journal, table: list[Measured]) -> None:
    task = asyncio.create_task(ask(real, "WAIT", journal))
    async with asyncio.timeout(120):
        while not journal.charges and not task.done():
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # until the command runs
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    table.append(measured(real, "cancelled", journal, began))
    assert time.monotonic() - began < 2
    left = subprocess.run(["pgrep", "-f", "^/opt/coding-agent"], capture_output=True, check=False)
    assert left.stdout == b""
