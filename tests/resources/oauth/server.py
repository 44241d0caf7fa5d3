"""An MCP server and its authorization server on loopback, which do as they are told, also what they should not do."""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

RESOURCE, SERVER = "/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server"
Answer = tuple[int, Any]


@dataclass
class Authorities:
    """`resource`, `metadata`, `registration` and `token` change what is answered; `asked` is what came, in order. While
    there is a `hold`, nobody is told of a token.
    """

    url: str = ""
    resource: dict[str, Any] | None = field(default_factory=dict)
    metadata: dict[str, Any] | None = field(default_factory=dict)
    registration: Answer = (201, {"client_id": "registered", "client_secret": "canary-of-the-client"})
    token: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    hold: asyncio.Event | None = None
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Authorities"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    def to(self, path: str) -> list[dict[str, Any]]:
        return [body for _, called, body in self.asked if called == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = lines[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
            sent = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
            body = json.loads(sent) if sent.startswith("{") else dict(parse_qsl(sent))
            path = urlsplit(target).path
            self.asked.append((method, path, body))
            if path == "/token" and self.hold is not None:
                await self.hold.wait()
            status, said = self._answer(path)
            text = said if isinstance(said, bytes) else json.dumps(said).encode()
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + text)
            await writer.drain()
        writer.close()

    def _answer(self, path: str) -> Answer:
        if path == RESOURCE + "/mcp" and self.resource is not None:
            told = {"resource": f"{self.url}/mcp", "authorization_servers": [self.url]}
            return 200, told | self.resource
        if path == SERVER and self.metadata is not None:
            told = {"issuer": self.url, "authorization_endpoint": f"{self.url}/authorize"}
            told |= {"token_endpoint": f"{self.url}/token", "registration_endpoint": f"{self.url}/register"}
            extra = {"scopes_supported": ["read", "write"], "code_challenge_methods_supported": ["S256"]}
            return 200, {k: v for k, v in (told | extra | self.metadata).items() if v is not None}
        if path == "/register":
            return self.registration
        if path == "/token":
            told = {"access_token": "canary-access", "refresh_token": "canary-refresh", "expires_in": 3600}
            return self.status, {k: v for k, v in (told | self.token).items() if v is not None}
        return 404, {"error": "not found"}


def asked_for(auth_url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(auth_url).query).items()}


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
