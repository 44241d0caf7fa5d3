"""Our own agent against a mock of providers that others wrote: the same wire, read by somebody else."""

import asyncio
import fcntl
import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from models.staff.agents import LlmProvider
from models.staff.runs import ChatEventType
from resolvers.instance.settings import Settings
from resolvers.rules.content_scan import scan
from resolvers.rules.redaction import Redactor
from runtime.adapters import adapter_for
from runtime.adapters.loop import Backoff
from runtime.runs.job import Failed, Outcome
from runtime.runs.keys import EnvironmentKeys
from tests.runtime.adapters.agents import Lookup
from tests.runtime.adapters.sinks import Journal, job

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
HERE = Path(__file__).parent
NODE, NPM = shutil.which("node"), shutil.which("npm")
INSTALLATION, START = 600.0, 30.0  # seconds
KEY = "good-key-0123456789"

FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "LOOK", "hasToolResult": True}, "response": {"content": "The answer is 42."}},
    {
        "match": {"userMessage": "LOOK"},
        "response": {
            "content": "I will look.",
            "toolCalls": [{"name": "lookup", "arguments": {"q": "a"}}, {"name": "lookup", "arguments": {"q": "b"}}],
        },
    },
    {
        "match": {"userMessage": "THINK"},
        "response": {
            "reasoning": "Let me think.",
            "content": "A long enough answer to come in several pieces, one after the other.",
            "usage": {
                "prompt_tokens": 1200,
                "completion_tokens": 34,
                "total_tokens": 1234,
                "input_tokens": 1200,
                "output_tokens": 34,
            },
        },
    },
    {"match": {"userMessage": "CUT"}, "response": {"content": "word " * 60}, "truncateAfterChunks": 4, "latency": 20},
    *(
        {
            "match": {"userMessage": f"ERROR {status}"},
            "response": {"error": {"message": f"told to say {status}", "type": type}, "status": status},
        }
        for status, type in ((400, "invalid_request_error"), (429, "rate_limit_error"), (500, "api_error"))
    ),
    {"match": {}, "response": {"content": "Hello."}},
]


@pytest.fixture(scope="session")
def mock(request: pytest.FixtureRequest) -> Path:
    """The program, installed once a version into pytest's cache; workers of one run wait for the one that installs."""
    if NODE is None or NPM is None:
        pytest.skip("THE MOCK OF PROVIDERS WAS NOT RUN: it needs node and npm (Node.js 20 or newer) on the PATH")
    wanted = hashlib.sha256((HERE / "package.json").read_bytes() + (HERE / ".npmrc").read_bytes()).hexdigest()
    folder = request.config.cache.mkdir("providers")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(folder / "node_modules", ignore_errors=True)
            for name in ("package.json", ".npmrc"):
                shutil.copy(HERE / name, folder / name)
            made = subprocess.run(
                [NPM, "install", "--no-package-lock"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=INSTALLATION,
                check=False,
            )
            if made.returncode:
                pytest.fail(f"npm could not install the mock:\n{made.stdout}{made.stderr}", pytrace=False)
            done.write_text(wanted)
    return folder / "node_modules" / ".bin" / "llmock"


@pytest.fixture(scope="module")
async def url(mock: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("mock")
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"PATH": f"{Path(str(NODE)).parent}:/usr/bin:/bin", "HOME": str(folder), "AIMOCK_API_KEYS": KEY}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(mock),
            "-p",
            str(port),
            "-f",
            str(fixtures),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await _answering(f"http://127.0.0.1:{port}", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answering(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START), httpx2.AsyncClient(verify=False) as client:
        while process.returncode is None:
            try:
                await client.get(f"{url}/__aimock/journal")
                return
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
    pytest.fail(f"the mock did not start:\n{log.read_text()}")


async def run(
    url: str, provider: LlmProvider, journal: Journal, prompt: str, tool: Lookup | None = None, key: str = KEY
) -> Outcome:
    settings = Settings(
        run_adapter="native",
        openai_api_key=SecretStr(key),
        openai_base_url=f"{url}/v1",
        anthropic_api_key=SecretStr(key),
        anthropic_base_url=url,
    )
    work = job(prompt, provider=provider)
    tools = {tool.name: tool} if tool else {}
    backoff = Backoff(retries=1, first=0.05)
    adapter = await adapter_for(
        work,
        settings,
        keys=EnvironmentKeys(settings),
        tools=tools,
        scan=scan,
        redactor=Redactor([key]),
        backoff=backoff,
    )
    return await adapter.run(work, journal.attempt())


both = pytest.mark.parametrize("provider", [LlmProvider.OPENAI, LlmProvider.ANTHROPIC])


@both
async def test_text_and_thinking(url: str, journal: Journal, provider: LlmProvider) -> None:
    assert (await run(url, provider, journal, "THINK")).error is None
    assert journal.kinds == ["system", "thinking", "text", "result"]
    assert "".join(event.content for event in journal.of(ChatEventType.thinking)) == "Let me think."
    assert journal.text == "A long enough answer to come in several pieces, one after the other."
    assert len(journal.of(ChatEventType.text)) > 1
    assert (journal.result["usage"]["input_tokens"], journal.result["usage"]["output_tokens"]) == (1200, 34)


@both
async def test_tools_over_two_turns(url: str, journal: Journal, provider: LlmProvider) -> None:
    tool = Lookup()
    outcome = await run(url, provider, journal, "LOOK", tool)
    assert tool.used == [{"q": "a"}, {"q": "b"}]
    assert journal.kinds == ["system", "text", *["tool_call", "tool_result"] * 2, "text", "result"]
    assert journal.text == "I will look.The answer is 42."
    assert (outcome.error, outcome.data["num_turns"]) == (None, 2)


@both
@pytest.mark.parametrize(("status", "calls"), [(400, 1), (429, 2), (500, 2)])
async def test_errors(url: str, journal: Journal, provider: LlmProvider, status: int, calls: int) -> None:
    with pytest.raises(Failed, match=rf"\(HTTP {status}\): told to say {status}"):
        await run(url, provider, journal, f"ERROR {status}")
    assert len([event for event in journal.of(ChatEventType.system) if event.content == "api_retry"]) == calls - 1


@both
async def test_an_answer_that_is_cut(url: str, journal: Journal, provider: LlmProvider) -> None:
    with pytest.raises(Failed, match="was interrupted"):
        await run(url, provider, journal, "CUT")


@both
async def test_a_wrong_key(url: str, journal: Journal, provider: LlmProvider) -> None:
    with pytest.raises(Failed, match=r"refused the key \(HTTP 401\)") as failed:
        await run(url, provider, journal, "hello", key="wrong-key-9876543210")
    assert "wrong-key" not in str(failed.value)
