"""A chat in which a model uses a tool of a real MCP server with a credential of the vault: sockets from end to end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Database
from tests.faults.servers import KEYS, addresses
from tests.live.sockets import Frame, client_of
from tests.process.commands import environment, serving
from tests.resources.integrations.mcp_hosts import Locked, official
from tests.runtime.adapters.vendors import Call, Says, Vendor, vendor
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
TOKEN = "canary/bearer+of-the-server=="
PATIENCE = 120.0  # seconds: a process has just begun, and others may have the machine
SHOUT = "mcp__harbour__shout"
SEND = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { runId } }"


@dataclass
class Harbour:
    """A process of `crewship serve`, the model it asks, and an agent that is bound to a locked MCP server."""

    world: World
    model: Vendor
    locked: Locked
    crew: str
    agent: str
    tools: str

    async def rest(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.world.rest(self.world.owner, method, path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def chat(self, *answers: Says) -> tuple[list[Frame], Any]:
        """What is heard of the answer on the socket, and the run's id."""
        self.model.says(*answers)
        chat = await self.rest("POST", f"/api/v1/agents/{self.agent}/chats", {"title": "Fog"})
        async with client_of(self.world, self.world.owner) as socket:
            await socket.subscribe(f"session:{chat['id']}")
            await socket.settle()
            sent = await self.world.graphql(
                self.world.owner, SEND, {"i": {"chatId": chat["id"], "content": "Shout, please."}}
            )
            await socket.until(lambda: any(_kind(frame) == "done" for frame in socket.heard), PATIENCE)
            return list(socket.heard), sent["data"]["sendMessage"]["runId"]


def _kind(frame: Frame) -> Any:
    return (frame.get("payload") or {}).get("type") if frame["type"] == "chat_event" else None


def _events(frames: list[Frame], kind: str) -> list[Any]:
    return [frame["payload"] for frame in frames if _kind(frame) == kind]


@pytest.fixture
async def harbour(database: Database, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Harbour]:
    locked = Locked(TOKEN)
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(world_on(database, tmp_path))
        model = await stack.enter_async_context(vendor("anthropic"))
        urls = stack.enter_context(official(locked))
        told = {
            "CREWSHIP_LOG_LEVEL": "error", "CREWSHIP_RUN_ADAPTER": "native", "ANTHROPIC_BASE_URL": model.base_url,
            "ANTHROPIC_API_KEY": "sk-ant-of-tests", "CREWSHIP_MCP_ALLOW_PRIVATE": "true", "CREWSHIP_MCP_STDIO": "true",
        }  # fmt: skip
        env = environment(tmp_path / "process", **KEYS | addresses(database) | told)
        served = await asyncio.to_thread(stack.enter_context, serving(env=env))
        made = Harbour(replace(world, url=f"http://127.0.0.1:{served.port}"), model, locked, "", "", "")
        crew = await made.rest("POST", "/api/v1/crews", {"name": "Crew", "slug": "crew"})
        agent = await made.rest("POST", "/api/v1/agents", {"name": "Ada", "slug": "ada", "crew_id": crew["id"]})
        secret = await made.rest("POST", "/api/v1/credentials", {"name": "key", "type": "SECRET", "value": TOKEN})
        path = f"/api/v1/crews/{crew['id']}/integrations"
        server = await made.rest("POST", path, {"name": "harbour", "endpoint": urls["mcp"]})
        tie = {"mcp_server_id": server["id"], "mcp_server_scope": "crew", "credential_id": secret["id"]}
        await made.rest("POST", f"/api/v1/agents/{agent['id']}/integrations", tie)
        made.crew, made.agent, made.tools = crew["id"], agent["id"], f"{path}/{server['id']}/tools"
        yield made


@pytest.mark.slow
async def test_a_chat_with_a_tool_of_a_real_server(harbour: Harbour) -> None:
    called = Says(calls=(Call.of("c1", SHOUT, text="ahoy"),), usage=(1000, 50, 0))
    frames, run = await harbour.chat(called, Says(("It said AHOY.",), usage=(1200, 20, 0)))
    [init] = [one for one in _events(frames, "system") if one["metadata"].get("subtype") == "init"]
    assert init["metadata"]["mcp_servers"] == [{"name": "harbour", "status": "connected"}]
    assert SHOUT in init["metadata"]["tools"]
    [call], [result] = _events(frames, "tool_call"), _events(frames, "tool_result")
    assert (call["metadata"]["tool_name"], "AHOY" in result["content"]) == (SHOUT, True)
    assert set(harbour.locked.seen) == {TOKEN}, "it was shown the credential, and each time"
    assert TOKEN not in str(frames)
    assert TOKEN not in str(harbour.model.asked)
    [recorded] = await harbour.rest("GET", "/api/v1/mcp-tool-calls")
    assert (recorded["tool_name"], recorded["status"], recorded["agent_id"]) == ("shout", "success", harbour.agent)
    models = await harbour.rest("GET", "/api/v1/model-calls")
    assert [one["run_id"] for one in models] == [run, run]
    [told] = _events(frames, "result")
    assert {(one["input_tokens"], one["output_tokens"]) for one in models} == {(1000, 50), (1200, 20)}
    assert told["metadata"]["usage"]["output_tokens"] == 70
    assert {one["cost_usd"] for one in models} == {None}, "nobody knows the price of a model on loopback"

    await harbour.rest("POST", f"{harbour.tools}/refresh", {})
    await harbour.rest("PATCH", f"{harbour.tools}/shout", {"enabled": False})
    seen = len(harbour.locked.seen)
    frames, _ = await harbour.chat(called, Says(("It would not.",)))
    [init] = [one for one in _events(frames, "system") if one["metadata"].get("subtype") == "init"]
    assert SHOUT not in init["metadata"]["tools"]
    assert all(tool["name"] != SHOUT for tool in harbour.model.asked[-1].get("tools", []))
    [refused] = _events(frames, "tool_result")
    assert (refused["metadata"]["is_error"], "AHOY" in refused["content"]) == (True, False)
    assert len(harbour.locked.seen) > seen, "its other tools were asked for"
    assert len(await harbour.rest("GET", "/api/v1/mcp-tool-calls")) == 1


@pytest.mark.slow
async def test_a_chat_with_a_tool_of_a_program(harbour: Harbour) -> None:
    """Behind stdio, in the sandbox, with a credential that its own text names."""
    source = Path(__file__).with_name("stdio_server.py").read_text()
    body = {
        "name": "local", "transport": "stdio", "command": "/usr/bin/python3",
        "args_json": json.dumps(["-c", source, "environment"]), "env_json": '{"TEXT": "key=${KEY}"}',
    }  # fmt: skip
    await harbour.rest("POST", f"/api/v1/crews/{harbour.crew}/integrations", body)
    called = Says(calls=(Call.of("c1", "mcp__local__speak"),), usage=(1000, 50, 0))
    frames, _ = await harbour.chat(called, Says(("It has told.",), usage=(1200, 20, 0)))
    [init] = [one for one in _events(frames, "system") if one["metadata"].get("subtype") == "init"]
    assert {"name": "local", "status": "connected"} in init["metadata"]["mcp_servers"]
    [result] = _events(frames, "tool_result")
    assert '"TEXT": "key=' in result["content"]
    assert '"TEXT": "key="' not in result["content"], "it was filled in, and taken out of what is shown"
    assert TOKEN not in str(frames)
    assert TOKEN not in str(harbour.model.asked)
    [recorded] = await harbour.rest("GET", "/api/v1/mcp-tool-calls")
    assert (recorded["tool_name"], recorded["status"]) == ("speak", "success")
