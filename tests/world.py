"""The running service with two workspaces and a person of every role: what tests of operations and surfaces stand on.

`world` serves a module over a real socket on its own database. `Recorder` says what a call changed, by table.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import asyncpg
import httpx2
import pytest
import uvicorn
from pydantic import SecretStr
from sqlmodel import SQLModel

from crewship.perimeter.websocket import WebSocketProtocol
from crewship.process.app import create_app
from crewship.process.serve import LARGEST_MESSAGE
from models.base import table_of
from models.kernel import HISTORY
from models.people.auth import CliToken, User
from models.people.workspaces import Membership, Role, Workspace
from models.staff.chats import Message
from resolvers.identity.caller import Caller
from resolvers.identity.credentials import bearer
from resolvers.instance.crypto import new_cli_token
from resolvers.instance.passwords import Cost, Passwords
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings, load_settings
from tests.foreseen import Foreseen
from tests.transport import Transport

# What moves without anybody changing anything.
# lines of the journal say nothing that the rows they are of do not, and hold the time and the transaction
# a data key is made when a workspace seals for the first time
UNWATCHED = {"alembic_version", "admin_token_uses", "chat_presence", "data_keys", "journal"}
NOTED = f"SELECT * FROM instance_facts WHERE starts_with(name, '{HISTORY}')"
VOLATILE = {"sessions": {"last_used_at"}, "cli_tokens": {"last_used_at"}}


def now() -> datetime:
    return datetime.now(UTC)


def stored(model: type[SQLModel]) -> str:
    """The columns of a table that an INSERT may name: not those the database computes."""
    return ", ".join(column.name for column in table_of(model).c if column.computed is None)


@dataclass(frozen=True)
class Person:
    name: str
    user_id: str
    email: str
    token: str
    membership_id: str | None = None

    @property
    def caller(self) -> Caller:
        """A fresh claim to be this person, for calling operations directly."""
        return bearer(self.token)


@dataclass
class World:
    url: str
    settings: Settings
    database: asyncpg.Connection  # of the owner of the tables, past row-level security
    workspace: Workspace
    other: Workspace
    people: dict[str, Person] = field(default_factory=dict)
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    def __getattr__(self, name: str) -> Person:
        """`world.owner`, `.admin`, `.manager`, `.member`, `.viewer`; `.outsider` owns the other workspace."""
        try:
            return self.__dict__["people"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(name) from None

    def client(self, person: Person | None = None, **headers: str) -> httpx2.AsyncClient:
        """An HTTP client of the running service, with the person's CLI token."""
        given = {"authorization": f"Bearer {person.token}"} if person else {}
        made = httpx2.AsyncClient(base_url=self.url, headers=given | headers, timeout=30, transport=Transport())
        self.clients.append(made)
        return made

    async def rest(
        self,
        person: Person | None,
        method: str,
        path: str,
        body: Any = None,
        *,
        workspace: str | None = "",
        **headers: str,
    ) -> httpx2.Response:
        """One REST call. `workspace`: id or slug for the query; '' is the world's own, None sends none."""
        query = {} if workspace is None else {"workspace_id": workspace or self.workspace.id}
        async with self.client(person, **headers) as client:
            return await client.request(method, path, params=query, **({} if body is None else {"json": body}))

    async def graphql(
        self, person: Person | None, document: str, variables: Mapping[str, Any] | None = None, **headers: str
    ) -> dict[str, Any]:
        """One GraphQL call; the workspace of the world comes as `$ws` when the document names it."""
        values = dict(variables or {})
        if "$ws" in document:
            values.setdefault("ws", self.workspace.id)
        async with self.client(person, **headers) as client:
            answer = await client.post("/graphql", json={"query": document, "variables": values})
        return answer.json()  # type: ignore[no-any-return]

    async def add(self, *rows: SQLModel) -> None:
        """Rows, in this order, without any operation. A message without a number is its chat's next."""
        for row in rows:
            if isinstance(row, Message):
                await self._number(row)
            table = table_of(type(row))
            names = [n for n in table.c.keys() if n in row.__dict__]  # noqa: SIM118
            values = ", ".join(f"${i + 1}" for i in range(len(names)))
            await self.database.execute(
                f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES ({values})', *[row.__dict__[n] for n in names]
            )

    async def _number(self, message: Message) -> None:
        given = message.__dict__.get("seq")
        raised = (
            "UPDATE chats SET last_message_seq = greatest($3, last_message_seq + 1)"
            " WHERE workspace_id = $1 AND id = $2 RETURNING last_message_seq"
        )
        last = await self.database.fetchval(raised, message.workspace_id, message.chat_id, given or 0)
        message.__dict__["seq"] = given or last

    async def person(self, name: str, role: Role | None, workspace: Workspace | None = None) -> Person:
        """A user with a CLI token, and a membership when there is a role."""
        user = User(email=f"{name}@example.com", full_name=f"{name.title()} Example")
        token = new_cli_token("STANDARD")  # type: ignore[arg-type]
        await self.add(
            user, CliToken(user_id=user.id, name="test", token_hash=hashlib.sha256(token.encode()).hexdigest())
        )
        membership = None
        if role is not None:
            here = {"workspace_id": (workspace or self.workspace).id, "accepted_at": now()}
            membership = Membership(user_id=user.id, role=role, **here)
            await self.add(membership)
        made = self.people[name] = Person(name, user.id, user.email, token, membership.id if membership else None)
        return made

    async def events(self, since: int = 0) -> list[dict[str, Any]]:
        rows = await self.database.fetch(
            "SELECT seq, workspace_id, channel, type, payload FROM events WHERE seq > $1 ORDER BY xid, seq", since
        )
        return [dict(row) for row in rows]

    async def audit(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.fetch("SELECT * FROM audit_logs ORDER BY created_at, id")]

    async def snapshot(self) -> dict[str, str]:
        """A digest of the rows of each table. Equal snapshots: nothing was written."""
        tables = await self.database.fetch(
            "SELECT relname, relkind = 'p' OR pg_relation_size(oid) > 0 FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
        )
        made = {table: "" for table, _ in tables if table not in UNWATCHED}
        # in one statement, and without those that have never had a row
        digests = [_digest(table) for table, held in tables if held and table in made]
        return made | dict(await self.database.fetch(" UNION ALL ".join(digests)))


