"""What of OpenBao's HTTP API this service uses, on loopback: transit, KV version 2, tokens and AppRole.

Statuses, paths and bodies are those of its documentation (api-docs/secret/transit, api-docs/secret/kv/kv-v2,
api-docs/auth/approle). A test can seal it, take tokens back, and rotate the key.
"""

import asyncio
import base64
import contextlib
import json
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.kernel.servers import answering, response

ROOT, ROLE, SECRET_ID = "s.root-of-tests", "role-of-tests", "secret-id-of-tests"


@dataclass
class OpenBao:
    url: str = ""
    namespace: str | None = None
    sealed: bool = False
    answers: tuple[int, Any] | None = None  # whatever it is asked
    silent: bool = False
    lease: int = 3600
    versions: list[bytes] = field(default_factory=lambda: [os.urandom(32)])  # of the key `crewship`
    tokens: set[str] = field(default_factory=lambda: {ROOT})
    logins: int = 0
    asked: list[str] = field(default_factory=list)  # paths
    kv: dict[str, dict[str, Any]] = field(default_factory=dict)

    def rotate(self) -> None:
        self.versions.append(os.urandom(32))

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if self.answers is not None:
            return self.answers
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if headers.get("x-vault-namespace") != self.namespace:
            return 404, {"errors": []}
        given = json.loads(body) if body else {}
        if path == "/v1/auth/approle/login":
            return self._login(given)
        if headers.get("x-vault-token") not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        if path == "/v1/transit/encrypt/crewship":
            return self._encrypt(given)
        if path == "/v1/transit/decrypt/crewship":
            return self._decrypt(given)
        if path.startswith("/v1/transit/decrypt/"):
            return 400, {"errors": ["encryption key not found"]}
        found = self.kv.get(path) if method == "GET" else None
        if found is None:
            return 404, {"errors": []}
        return 200, {"data": {"data": found, "metadata": {"version": 1, "destroyed": False}}}

    def _login(self, given: dict[str, Any]) -> tuple[int, Any]:
        if (given.get("role_id"), given.get("secret_id")) != (ROLE, SECRET_ID):
            return 400, {"errors": ["invalid role or secret ID"]}
        self.logins += 1
        token = f"s.{secrets.token_hex(12)}"
        self.tokens.add(token)
        return 200, {"auth": {"client_token": token, "lease_duration": self.lease, "renewable": True}}

    def _encrypt(self, given: dict[str, Any]) -> tuple[int, Any]:
        nonce, version = os.urandom(12), len(self.versions)
        plain, place = (base64.b64decode(given[name]) for name in ("plaintext", "associated_data"))
        made = nonce + AESGCM(self.versions[-1]).encrypt(nonce, plain, place)
        text = f"vault:v{version}:{base64.b64encode(made).decode()}"
        return 200, {"data": {"ciphertext": text, "key_version": version}}

    def _decrypt(self, given: dict[str, Any]) -> tuple[int, Any]:
        try:
            _, version, text = given["ciphertext"].split(":")
            made, place = base64.b64decode(text), base64.b64decode(given["associated_data"])
            plain = AESGCM(self.versions[int(version[1:]) - 1]).decrypt(made[:12], made[12:], place)
        except (ValueError, IndexError, InvalidTag):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


@contextlib.asynccontextmanager
async def openbao() -> AsyncIterator[OpenBao]:
    made = OpenBao()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if made.silent:
                return
            status, answer = made.answer(method, path, headers, body)
            writer.write(response(json.dumps(answer).encode(), f"{status} of tests", "content-type: application/json"))
            await writer.drain()

    async with answering(serve) as server:
        made.url = server.url
        yield made
