"""Reads of long lists: how each is asked for, the plans its statements get, and what they cost."""

import datetime
import json
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from resolvers.kernel.database import database
from tests.scale.population import AGENT, BIG, CHAT
from tests.world import World

REPEATS = 15


@dataclass(frozen=True)
class Read:
    """`path` may hold `{last}`, the offset of the last page. `after`: a GraphQL field, read behind a cursor at the end.

    `skips`: it passes over all rows before the last page.
    """

    name: str
    path: str = ""
    after: str = ""
    skips: bool = False


def _list(name: str, path: str, field: str, **filters: str) -> Iterator[Read]:
    mark = "&" if "?" in path else "?"
    yield Read(f"{name}: first page", f"{path}{mark}limit=20")
    yield Read(f"{name}: last page by offset", f"{path}{mark}limit=20&offset={{last}}", skips=True)
    yield Read(f"{name}: behind a cursor at the end", after=field)
    for filter, value in filters.items():
        yield Read(f"{name}: {filter}={value}", f"{path}{mark}limit=20&{filter}={value}")


RUN_FILTERS = {"status": "FAILED", "agent_id": AGENT, "trigger": "CRON", "tag": "rare"}
READS = (
    *_list("crews", "/api/v1/crews", "crews"),
    *_list("agents", "/api/v1/agents", "agents", crew_id="ccrew000000000000000000001"),
    *_list("chats", "/api/v1/chats", "chats", origin="CRON"),
    *_list("messages", f"/api/v1/chats/{CHAT}/messages", f'messages(chatId: "{CHAT}"'),
    *_list("runs", "/api/v1/runs", "runs"),
    *(Read(f"runs: {name}={value}", f"/api/v1/runs?limit=20&{name}={value}") for name, value in RUN_FILTERS.items()),
    *_list("agent logs", f"/api/v1/agents/{AGENT}/logs", f'agentLogs(agentId: "{AGENT}"'),
    Read("runs of an agent", f"/api/v1/agents/{AGENT}/runs"),
    Read("chats of an agent", f"/api/v1/agents/{AGENT}/chats"),
)


@dataclass
class Cost:
    """Of one read: p50 in milliseconds, buffers of all its statements, and the large tables it read from end to end."""

    status: int
    p50: float
    buffers: int
    scanned: set[str] = field(default_factory=set)
    bytes: int = 0


@contextmanager
def listening() -> Iterator[list[tuple[str, list[Any]]]]:
    """The statements that reads send meanwhile, with their values."""
    heard: list[tuple[str, list[Any]]] = []
    pool, sent = database.pool, database.pool.fetchrow

    async def fetchrow(sql: str, args: Any) -> Any:
        heard.append((sql, list(args)))
        return await sent(sql, args)

    pool.fetchrow = fetchrow  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        del pool.fetchrow  # type: ignore[method-assign]


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return f"'{value.isoformat()}'"
    if isinstance(value, (list, tuple)):
        return f"ARRAY[{', '.join(map(_literal, value))}]" if value else "'{}'"
    return "'" + str(value).replace("'", "''") + "'"


async def explain(sql: str, args: list[Any]) -> dict[str, Any]:
    """The plan that the application gets: its role, its settings, its policies, for no values in particular."""
    async with database.lease() as conn:
        await conn.execute(f"PREPARE scale AS {sql}")
        try:
            values = f"({', '.join(map(_literal, args))})" if args else ""
            text = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE scale{values}")
        finally:
            await conn.execute("DEALLOCATE scale")
    made: dict[str, Any] = json.loads(text)[0]["Plan"]
    return made


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


class Reader:
    def __init__(self, world: World, rows: int) -> None:
        self.world, self.rows = world, rows
        self.client = world.client(world.owner)

    async def ask(self, read: Read, cursor: str | None) -> httpx2.Response:
        if read.after:
            return await self._connection(read.after, after=cursor)
        path = read.path.format(last=self.rows - 20)
        return await self.client.get(f"{path}{'&' if '?' in path else '?'}workspace_id={self.world.workspace.id}")

    async def _connection(self, field: str, **arguments: Any) -> httpx2.Response:
        name, _, own = field.partition("(")
        given = {name: value for name, value in arguments.items() if value is not None} | {"first": 20}
        if "chatId" not in own:
            given["workspaceId"] = self.world.workspace.id
        every = ", ".join(filter(None, [own, *(f"{name}: {json.dumps(value)}" for name, value in given.items())]))
        return await self.client.post("/graphql", json={"query": f"{{ {name}({every}) {{ edges {{ cursor node {{ __typename }} }} }} }}"})

    async def cursor(self, read: Read) -> str:
        """Of the row before the last page."""
        answer = await self._connection(read.after, offset=self.rows - 41)
        data = next(iter(answer.json()["data"].values()))
        made: str = data["edges"][19]["cursor"]
        return made

    async def cost(self, read: Read) -> Cost:
        cursor = await self.cursor(read) if read.after else None
        for _ in range(3):  # plans are made, prepared, and kept
            answer = await self.ask(read, cursor)
        assert answer.status_code in (200, 400), answer.text
        assert not re.match(rb'\{"errors"', answer.content), answer.text
        took = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            await self.ask(read, cursor)
            took.append((time.perf_counter() - begun) * 1000)
        with listening() as heard:
            await self.ask(read, cursor)
        buffers, scanned = 0, set[str]()
        for sql, args in heard:
            plan = await explain(sql, args)
            buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            scanned |= {node["Relation Name"] for node in _nodes(plan) if node["Node Type"].endswith("Seq Scan") and node["Relation Name"] in BIG}
        return Cost(answer.status_code, statistics.median(took), buffers, scanned, len(answer.content))


__all__ = ["READS", "Cost", "Read", "Reader", "explain", "listening"]
