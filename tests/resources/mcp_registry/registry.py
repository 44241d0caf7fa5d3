"""A registry of MCP servers on loopback, which answers as the public one does: pages of entries behind cursors."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

OFFICIAL = "io.modelcontextprotocol.registry/official"


def entry(name: str, *, latest: bool = True, status: str = "active", **server: Any) -> dict[str, Any]:
    told = {"name": name, "description": f"Server {name}", "version": "1.0.0", **server}
    return {"server": told, "_meta": {OFFICIAL: {"status": status, "isLatest": latest}}}


TOKEN = {"name": "ACME_TOKEN", "description": "A token", "isRequired": True, "isSecret": True}
FILES = entry(
    "acme/files",
    repository={"url": "https://github.com/acme/files", "source": "github"},
    packages=[
        {
            "registryType": "npm",
            "identifier": "@acme/files",
            "version": "1.0.0",
            "transport": {"type": "stdio"},
            "runtimeHint": "npx",
            "environmentVariables": [TOKEN],
        }
    ],
)
REMOTE = entry(
    "acme/remote",
    remotes=[
        {
            "type": "streamable-http",
            "url": "https://mcp.example.com/mcp",
            "headers": [{"name": "Authorization", "isSecret": True}],
        }
    ],
)
OLD, LAST = entry("acme/old", latest=False), entry("zeta/last", status="deprecated", websiteUrl="https://zeta.example")
SNAPSHOT = [[FILES, REMOTE, OLD], [LAST]]


class Registry:
    """`pages`: what it lists; `failing`: how many of the next requests it answers with 500."""

    def __init__(self, pages: list[list[Any]] | None = None) -> None:
        self.pages: list[list[Any]] = SNAPSHOT if pages is None else pages
        self.failing, self.asked, self.url = 0, list[dict[str, list[str]]](), ""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Registry"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            query = parse_qs(urlsplit(target).query)
            self.asked.append(query)
            status, body = self._answer(urlsplit(target).path, query)
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    def _answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        if self.failing or path != "/v0/servers":
            self.failing = max(self.failing - 1, 0)
            return 500, b"no"
        number = int(query.get("cursor", ["page0"])[0].removeprefix("page"))
        more = {"nextCursor": f"page{number + 1}"} if number + 1 < len(self.pages) else {}
        return 200, json.dumps({"servers": self.pages[number], "metadata": {"count": 1} | more}).encode()
