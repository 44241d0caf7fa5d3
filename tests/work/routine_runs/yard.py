"""Routines and their runs in a database, with what a person does to them, and a server that counts requests."""

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from models.base import new_id
from models.people.auth import CliToken, User
from models.people.workspaces import Membership, Role
from models.staff.crews import Crew
from models.work.routine_runs import RoutineRun
from models.work.saved_routines import RoutineVersion, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.identity.credentials import bearer
from resolvers.instance.crypto import new_cli_token
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.inputs import Bool, Id, Input, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from resolvers.kernel.writing.ends import Holder, end_work
from resolvers.work import routine_runs
from resolvers.work.routine_runs import advancing
from resolvers.work.routine_runs.events import RoutineApprovalDecided, RoutineRunFailed
from rest_compat.http.table import shape_of
from rest_compat.work.routine_runs import StartedRoutineRunJSON
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.runtime.doubles import Does, Wardrobe, speaks
from tests.runtime.estate import Estate

RHYTHM = {"sweep": 0.2, "patience": 0.6, "measure": 0.2, "retry": 0.1}
ENDED = ("completed", "failed", "cancelled", "interrupted")


class Start(Input):
    run_id: Id


class Leave(Input):
    user_id: Id


class Decide(Input):
    token: Id
    approved: Bool


class Send(Input):
    run_id: Id
    event_type: Text
    payload: Text


@command("test.advance_routine_run", Action.CREATE)
async def advance(ctx: Context, data: Start) -> None:
    ctx.enqueue(advancing.ADVANCE, run_id=data.run_id)


@command("test.leave", Action.CREATE)
async def leave(ctx: Context, data: Leave) -> None:
    await end_work(ctx, Holder.person, data.user_id)


@command("test.decide_waitpoint", Action.CREATE, emits=(RoutineApprovalDecided, InboxItemUpdated))
async def decide(ctx: Context, data: Decide) -> None:
    if not await advancing.decide(ctx, data.token, approved=data.approved):
        raise Refusal(Code.CONFLICT, "it is decided")


@command("test.signal_routine_run", Action.CREATE)
async def send_signal(ctx: Context, data: Send) -> None:
    if not await advancing.signal(ctx, data.run_id, data.event_type, data.payload):
        raise Refusal(Code.NOT_FOUND, "no run waits")


@command("test.cancel_routine_run", Action.CREATE, emits=(RoutineRunFailed, InboxItemUpdated))
async def cancel(ctx: Context, data: Start) -> None:
    if await advancing.cancel(ctx, data.run_id) is None:
        raise Refusal(Code.NOT_FOUND, "it has ended")