def _digest(table: str) -> str:
    row = "to_jsonb(t)" + "".join(f" - '{column}'" for column in VOLATILE.get(table, ()))
    # readers of the outbox note how far it is final
    rows = f'"{table}"' if table != "instance_facts" else f"(TABLE {table} EXCEPT {NOTED})"
    return f"SELECT '{table}', coalesce(md5(string_agg(({row})::text, '|' ORDER BY ({row})::text)), '') FROM {rows} t"


async def connect_for_all(dsn: str) -> asyncpg.Connection:
    """A connection that sees the rows of all tenants."""
    import orjson

    conn = await asyncpg.connect(dsn)
    await conn.execute("SELECT set_config('crewship.workspaces', '*', false)")
    for kind in ("json", "jsonb"):
        await conn.set_type_codec(
            kind, schema="pg_catalog", encoder=lambda v: orjson.dumps(v).decode(), decoder=orjson.loads
        )
    return conn


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The application on a free loopback port, as `crewship serve` runs it."""
    # asyncio turns Nagle off only where it sees the protocol; else each answer takes 40 ms
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    options: dict[str, Any] = {
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "http": Foreseen,
        "ws": WebSocketProtocol,
    }
    options |= {"ws_per_message_deflate": False, "ws_max_size": LARGEST_MESSAGE}
    server = Server(uvicorn.Config(app, lifespan="on", log_level="warning", **options))
    task = asyncio.create_task(server._serve([listener]))
    begun = asyncio.create_task(server.begun.wait())
    await asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()
    if task.done():
        await task
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.ends.set()
        await task
        listener.close()


class Server(uvicorn.Server):
    """Ends as soon as it is asked to, and not at the next tenth of a second, as uvicorn does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun, self.ends = asyncio.Event(), asyncio.Event()

    async def main_loop(self) -> None:
        self.begun.set()
        while not self.ends.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ends.wait(), 1)


SIGNED_WITH = "a secret of tests, long enough to be one"


def settings_for(dsn: str, directory: Path, **changes: Any) -> Settings:
    """Settings of a test instance: keys given, limits off, nothing from outside but CREWSHIP_ROW_LEVEL_SECURITY."""
    given = {
        "database_url": SecretStr(dsn),
        "nextauth_secret": SecretStr(SIGNED_WITH),
        "encryption_key": SecretStr("ab" * 32),
        "admin_token_hmac_key": SecretStr("cd" * 32),
        "internal_token": SecretStr("ef" * 32),
        "data_dir": directory,
        "storage_path": directory / "files",
        "ratelimit_disabled": True,
        "log_level": "error",
        "instance_admins": True,  # any administrator: who is the operator has tests of its own
        "role": "api",  # one runtime a process: what tests it starts its own
    }
    return _of_the_environment(*sorted(os.environ.items())).model_copy(update=given | changes)


@cache
def _of_the_environment(*variables: tuple[str, str]) -> Settings:
    return load_settings()


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data")) as made:
        yield made


@contextlib.asynccontextmanager
async def world_on(
    database: Any, directory: Path, *, routes: tuple[Any, ...] = (), **settings: Any
) -> AsyncIterator[World]:
    """A world with settings of its own, and routes beside the product's."""
    chosen = settings_for(database.url, directory, **settings)
    instance.strict = True
    owner = await connect_for_all(database.owner_url)
    application = create_app(chosen, routes=routes, passwords=Passwords(Cost(1, 64, 1)))
    async with contextlib.AsyncExitStack() as stack:
        with mock.patch(
            "crewship.process.work.ticking", tuple
        ):  # what tests write may be of any time: nothing of it expires
            url = await stack.enter_async_context(serving(application))
        stack.enter_context(
            mock.patch("resolvers.work.missions.asking.BEGINS", 0.02)
        )  # nobody takes a question up here
        workspace, other = Workspace(name="Workspace", slug="workspace"), Workspace(name="Other", slug="other")
        made = World(url, chosen, owner, workspace, other)
        await made.add(workspace, other)
        for role in Role:
            await made.person(role.value.lower(), role)
        await made.person("outsider", Role.OWNER, other)
        await made.person("nobody", None)
        try:
            yield made
        finally:
            for client in made.clients:
                await client.aclose()
            await owner.close()


__all__ = ["Person", "World", "serving", "settings_for", "world", "world_on"]
