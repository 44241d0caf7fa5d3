"""What both floors share: a bare ASGI callable that reads the request by hand, and a pool of 8 asyncpg connections.

The connection comes from libpq's environment. Nothing is fit for use beyond the cases: no validation, no errors.
"""

import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import asyncpg
import orjson

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Connection = Any  # asyncpg's, or its pool's proxy of one

POOL_SIZE = int(os.environ["POOL_SIZE"])
JSON = (b"content-type", b"application/json")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
LIST_PATH = "/api/v1/crews"


def new_id() -> str:
    number, digits = secrets.randbits(124), []
    for _ in range(24):
        number, digit = divmod(number, 36)
        digits.append(DIGITS[digit])
    return "c" + "".join(digits)


async def fetch_json(connection: Connection, statement: str, *values: str) -> bytes:
    """A column of type json as PostgreSQL wrote it."""
    answer: bytes = await connection.fetchval(statement, *values)
    return answer


async def prepare(connection: Connection) -> None:
    codecs = {"format": "binary", "schema": "pg_catalog"}
    await connection.set_type_codec(
        "jsonb",
        **codecs,
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )
    await connection.set_type_codec("json", **codecs, encoder=bytes, decoder=bytes)


async def reply(send: Send, body: bytes, status: int = 200) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [JSON, (b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> Any:
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return orjson.loads(body)


def token_hash(scope: Scope) -> bytes:
    """SHA-256 of the bearer token."""
    authorization = next(value for name, value in scope["headers"] if name == b"authorization")
    return hashlib.sha256(authorization[7:]).digest()


class Floor(ABC):
    """The ASGI application; a subclass says how each answer is made."""

    pool: asyncpg.Pool

    async def open(self, **options: Any) -> None:
        self.pool = await asyncpg.create_pool(
            min_size=POOL_SIZE, max_size=POOL_SIZE, max_inactive_connection_lifetime=0, init=prepare, **options
        )

    @abstractmethod
    async def user_of(self, connection: Connection, token: bytes, workspace: str) -> str | None:
        """The member's user id; None for a bad token or another's workspace."""

    @abstractmethod
    async def crews(self, connection: Connection, workspace: str) -> bytes: ...

    @abstractmethod
    async def crew(self, connection: Connection, workspace: str, crew: str) -> bytes: ...

    @abstractmethod
    async def create_issue(self, connection: Connection, workspace: str, user: str, issue: dict[str, Any]) -> bytes: ...

    @abstractmethod
    async def update_crew(
        self, connection: Connection, workspace: str, user: str, crew: str, changes: dict[str, Any]
    ) -> bytes: ...

    @abstractmethod
    async def graphql_crews(self, connection: Connection, workspace: str) -> bytes: ...

    @abstractmethod
    async def graphql_crew(self, connection: Connection, workspace: str, crew: str) -> bytes: ...

    @abstractmethod
    async def graphql_roots(self, connection: Connection, workspace: str, crew: str) -> bytes: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.lifespan(receive, send)
        token, path = token_hash(scope), scope["path"]
        if path == "/graphql":
            return await self.graphql(token, await read_body(receive), send)
        workspace = scope["query_string"][len("workspace_id=") :].decode()
        sent: dict[str, Any] = await read_body(receive) if scope["method"] != "GET" else {}
        async with self.pool.acquire() as connection:
            user = await self.user_of(connection, token, workspace)
            if user is None:
                return await reply(send, b"{}", 403)
            if scope["method"] == "POST":
                body, status = await self.create_issue(connection, workspace, user, sent), 201
            elif scope["method"] == "PATCH":
                body, status = (
                    await self.update_crew(connection, workspace, user, path[len(LIST_PATH) + 1 :], sent),
                    200,
                )
            elif path == LIST_PATH:
                body, status = await self.crews(connection, workspace), 200
            else:
                body, status = await self.crew(connection, workspace, path[len(LIST_PATH) + 1 :]), 200
        await reply(send, body, status)

    async def graphql(self, token: bytes, request: dict[str, Any], send: Send) -> None:
        """Knows the bench's documents by their names."""
        variables = request["variables"]
        workspace = variables["ws"]
        async with self.pool.acquire() as connection:
            if await self.user_of(connection, token, workspace) is None:
                return await reply(send, b"{}", 403)
            if request["query"].startswith("query Crews("):
                body = await self.graphql_crews(connection, workspace)
            elif request["query"].startswith("query Roots("):
                body = await self.graphql_roots(connection, workspace, variables["id"])
            else:
                body = await self.graphql_crew(connection, workspace, variables["id"])
        await reply(send, body)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.open()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.pool.close()
                return await send({"type": "lifespan.shutdown.complete"})
