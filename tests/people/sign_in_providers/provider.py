"""A small OpenID Connect provider on loopback, whose answers a test can spoil."""

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import RSAAlgorithm

CLIENT, SECRET = "crewship", "a secret: of/the client"
Spoil = Callable[[dict[str, Any]], Any]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key(bits: int = 2048) -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


# Made before any server runs: it takes longer than an event loop may be held.
FOREIGN, NEXT, WEAK = new_key(), new_key(), new_key(1024)


@dataclass
class Granted:
    """What a code stands for."""

    query: dict[str, str]
    claims: dict[str, Any]
    told: dict[str, Any]


@dataclass
class Issuer:
    """One of the provider's. `metadata`, `claims_of` and the rest are there to be spoiled."""

    url: str
    secret: str | None = SECRET
    key: RSAPrivateKey = field(default_factory=new_key)
    kid: str = "first"
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: Spoil = lambda claims: claims
    sign: Callable[["Issuer", dict[str, Any]], str] | None = None
    codes: dict[str, Granted] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def rotate(self, key: RSAPrivateKey = NEXT) -> None:
        self.key, self.kid = key, secrets.token_hex(4)

    def mend(self) -> None:
        self.metadata, self.claims, self.sign, self.down = {}, lambda claims: claims, None, False
        self.asked.clear()

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        } | self.metadata

    def jwks(self) -> dict[str, Any]:
        public = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [public | {"kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def grant(self, location: str, subject: str, told: dict[str, Any] | None = None, **claims: Any) -> str:
        """Somebody agrees on the page that this address shows; returns the code. `told`: at the userinfo endpoint."""
        query = dict(parse_qsl(urlsplit(location).query))
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = Granted(query, {"sub": subject} | claims, {"sub": subject} | (told or {}))
        return code

    def token(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if authorization is not None:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
            client_id, secret = (unquote_plus(part) for part in pair)
        granted = self.codes.pop(form.get("code", ""), None)  # once
        if (client_id, secret) != (CLIENT, self.secret):
            return 401, {"error": "invalid_client"}
        challenge = base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            granted is None
            or granted.query["code_challenge"] != challenge
            or granted.query["redirect_uri"] != form.get("redirect_uri")
        ):
            return 400, {"error": "invalid_grant"}
        access_token = secrets.token_urlsafe(24)
        self.tokens[access_token] = granted.told
        return 200, {
            "access_token": access_token,
            "token_type": "Bearer",
            "id_token": self.minted(granted, access_token),
        }

    def minted(self, granted: Granted, access_token: str) -> str:
        now = int(time.time())
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = self.claims(
            {
                "iss": self.url,
                "aud": CLIENT,
                "iat": now,
                "exp": now + 300,
                "nonce": granted.query["nonce"],
                "at_hash": base64url(half),
            }
            | granted.claims
        )
        if self.sign is not None:
            return self.sign(self, claims)
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.kid})


@dataclass
class Provider:
    url: str
    issuers: dict[str, Issuer] = field(default_factory=dict)

    def issuer(self, name: str, **values: Any) -> Issuer:
        if name not in self.issuers:
            self.issuers[name] = Issuer(f"{self.url}/{name}", **values)
        return self.issuers[name]

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        name, _, rest = path.lstrip("/").partition("/")
        issuer = self.issuers.get(name)
        if issuer is None:
            return 404, {}
        issuer.asked.append(rest)
        if issuer.down:
            return 503, {}
        if rest == ".well-known/openid-configuration":
            return 200, issuer.document()
        if rest == "jwks":
            return 200, issuer.jwks()
        if (method, rest) == ("POST", "token"):
            form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            return issuer.token(form, headers.get("authorization"))
        if rest == "userinfo":
            told = issuer.tokens.get(headers.get("authorization", "").removeprefix("Bearer "))
            return (401, {}) if told is None else (200, told)
        return 404, {}


@contextlib.asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    """On the loop of the tests: threads of its own would take turns from the server that is tested."""
    made = Provider("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            status, answer = made.answer(method, path, headers, body)
            text = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\nconnection: close\r\n" % status)
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(text), text))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made
