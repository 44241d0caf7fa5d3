"""Each coding agent for real, in the sandbox, against a mock of vendors that others wrote.

`scripts/coding-agents FOLDER` installs them, and CODING_AGENTS=FOLDER says where; the mock is the one of the providers.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.agents import CliAdapter, LlmProvider
from models.crews import NetworkMode
from models.runs import ChatEventType as E
from runtime.coding.adapter import CodingAdapter, Equipment, Model
from runtime.coding.installed import KNOWN, Missing, find
from runtime.egress import Gateway, Policy
from runtime.job import Outcome
from runtime.keys import ProviderKey
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
    if shutil.which("npm") is None:
        pytest.skip("THE MOCK OF VENDORS WAS NOT RUN: it needs node and npm on the PATH")
    program = node_modules(request.config, PROVIDERS, "providers-of-coding-agents") / ".bin" / "llmock"
    fixtures = tmp_path_factory.mktemp("mock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": _fixtures()}))
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
    if isinstance(found, Missing):
        pytest.skip(f"{found.agent.name} WAS NOT RUN: scripts/coding-agents FOLDER, and CODING_AGENTS=FOLDER")
    told = REAL[adapter]
    access = ProviderKey(SecretStr(KEY), None)
    model = Model(told.provider, "Vendor", told.model, f"{mock}{told.base}", access, "KEY")
    network = Gateway(Policy(NetworkMode.restricted))
    return CodingAdapter(found.agent, model, Equipment(found, boundary, Workdir.of_job(tmp_path, job("x")), network))


async def ask(real: CodingAdapter, message: str, journal: Journal, **limits: Any) -> Outcome:
    text = f"{real.agent.adapter} {message}"
    return await real.run(replace(job(text, **limits), chat_id="c1"), journal.attempt())


async def test_a_conversation_of_two_turns(real: CodingAdapter, journal: Journal) -> None:
    assert (await ask(real, "hello", journal)).error is None
    assert journal.text == "Hello."
    assert [(one.input_tokens, one.output_tokens) for one in journal.charges.values()][-1] == (1200, 34)
    again = Journal()
    assert (await ask(real, "once more", again)).error is None
    assert (again.text, len(again.charges)) == ("Hello.", 1)


async def test_a_turn_with_a_tool(real: CodingAdapter, journal: Journal) -> None:
    assert (await ask(real, "LOOK", journal)).error is None
    [call] = journal.of(E.tool_call)
    [result] = journal.of(E.tool_result)
    assert "made.txt" in json.dumps(call.metadata)
    assert result.content.strip().endswith("found")
    assert journal.text == "I will look.It is there."
    assert [one.input_tokens for one in journal.charges.values()] == [1200, 1200]


async def test_a_turn_over_its_budget(real: CodingAdapter, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cost(*_: object) -> float:
        return 0.001

    monkeypatch.setattr(CodingAdapter, "cost", cost)
    outcome = await ask(real, "LOOP", journal, max_cost=1500)
    assert "that its budget left to it" in (outcome.error or "")
    assert (len(journal.charges), journal.result["total_cost_usd"]) == (2, 0.002)


async def test_a_turn_that_is_cancelled(real: CodingAdapter, journal: Journal) -> None:
    task = asyncio.create_task(ask(real, "WAIT", journal))
    async with asyncio.timeout(120):
        while not journal.charges and not task.done():
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # until the command runs
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 2
    left = subprocess.run(["pgrep", "-f", "^/opt/coding-agent"], capture_output=True, check=False)
    assert left.stdout == b""
