"""floor-board: a mission's board by hand, on the service's tables: a statement for the gate and one for each level, and
the JSON made in Python, as floor-rows does it.
"""

import hashlib
import os
from typing import Any

import asyncpg
import orjson

from bench.servers.floor import Connection, Receive, Scope, Send, prepare, read_body, reply

MEMBER = """
    SELECT t.user_id FROM cli_tokens t JOIN memberships m ON m.user_id = t.user_id AND m.workspace_id = $2
    WHERE t.token_hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now())"""
MISSION = """
    SELECT m.id, m.title, m.status, m.total_estimated_cost, m.started_at, a.id, a.name
    FROM missions m LEFT JOIN agents a ON a.id = m.lead_agent_id
    WHERE m.workspace_id = $1 AND m.crew_id = $2 AND m.id = $3"""
TASKS = """
    SELECT t.id, t.title, t.status, t.depends_on, t.iteration, t.token_count, t.estimated_cost, a.id, a.name, a.status,
        s.id, s.status
    FROM mission_tasks t LEFT JOIN agents a ON a.id = t.assigned_agent_id
    LEFT JOIN assignments s ON s.id = t.assignment_id
    WHERE t.workspace_id = $1 AND t.mission_id = $2 ORDER BY t.task_order, t.created_at, t.id LIMIT 50"""
RUNS = """
    SELECT DISTINCT ON (r.assignment_id) r.assignment_id, r.id, r.status, r.model, r.started_at, r.finished_at
    FROM runs r WHERE r.workspace_id = $1 AND r.assignment_id = ANY ($2)
    ORDER BY r.assignment_id, r.began_at DESC, r.id DESC"""
CALLS = """
    SELECT run_id, id, model, input_tokens, output_tokens, cost_micros FROM model_calls
    WHERE workspace_id = $1 AND run_id = ANY ($2) ORDER BY created_at DESC, id DESC"""
COUNTED = ("COMPLETED", "FAILED", "IN_PROGRESS")


def named(names: str, values: Any) -> dict[str, Any]:
    return dict(zip(names.split(), values, strict=True))


class BoardFloor:
    async def board(self, connection: Connection, ws: str, crew: str, id: str) -> Any:
        row = await connection.fetchrow(MISSION, ws, crew, id)
        mission = named("id title status totalEstimatedCost startedAt", row[:5])
        mission["leadAgent"] = named("id name", row[5:])
        rows = await connection.fetch(TASKS, ws, id)
        runs = await connection.fetch(RUNS, ws, [task[10] for task in rows])
        calls: dict[str, list[Any]] = {run[1]: [] for run in runs}
        for call in await connection.fetch(CALLS, ws, list(calls)):
            values = (*call[1:5], None if call[5] is None else call[5] / 1_000_000)
            calls[call[0]].append(named("id model inputTokens outputTokens costUsd", values))
        made = {
            run[0]: named("id status model startedAt finishedAt", run[1:]) | {"modelCalls": calls[run[1]]}
            for run in runs
        }
        tasks = []
        for task in rows:
            shown = named("id title status dependsOn iteration tokenCount estimatedCost", task[:7])
            shown["agent"] = named("id name status", task[7:10])
            run = [made[task[10]]] if task[10] in made else []
            shown["assignment"] = named("id status", task[10:]) | {"runs": {"nodes": run}}
            tasks.append(shown)
        states = [task["status"] for task in tasks]
        counts = named("completed failed inProgress", map(states.count, COUNTED))
        return mission | {"taskStats": {"total": len(tasks)} | counts, "tasks": {"nodes": tasks}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.lifespan(receive, send)
        token = next(value for name, value in scope["headers"] if name == b"authorization")[7:]
        sent = (await read_body(receive))["variables"]
        async with self.pool.acquire() as connection:
            if await connection.fetchval(MEMBER, hashlib.sha256(token).hexdigest(), sent["ws"]) is None:
                return await reply(send, b"{}", 403)
            mission = await self.board(connection, sent["ws"], sent["crew"], sent["id"])
        await reply(send, orjson.dumps({"data": {"mission": mission}}, option=orjson.OPT_UTC_Z))

    async def lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            size = int(os.environ["POOL_SIZE"])
            self.pool = await asyncpg.create_pool(min_size=size, max_size=size, init=prepare)
            await send({"type": "lifespan.startup.complete"})
        await self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})


app = BoardFloor()
