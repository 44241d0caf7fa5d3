"""The reference server that has everything, as npm has it, over both transports of HTTP."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from resolvers.instance.mcp_client import McpServer, called, offered
from resolvers.instance.outbound import Policy
from resolvers.rules.mcp_tools import shown_tools
from tests.npm import NODE, NPM, node_modules

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None or NPM is None, reason="needs node and npm"),
]
HERE = Path(__file__).parent
TRANSPORTS = {"streamableHttp": "mcp", "sse": "sse"}


@contextlib.asynccontextmanager
async def everything(config: pytest.Config, transport: str) -> AsyncIterator[McpServer]:
    modules = await asyncio.to_thread(node_modules, config, HERE / "package.json", "mcp-servers")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = modules / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    quiet = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
    environment = {**os.environ, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(str(NODE), str(program), transport, env=environment, **quiet)
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    break
                await asyncio.sleep(0.05)
        yield McpServer(f"http://127.0.0.1:{port}/{TRANSPORTS[transport]}", {}, Policy.PRIVATE_TOO)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_server_that_has_everything(request: pytest.FixtureRequest, transport: str) -> None:
    async with everything(request.config, transport) as server:
        tools = await offered(server)
        kept, left_out = shown_tools("everything", tools, {})
        assert {"echo", "get-sum"} <= {tool.name for tool in kept}
        assert (len(kept), left_out) == (len(tools), {})
        assert (await called(server, "echo", {"message": "ahoy"})).text == "Echo: ahoy"
        assert "5" in (await called(server, "get-sum", {"a": 2, "b": 3})).text
        assert (await called(server, "echo", {})).is_error
        picture = await called(server, "get-tiny-image", {})
        assert "[Omitted: image]" in picture.text
