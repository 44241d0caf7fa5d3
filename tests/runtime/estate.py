"""A workspace whose agents can be asked, on its own database, in this process: what tests of the runtime stand on."""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from sqlmodel import SQLModel

from crewship.process.process import start
from models.base import table_of
from models.people.auth import CliToken, User
from models.people.workspaces import Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatVisibility
from models.staff.runs import Run
from resolvers.identity.caller import Caller
from resolvers.identity.credentials import bearer
from resolvers.instance.crypto import new_cli_token
from resolvers.instance.passwords import Cost, Passwords
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from resolvers.kernel.store.database import database
from resolvers.staff.chats.sending import cancel_message, send_message
from tests.world import connect_for_all, settings_for


@dataclass
class Estate:
    settings: Settings
    owner: asyncpg.Connection  # of the tables, past row-level security
    workspace: Workspace
    token: str
    user_id: str

    @property
    def caller(self) -> Caller:
        return bearer(self.token)

    async def colleague(self) -> Caller:
        """Another member of the workspace."""
        token = new_cli_token("STANDARD")  # type: ignore[arg-type]
        user = User(email=f"{secrets.token_hex(6)}@example.com", full_name="Colleague")
        await self.add(
            user, CliToken(user_id=user.id, name="test", token_hash=hashlib.sha256(token.encode()).hexdigest())
        )
        await self.add(Membership(workspace_id=self.workspace.id, user_id=user.id, role=Role.OWNER))
        return bearer(token)

    async def add(self, *rows: SQLModel) -> None:
        for row in rows:
            table = table_of(type(row))
            names = [name for name in table.c.keys() if name in row.__dict__]  # noqa: SIM118
            values = ", ".join(f"${n + 1}" for n in range(len(names)))
            await self.owner.execute(
                f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES ({values})',
                *[row.__dict__[name] for name in names],
            )

    async def agent(self, **fields: Any) -> Agent:
        name = f"agent-{secrets.token_hex(6)}"
        made = Agent(**{"name": name, "slug": name, "workspace_id": self.workspace.id} | fields)
        await self.add(made)
        return made

    async def chat(self, agent: Agent | None = None, **fields: Any) -> Chat:
        agent = agent or await self.agent()
        made = Chat(
            agent_id=agent.id,
            workspace_id=self.workspace.id,
            visibility=fields.pop("visibility", ChatVisibility.private),
            **fields,
        )
        await self.add(made)
        return made

    async def say(self, caller: Caller, chat_id: str, content: str) -> None:
        await send_message(caller, {"chat_id": chat_id, "content": content}, place=self.workspace.id)

    async def ask(self, content: str = "hello", chat: Chat | None = None, **fields: Any) -> Run:
        """As a user does: a message that becomes a run."""
        chat = chat or await self.chat()
        answer = await send_message(
            self.caller, {"chat_id": chat.id, "content": content} | fields, place=self.workspace.id
        )
        return await self.run(orjson.loads(answer.body or b"")["run_id"])

    async def cancel(self, chat_id: str) -> None:
        await cancel_message(self.caller, {"chat_id": chat_id}, place=self.workspace.id)

    async def run(self, run_id: str) -> Run:
        return Run(**dict(await self._row("SELECT * FROM runs WHERE id = $1", run_id)))

    async def stored_chat(self, chat_id: str) -> Chat:
        return Chat(**dict(await self._row("SELECT * FROM chats WHERE id = $1", chat_id)))

    async def _row(self, sql: str, *values: Any) -> Any:
        row = await self.owner.fetchrow(sql, *values)
        assert row is not None
        return row

    async def ended(self, run_id: str, seconds: float = 60.0) -> Run:
        async with asyncio.timeout(seconds):
            while (run := await self.run(run_id)).status == "RUNNING":
                await asyncio.sleep(0.01)
        return run

    async def frames(self, chat_id: str) -> list[dict[str, Any]]:
        """{type, seq} | payload of every frame, in order; a chat_event's type is that of its payload."""
        rows = await self.owner.fetch(
            "SELECT type, seq, payload FROM run_frames WHERE chat_id = $1 ORDER BY seq", chat_id
        )
        return [{"type": row["type"], "seq": row["seq"]} | row["payload"] for row in rows]

    async def answer(self, chat_id: str) -> list[dict[str, Any]]:
        """The payloads that came from the worker: without run_begin and the user's message."""
        frames = await self.frames(chat_id)
        assert [f["seq"] for f in frames] == list(range(1, len(frames) + 1)), "a gap or a double in the numbers"
        return [
            {k: v for k, v in f.items() if k != "seq"} for f in frames if f["type"] not in ("run_begin", "user_message")
        ]

    async def messages(self, chat_id: str) -> list[dict[str, Any]]:
        return [
            dict(row)
            for row in await self.owner.fetch("SELECT * FROM messages WHERE chat_id = $1 ORDER BY seq", chat_id)
        ]

    async def events(self, channel: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.owner.fetch(
            "SELECT type, payload FROM events WHERE channel = coalesce($1, channel) ORDER BY xid, seq", channel
        )
        return [(row["type"], row["payload"]) for row in rows]

    async def agent_status(self, run: Run) -> str:
        status: str = await self.owner.fetchval("SELECT status FROM agents WHERE id = $1", run.agent_id)
        return status


@contextlib.asynccontextmanager
async def estate_on(copy: Any, directory: Path, **settings: Any) -> AsyncIterator[Estate]:
    chosen = settings_for(copy.url, directory, **settings)
    passwords = Passwords(Cost(1, 64, 1))
    start(chosen, passwords)
    instance.strict = True
    await database.open(copy.url, size=10, row_security=chosen.row_level_security)
    owner = await connect_for_all(copy.owner_url)
    workspace, user, token = (
        Workspace(name="Workspace", slug="workspace"),
        User(email="owner@example.com", full_name="Owner"),
        new_cli_token("STANDARD"),
    )  # type: ignore[arg-type]
    made = Estate(chosen, owner, workspace, token, user.id)
    member = Membership(workspace_id=workspace.id, user_id=user.id, role=Role.OWNER)
    await made.add(
        workspace,
        user,
        CliToken(user_id=user.id, name="test", token_hash=hashlib.sha256(token.encode()).hexdigest()),
        member,
    )
    try:
        yield made
    finally:
        await made.owner.close()
        await database.close()
        passwords.close()