@dataclass
class RoutineYard:
    """Runs of routines of one crew, whose network is free."""

    estate: Estate
    crew: Crew

    @property
    def caller(self) -> Caller:
        return Caller.service("tests", self.estate.workspace.id)

    async def routine(self, *steps: dict[str, Any], **more: Any) -> SavedRoutine:
        said = {"name": "tides", "inputs": [{"name": "x"}], "egress_targets": ["127.0.0.1"], "steps": list(steps)}
        said |= more
        source, hash_ = json.dumps(said), new_id()
        here: dict[str, Any] = {"workspace_id": self.estate.workspace.id}
        made = SavedRoutine(slug=new_id(), definition_hash=hash_, manifest={}, author_crew_id=self.crew.id, **here)
        of_routine: dict[str, Any] = {"routine_id": made.id, "number": 1, "definition_hash": hash_}
        await self.estate.add(made, RoutineVersion(source=source, definition=said, **of_routine, **here))
        return made

    async def start(self, routine: SavedRoutine, **more: Any) -> str:
        made = RoutineRun(
            routine_id=routine.id,
            definition_hash=routine.definition_hash,
            workspace_id=self.estate.workspace.id,
            **more,
        )
        await self.estate.add(made)
        await advance(self.caller, {"run_id": made.id})
        return made.id

    async def run(self, *steps: dict[str, Any], **more: Any) -> Any:
        """The row of a run that has ended."""
        return await self.ended(await self.start(await self.routine(*steps), **more))

    async def row(self, run_id: str) -> Any:
        return await self.estate.owner.fetchrow("SELECT * FROM routine_runs WHERE id = $1", run_id)

    async def ended(self, run_id: str, seconds: float = 30.0) -> Any:
        return await self.reached(run_id, *ENDED, seconds=seconds)

    async def reached(self, run_id: str, *statuses: str, seconds: float = 30.0) -> Any:
        async with asyncio.timeout(seconds):
            while (row := await self.row(run_id))["status"] not in statuses:
                await asyncio.sleep(0.02)
        return row

    async def steps(self, run_id: str) -> dict[str, Any]:
        sql = "SELECT * FROM routine_run_steps WHERE routine_run_id = $1 ORDER BY started_at, path"
        return {row["path"]: row for row in await self.estate.owner.fetch(sql, run_id)}

    async def ask(
        self,
        operation: Operation[Any],
        raw: dict[str, Any],
        wire: Any = None,
        caller: Caller | None = None,
        **more: Any,
    ) -> Any:
        """The answer of an operation, of which REST shows `wire`."""
        shape = None if wire is None else shape_of(wire)
        made = await operation(caller or self.estate.caller, raw, shape, place=self.estate.workspace.id, **more)
        return orjson.loads(made.body or b"null")

    async def member(self, role: Role) -> Caller:
        token = new_cli_token("STANDARD")  # type: ignore[arg-type]
        user = User(email=f"{secrets.token_hex(6)}@example.com", full_name="Hand")
        hashed = hashlib.sha256(token.encode()).hexdigest()
        here = {"workspace_id": self.estate.workspace.id, "user_id": user.id}
        await self.estate.add(user, CliToken(user_id=user.id, name="test", token_hash=hashed))
        await self.estate.add(Membership(role=role, **here))
        return bearer(token)

    async def events_of(self, run_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Events of a run, without the keys that all of them have."""
        keys = ("pipeline_id", "pipeline_slug", "run_id")
        return [
            (type_, {key: value for key, value in payload.items() if key not in keys})
            for type_, payload in await self.estate.events(f"workspace:{self.estate.workspace.id}")
            if payload.get("run_id") == run_id
        ]

    async def item(self, run_id: str) -> Any:
        """The inbox item of an approval that the run waits for, or waited for."""
        sql = "SELECT * FROM inbox_items WHERE payload ->> 'pipeline_run_id' = $1"
        return await self.estate.owner.fetchrow(sql, run_id)

    async def runs_of(self, routine: SavedRoutine) -> int:
        sql = "SELECT count(*) FROM routine_runs WHERE routine_id = $1"
        return await self.estate.owner.fetchval(sql, routine.id)  # type: ignore[no-any-return]

    async def found(self, sql: str, *values: Any) -> Any:
        return await self.estate.owner.fetchrow(sql, *values)

    async def started(self, routine: SavedRoutine, caller: Caller | None = None, **raw: Any) -> str:
        """The id of a run that a person starts."""
        sent = {"slug": routine.slug, **raw}
        made = await self.ask(routine_runs.run_routine, sent, StartedRoutineRunJSON, caller)
        return str(made["run_id"])

    async def token(self, run_id: str) -> str:
        sql = "SELECT token FROM routine_waitpoints WHERE routine_run_id = $1"
        return await self.estate.owner.fetchval(sql, run_id)  # type: ignore[no-any-return]

    async def waiting_jobs(self, run_id: str) -> int:
        sql = (
            "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
            " AND name = 'routine_runs.advance' AND deduplication_id LIKE '%' || $1"
        )
        return await self.estate.owner.fetchval(sql, run_id)  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def carrying(estate: Estate, does: Does = speaks) -> AsyncIterator[None]:
    """This process carries runs on, while the block runs. `does`: what agents do."""
    runtime = Runtime(estate.settings, Wardrobe(does), jobs=carried(), rhythm=Rhythm(**RHYTHM))
    await runtime.start()
    try:
        yield
    finally:
        await runtime.stop()


class Counting:
    """A server that counts requests by their idempotency key, and answers with their body. `answer` gives the status
    for the n-th request of a path.
    """

    def __init__(self, answer: Callable[[str, int], int] = lambda *_: 200, pause: float = 0.0) -> None:
        self.answer, self.pause = answer, pause
        self.got = list[tuple[str, str, dict[str, str], str]]()
        self.paths, self.keys = Counter[str](), Counter[str]()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.paths[path] += 1
            self.keys[headers.get("idempotency-key", "")] += 1
            self.got.append((method, path, headers, body.decode()))
            code = self.answer(path, self.paths[path])
            await asyncio.sleep(self.pause)
            more = "location: /moved\r\n" if 300 <= code < 400 else ""
            said = f"HTTP/1.1 {code} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{more}\r\n"
            writer.write(said.encode() + body)
            await writer.drain()
        writer.close()


def http(id: str, url: str, body: str = "{}", method: str = "POST", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "http", "http": {"method": method, "url": url, "body": body}} | more


def text(id: str, input: str, expression: str = ".", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "transform", "transform": {"input": input, "expression": expression}} | more
